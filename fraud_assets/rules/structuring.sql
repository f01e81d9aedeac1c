-- title: Structuring
-- description: Three or more transfers within 24 hours that each stay a little under a limit from which banks report.
-- blind_spot: Transfers spread over several customers, currencies or more than 24 hours.
-- severity: high
-- weight: 0.7
-- lookback: 24h
-- lookback_of: customer
-- params:
--   limits:
--     type: amounts
--     default: {EUR: 10000, USD: 10000, GBP: 10000, CHF: 15000, JPY: 1000000, BRL: 50000, PLN: 60000, TRY: 200000, null: 10000}
--     min: 1
--     max: 1000000000
--     description: The amount from which a transfer is looked at, per currency.
--   least_share: {type: decimal, default: 0.8, min: 0.01, max: 0.99, description: "From this share of the limit on, and under it, an amount is just under."}
--   least_transfers: {type: integer, default: 3, min: 2, max: 1000, description: Such transfers in 24 hours from which they look like one amount in pieces.}
-- reason: "{transfers} transfers just under {reported_from} {currency} in 24 hours, {together} together"
-- source: "FATF recommendation 20 on structuring; reporting thresholds: 31 CFR 1010.311 (USD), Regulation (EU) 2024/1624 (EUR)."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.is_just_under = 1 AND w.transfers >= :least_transfers AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.reported_from,
  w.transfers,
  w.together
FROM (
  SELECT
    u.transaction_id,
    u.customer_id,
    u.event_time,
    u.amount,
    u.currency,
    u.reported_from,
    u.is_just_under,
    SUM(u.is_just_under) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_TIMESTAMP(u.event_time) RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
    ) AS transfers,
    CAST(SUM(CASE WHEN u.is_just_under = 1 THEN u.amount END) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_TIMESTAMP(u.event_time) RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS together
  FROM (
    SELECT
      t.transaction_id,
      t.customer_id,
      t.event_time,
      t.amount,
      t.currency,
      l.amount AS reported_from,
      CASE WHEN t.amount < l.amount AND t.amount >= l.amount * :least_share THEN 1 ELSE 0 END AS is_just_under
    FROM transactions t
    JOIN params.limits l ON l.currency <=> t.currency
    WHERE t.transaction_type = 'transfer_out' AND (t.status IS NULL OR t.status <> 'declined')
  ) u
) w
