-- title: High-risk customer spends more than usual
-- description: A customer with a low credit score or many fraud reports spends far more than usual.
-- blind_spot: Customers without a history in the currency, and customers whose low score or reports arrived during the day.
-- severity: high
-- weight: 0.4
-- params:
--   times_mean: {type: decimal, default: 4, min: 0, max: 1000, description: Multiple of the customer's mean amount above which a payment hits.}
-- reason: "{risk}; {amount} {currency} is more than {times_mean} times this customer's mean of {mean}"
-- source: The original report, rule 3 (high_risk_customers).
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  r.customer_id IS NOT NULL AND t.amount > p.amount_mean * :times_mean AS hit,
  t.amount,
  COALESCE(t.currency, '(currency not named)') AS currency,
  p.amount_mean AS mean,
  r.reason AS risk
FROM transactions t
JOIN customer_profiles p
  ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
LEFT JOIN high_risk_customers r ON r.ds = t.ds AND r.customer_id = t.customer_id
WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')
