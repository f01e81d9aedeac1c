-- title: Shared amount
-- description: Three customers pay the same amount to the same merchant within ten minutes.
-- blind_spot: Groups that vary the amount, or wait longer than ten minutes.
-- severity: medium
-- status: shadow
-- weight: 0.2
-- lookback: 10m
-- params:
--   least_customers: {type: integer, default: 3, min: 2, max: 20, description: Customers with the same amount.}
-- reason: "{customers} customers paid {amount} {currency} to {merchant_id} within ten minutes"
-- source: A fraud analyst.
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  n.customers >= :least_customers AS hit,
  n.customers,
  t.amount,
  t.currency,
  t.merchant_id
FROM transactions t
-- distinct values in a window are counted by a join and GROUP BY
JOIN (
  SELECT a.transaction_id, COUNT(DISTINCT b.customer_id) AS customers
  FROM transactions a
  JOIN transactions b
    ON b.merchant_key = a.merchant_key AND b.amount = a.amount AND b.currency <=> a.currency
    -- a difference of times: `fraud rules check` compares it with the lookback
    AND UNIX_MICROS(a.event_time) - UNIX_MICROS(b.event_time) >= 0
    AND UNIX_MICROS(a.event_time) - UNIX_MICROS(b.event_time) <= 599999999
  GROUP BY a.transaction_id
) n ON n.transaction_id = t.transaction_id
