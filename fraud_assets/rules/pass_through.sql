-- title: Pass-through
-- description: Money came in, and within 24 hours about as much of it went out again.
-- blind_spot: Money that leaves in another currency, by card or in cash, or more than 24 hours later.
-- severity: high
-- weight: 0.6
-- lookback: 24h
-- lookback_of: customer
-- params:
--   tolerance: {type: decimal, default: 0.1, min: 0, max: 0.9, description: "How far the sum that went out may be from the sum that came in, as a share of it."}
--   least_amounts:
--     type: amounts
--     default: {EUR: 500, USD: 550, GBP: 450, CHF: 500, SEK: 5500, JPY: 75000, BRL: 2500, PLN: 2000, TRY: 20000, null: 500}
--     min: 0
--     max: 1000000000
--     description: Sums under this are not looked at, per currency.
-- reason: "{came_in} {currency} came in and {went_out} went out within 24 hours"
-- source: "Money mules: Europol, EMMA; FATF, Professional Money Laundering, 2018."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.transaction_type = 'transfer_out'
    AND COALESCE(w.came_in >= w.least_amount
      AND w.went_out >= w.came_in * (1 - :tolerance)
      AND w.went_out <= w.came_in * (1 + :tolerance), FALSE) AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.came_in,
  w.went_out
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    t.currency,
    t.transaction_type,
    l.amount AS least_amount,
    CAST(SUM(CASE WHEN t.transaction_type = 'transfer_in' THEN t.amount END) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS came_in,
    CAST(SUM(CASE WHEN t.transaction_type = 'transfer_out' THEN t.amount END) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS went_out
  FROM transactions t
  JOIN params.least_amounts l ON l.currency <=> t.currency
  WHERE t.transaction_type IN ('transfer_in', 'transfer_out') AND (t.status IS NULL OR t.status <> 'declined')
) w
