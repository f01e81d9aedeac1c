-- title: High value
-- description: The amount is over the threshold of its currency.
-- blind_spot: Fraud in amounts under the threshold, and currencies that have none.
-- severity: medium
-- weight: 0.3
-- params:
--   thresholds:
--     type: amounts
--     # null: the source has one currency and does not name it
--     default: {EUR: 2000, USD: 2200, GBP: 1700, CHF: 1900, SEK: 22000, JPY: 320000, null: 2000}
--     min: 1
--     max: 1000000000
--     description: The amount over which a transaction is of high value, per currency.
-- reason: "{amount} {currency} is over the threshold of {threshold}"
-- source: The original report, rule 1 (High-Value); thresholds are the operator's own.
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
-- a salary that comes in is no spending
WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund')
