-- title: Daily anomalies of customers
-- description: How many payments of the day were far above what was usual for the customer when it began, per currency.
-- params:
--   deviations: {type: decimal, default: 3, min: 1, max: 100, description: Standard deviations above the mean from which a payment is an anomaly.}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Transactions in the history below which nothing is an anomaly.}
SELECT
  t.customer_id,
  t.currency,
  COUNT(*) AS anomalies,
  t.ds
FROM transactions t
JOIN customer_profiles p
  ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
WHERE p.transactions >= :least_history
  AND p.amount_deviation > 0
  AND t.amount >= p.amount_mean + :deviations * p.amount_deviation
  AND (t.status IS NULL OR t.status <> 'declined')
  AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
GROUP BY t.customer_id, t.currency, t.ds
