-- title: Pass-through
-- description: Money came in, and about the same sum went out again within 24 hours.
-- blind_spot: Money that leaves in another currency, by card or in cash, or after more than 24 hours.
-- severity: high
-- weight: 0.6
-- lookback: 24h
-- lookback_of: customer
-- params:
--   tolerance: {type: decimal, default: 0.1, min: 0, max: 0.9, description: "Largest difference between the outgoing and the incoming sum, as a share of the incoming sum."}
--   least_amounts:
--     type: amounts
--     default: {EUR: 500, USD: 550, GBP: 450, CHF: 500, SEK: 5500, JPY: 75000, BRL: 2500, PLN: 2000, TRY: 20000, null: 500}
--     min: 0
--     max: 1000000000
--     description: Smallest incoming sum that can hit, per currency.
-- reason: "{came_in} {currency} came in and {went_out} went out within 24 hours{not_added}"
-- source: "Money mules: Europol, EMMA; FATF, Professional Money Laundering, 2018."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.transaction_type = 'transfer_out'
    AND COALESCE(w.came_in >= l.amount
      AND w.went_out >= w.came_in * (1 - :tolerance)
      AND w.went_out <= w.came_in * (1 + :tolerance), FALSE) AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.came_in,
  w.went_out,
  CASE WHEN w.transfers_in_all > w.transfers_here THEN CONCAT(
    '; transfers in other currencies are not added (', CAST(w.transfers_in_all - w.transfers_here AS STRING), ')'
  ) ELSE '' END AS not_added
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    t.currency,
    t.transaction_type,
    CAST(SUM(CASE WHEN t.transaction_type = 'transfer_in' THEN t.amount END) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS came_in,
    CAST(SUM(CASE WHEN t.transaction_type = 'transfer_out' THEN t.amount END) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS went_out,
    COUNT(*) OVER (
      PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS transfers_in_all,
    COUNT(*) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS transfers_here
  FROM transactions t
  -- a reversed transfer moved nothing
  WHERE t.transaction_type IN ('transfer_in', 'transfer_out') AND (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
) w
JOIN params.least_amounts l ON l.currency <=> w.currency
