-- title: High value
-- description: The amount is above the threshold of its currency.
-- blind_spot: Fraud in amounts below the threshold, and currencies without a threshold.
-- severity: medium
-- weight: 0.3
-- params:
--   thresholds:
--     type: amounts
--     # null: for a source with a single currency that it does not name
--     default: {EUR: 2000, USD: 2200, GBP: 1700, CHF: 1900, SEK: 22000, JPY: 320000, null: 2000}
--     min: 1
--     max: 1000000000
--     description: Amount above which a transaction is of high value, per currency.
-- reason: "{amount} {currency} is over the threshold of {threshold}"
-- source: The original report, rule 1 (High-Value); the operator chooses the thresholds.
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  t.amount > th.amount AS hit,
  t.amount,
  COALESCE(t.currency, '(currency not named)') AS currency,
  th.amount AS threshold
FROM transactions t
JOIN params.thresholds th ON th.currency <=> t.currency
-- incoming money, such as a salary, is not spending
WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund')
