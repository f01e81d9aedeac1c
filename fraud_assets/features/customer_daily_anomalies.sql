-- title: Daily customer anomalies
-- description: Payments of the day far above the customer's profile, per currency.
-- params:
--   deviations: {type: decimal, default: 3, min: 1, max: 100, description: Standard deviations above the mean from which a payment is an anomaly.}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Minimum number of transactions in the history; below it no payment is an anomaly.}
--   least_spread: {type: decimal, default: 0.1, min: 0, max: 1, description: "Smallest deviation that is taken, as a share of the mean, so that a customer whose amounts are all alike is judged; never less than 0.01."}
SELECT
  t.customer_id,
  t.currency,
  COUNT(*) AS anomalies,
  t.ds
FROM transactions t
JOIN customer_profiles p
  ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
WHERE p.transactions >= :least_history
  AND t.amount >= p.amount_mean + :deviations * GREATEST(p.amount_deviation, CAST(FLOOR(CAST(p.amount_mean AS DOUBLE) * :least_spread * 100 + 0.5) / 100 AS DECIMAL(18,2)), CAST(0.01 AS DECIMAL(18,2)))
  AND (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
  AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
GROUP BY t.customer_id, t.currency, t.ds
