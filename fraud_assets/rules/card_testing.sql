-- title: Card testing
-- description: Several small or declined payments of a customer, then a large one.
-- blind_spot: Tests spread over several customers or more than two hours, and customers without a history in the currency.
-- severity: critical
-- weight: 0.7
-- lookback: 2h
-- lookback_of: customer
-- params:
--   least_tests: {type: integer, default: 3, min: 1, max: 1000, description: Small or declined payments in 2 hours from which they look like tests.}
--   small_share: {type: decimal, default: 0.25, min: 0.0001, max: 1, description: An amount up to this share of the customer's mean is small.}
--   large_times: {type: decimal, default: 3, min: 1, max: 1000, description: An amount from this multiple of the customer's mean on is large.}
-- reason: "{amount} {currency} after {tests} small or declined payments in 2 hours; this customer's mean is {mean}"
-- source: "Card testing: Visa, Account and Transaction Attacks, best practices for merchants."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.tests >= :least_tests AND w.amount >= w.mean * :large_times AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.tests,
  w.mean
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    t.currency,
    p.amount_mean AS mean,
    -- of the seconds before this one: a payment is no test of itself
    COALESCE(SUM(CASE WHEN t.amount <= p.amount_mean * :small_share OR t.status = 'declined' THEN 1 ELSE 0 END) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 7199 PRECEDING AND 1 PRECEDING
    ), 0) AS tests
  FROM transactions t
  JOIN customer_profiles p
    ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')
) w
