-- title: Suspicious locations
-- description: The place is often reported for fraud, or the country is new for the customer.
-- blind_spot: Fraud at home, online payments from a new country, and places without reports so far.
-- severity: medium
-- weight: 0.4
-- params:
--   least_reports: {type: integer, default: 2, min: 1, max: 100000, description: Fraud reports in 28 days from which a place can be risky.}
--   risky_share: {type: decimal, default: 0.05, min: 0.0001, max: 1, description: Reports per transaction from which a place is risky.}
--   least_history: {type: integer, default: 20, min: 1, max: 100000, description: Transactions in 90 days below which no country counts as new.}
-- reason: "{finding}"
-- source: The original report, rule 4 (suspicious_locations).
WITH places AS (
  SELECT k.ds, k.place_key, SUM(k.transactions) AS transactions, SUM(k.reports) AS reports
  FROM (
    -- days that earlier releases computed have no keys
    SELECT m.ds, COALESCE(m.place_key, LOWER(TRIM(m.place))) AS place_key, m.transactions, m.reports
    FROM merchant_profiles m
  ) k
  GROUP BY k.ds, k.place_key
),
habits AS (
  SELECT c.ds, c.customer_id, SUM(c.transactions) AS transactions
  FROM customer_countries c
  GROUP BY c.ds, c.customer_id
)
SELECT
  j.transaction_id,
  j.customer_id,
  j.event_time,
  j.risky OR j.is_new AS hit,
  -- a risky place weighs more than a new country: from 0.5 to 0.9 as the share of reports grows
  CASE
    WHEN j.risky THEN 0.5 + 0.4 * LEAST(CAST(j.reports_per_transaction AS DOUBLE), CAST(1 AS DOUBLE))
    ELSE 0.3
  END AS weight,
  CASE
    WHEN j.risky THEN CONCAT(
      CAST(j.reports AS STRING), ' fraud reports for ', CAST(j.transactions AS STRING), ' transactions at ', j.place,
      ' in 28 days: ', CAST(j.reports_per_transaction AS STRING), ' per transaction, ', CAST(:risky_share AS STRING), ' is risky'
    )
    WHEN j.is_new THEN CONCAT(
      'First payment in ', j.country, ' after ', CAST(j.history AS STRING), ' transactions elsewhere in 90 days'
    )
  END AS finding,
  j.place,
  j.country,
  j.reports,
  j.transactions,
  j.history
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.place,
    t.merchant_country AS country,
    p.reports,
    p.transactions,
    h.transactions AS history,
    CAST(
      FLOOR(CAST(p.reports AS DOUBLE) / GREATEST(p.transactions, 1) * 10000 + 0.5) / 10000
      AS DECIMAL(18,4)
    ) AS reports_per_transaction,
    COALESCE(
      p.reports >= :least_reports AND p.reports >= :risky_share * p.transactions,
      FALSE
    ) AS risky,
    t.is_there
      AND COALESCE(h.transactions >= :least_history, FALSE)
      AND c.customer_id IS NULL AS is_new
  FROM (
    SELECT
      s.transaction_id,
      s.customer_id,
      s.event_time,
      s.merchant_country,
      s.ds,
      -- the country of an online shop or a bank is where it is registered, not where the customer is
      s.merchant_country IS NOT NULL
        AND (s.channel IS NULL OR s.channel <> 'online')
        AND (s.transaction_type IS NULL OR s.transaction_type <> 'transfer_out') AS is_there,
      -- without a country there is no place, only a merchant, which the rule risky_merchant judges
      COALESCE(CONCAT(s.merchant_city, ', ', s.merchant_country), s.merchant_country) AS place,
      COALESCE(
        s.place_key, LOWER(TRIM(COALESCE(CONCAT(s.merchant_city, ', ', s.merchant_country), s.merchant_country)))
      ) AS place_key
    FROM transactions s
    -- where a refund or an income comes from, the customer has done nothing
    WHERE s.transaction_type IS NULL OR s.transaction_type NOT IN ('transfer_in', 'refund')
  ) t
  LEFT JOIN places p ON p.ds = t.ds AND p.place_key = t.place_key
  LEFT JOIN habits h ON h.ds = t.ds AND h.customer_id = t.customer_id
  LEFT JOIN customer_countries c
    ON c.ds = t.ds AND c.customer_id = t.customer_id AND c.merchant_country = t.merchant_country
  -- a transaction is judged if either question can be answered
  WHERE p.place_key IS NOT NULL OR (t.is_there AND h.customer_id IS NOT NULL)
) j
