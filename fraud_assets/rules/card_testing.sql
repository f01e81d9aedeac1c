-- title: Card testing
-- description: Several small or declined payments by a customer, then a large one; declines for technical reasons do not count.
-- blind_spot: Tests spread over several customers or over more than two hours, declines that the source calls technical, and customers without a history in the currency.
-- severity: critical
-- weight: 0.7
-- lookback: 2h
-- lookback_of: customer
-- params:
--   least_tests: {type: integer, default: 3, min: 1, max: 1000, description: Minimum number of small or declined payments in 2 hours.}
--   small_share: {type: decimal, default: 0.25, min: 0.0001, max: 1, description: Share of the customer's mean up to which an amount is small.}
--   large_times: {type: decimal, default: 3, min: 1, max: 1000, description: Multiple of the customer's mean from which an amount is large.}
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
    -- the frame ends a microsecond before this payment, which does not test itself; an outage is no test
    COALESCE(SUM(CASE
      WHEN COALESCE(t.status = 'declined' AND LOWER(TRIM(t.decline_reason)) IN (
      'processor_error', 'issuer_unavailable', 'acquirer_unavailable', 'network_error', 'system_error', 'timeout', '68', '91', '96'
    ), FALSE) THEN 0
      WHEN t.amount <= p.amount_mean * :small_share OR t.status = 'declined' THEN 1
      ELSE 0
    END) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 7199999999 PRECEDING AND 1 PRECEDING
    ), 0) AS tests
  FROM transactions t
  JOIN customer_profiles p
    ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')
) w
