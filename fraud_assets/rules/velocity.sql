-- title: Velocity
-- description: Many transactions by one customer in a short time; without refunds, incoming and reversed ones, and technical declines.
-- blind_spot: A single large fraud, slow fraud, and bursts spread over several customers.
-- severity: low
-- weight: 0.2
-- lookback: 24h
-- lookback_of: customer
-- params:
--   most_in_10_minutes: {type: integer, default: 5, min: 1, max: 100000, description: Maximum number of transactions in 10 minutes without a hit.}
--   most_in_an_hour: {type: integer, default: 20, min: 1, max: 100000, description: Maximum number of transactions in an hour without a hit.}
--   most_in_a_day: {type: integer, default: 70, min: 1, max: 100000, description: Maximum number of transactions in 24 hours without a hit.}
-- reason: "{in_10_minutes} transactions in 10 minutes, {in_an_hour} in an hour, {in_a_day} in 24 hours; more than {most_in_10_minutes}, {most_in_an_hour} or {most_in_a_day} are many"
-- source: "Velocity checks: Visa, Payment Fraud Disruption, velocity rules; Bolton and Hand, Statistical Fraud Detection, 2002."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.in_10_minutes > :most_in_10_minutes OR w.in_an_hour > :most_in_an_hour OR w.in_a_day > :most_in_a_day AS hit,
  w.in_10_minutes,
  w.in_an_hour,
  w.in_a_day
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    COUNT(*) OVER (
      PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 599999999 PRECEDING AND CURRENT ROW
    ) AS in_10_minutes,
    COUNT(*) OVER (
      PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 3599999999 PRECEDING AND CURRENT ROW
    ) AS in_an_hour,
    COUNT(*) OVER (
      PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS in_a_day
  FROM transactions t
  -- the customer's own acts; a payment that timed out is tried again by the terminal, and reversed
  WHERE (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund'))
    AND (t.status IS NULL OR t.status <> 'reversed')
    AND NOT COALESCE(t.status = 'declined' AND LOWER(TRIM(t.decline_reason)) IN (
      'processor_error', 'issuer_unavailable', 'acquirer_unavailable', 'network_error', 'system_error', 'timeout', '68', '91', '96'
    ), FALSE)
) w
