-- title: Daily customer outliers
-- description: "Payments of the day far above the 95th percentile of the customer's own payments, per currency."
-- params:
--   times_p95: {type: decimal, default: 1.6, min: 1, max: 100, description: "Multiple of the customer's 95th percentile from which a payment is an outlier."}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Minimum number of payments in the history; below it no payment is an outlier.}
SELECT
  t.customer_id,
  t.currency,
  COUNT(*) AS outliers,
  t.ds
FROM transactions t
JOIN customer_amounts p
  ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
WHERE p.transactions >= :least_history
  AND t.amount >= :times_p95 * p.amount_p95
  AND (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
  AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
GROUP BY t.customer_id, t.currency, t.ds
