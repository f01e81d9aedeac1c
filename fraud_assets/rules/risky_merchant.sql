-- title: Risky merchant
-- description: A large share of the merchant's usual sales was reported as fraud in the last days.
-- blind_spot: Merchants whose fraud has not been reported yet, and large merchants, where many reports are a small share.
-- severity: high
-- weight: 0.4
-- params:
--   least_reports: {type: integer, default: 2, min: 1, max: 100000, description: Fraud reports in 7 days from which a merchant can be risky.}
--   risky_share: {type: decimal, default: 0.1, min: 0.0001, max: 1, description: Reports in 7 days per transaction of a usual week from which a merchant is risky.}
--   least_reports_before: {type: integer, default: 3, min: 1, max: 100000, description: "Fraud reports in 28 days from which a merchant can be risky, if at least one of them is from the last 7 days."}
--   more_sold: {type: integer, default: 2, min: 1, max: 100000, description: "Honest transactions credited to every merchant, so that few sales prove little."}
-- reason: "{reports_7} fraud reports in 7 days and {reports} in 28 for {sales} transactions of merchant {merchant_id} in 28 days: {share} of a usual week, {risky_share} is risky"
-- source: "Terminal risk with a delay: Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, 2022, chapter 3; chargeback programmes of the card schemes."
SELECT
  m.transaction_id,
  m.customer_id,
  m.event_time,
  m.reports_7 >= :least_reports AND m.share >= :risky_share
    OR m.reports_7 > 0 AND m.reports >= :least_reports_before AND m.reports >= :risky_share * m.sales AS hit,
  -- from 0.05 to 0.75 as the share grows; reports of yesterday count extra, because they show that the fraud continues
  CASE
    WHEN m.reports_7 >= :least_reports AND m.share >= :risky_share THEN 0.05
      + 0.49 * LEAST(CAST(m.share AS DOUBLE), CAST(1 AS DOUBLE))
      + 0.21 * LEAST(CAST(m.share_yesterday AS DOUBLE), CAST(1 AS DOUBLE))
    ELSE CAST(0.05 AS DOUBLE)
  END AS weight,
  m.merchant_id,
  m.reports_1,
  m.reports_7,
  m.reports,
  m.sales,
  m.share
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.merchant_id,
    p.reports_1,
    p.reports_7,
    p.reports,
    p.transactions AS sales,
    -- a usual week is a quarter of 28 days
    CAST(FLOOR(CAST(p.reports_7 AS DOUBLE) / (CAST(p.transactions AS DOUBLE) / 4 + :more_sold) * 10000 + 0.5) / 10000 AS DECIMAL(24,4)) AS share,
    CAST(FLOOR(CAST(p.reports_1 AS DOUBLE) / (CAST(p.transactions AS DOUBLE) / 28 + :more_sold) * 10000 + 0.5) / 10000 AS DECIMAL(24,4)) AS share_yesterday
  FROM transactions t
  JOIN (
    SELECT
      k.ds,
      k.merchant_key,
      SUM(k.transactions) AS transactions,
      SUM(k.reports) AS reports,
      SUM(k.reports_7) AS reports_7,
      SUM(k.reports_1) AS reports_1
    FROM (
      -- days that earlier releases computed have no keys, and a row for each spelling
      SELECT
        m.ds, COALESCE(m.merchant_key, LOWER(TRIM(m.merchant_id))) AS merchant_key,
        m.transactions, m.reports, m.reports_7, m.reports_1
      FROM merchant_profiles m
    ) k
    GROUP BY k.ds, k.merchant_key
  ) p ON p.ds = t.ds AND p.merchant_key = COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id)))
  -- the merchant of a transfer is a bank, which sold nothing; a refund is no purchase
  WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')
) m
