-- title: Velocity
-- description: Many transactions of one customer in a short time.
-- blind_spot: One large fraud, fraud that takes its time, and bursts that are spread over several customers.
-- severity: low
-- weight: 0.2
-- lookback: 24h
-- lookback_of: customer
-- params:
--   most_in_10_minutes: {type: integer, default: 5, min: 1, max: 100000, description: More transactions than this in 10 minutes are many.}
--   most_in_an_hour: {type: integer, default: 20, min: 1, max: 100000, description: More transactions than this in an hour are many.}
--   most_in_a_day: {type: integer, default: 70, min: 1, max: 100000, description: More transactions than this in 24 hours are many.}
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
      PARTITION BY t.customer_id ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 599 PRECEDING AND CURRENT ROW
    ) AS in_10_minutes,
    COUNT(*) OVER (
      PARTITION BY t.customer_id ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 3599 PRECEDING AND CURRENT ROW
    ) AS in_an_hour,
    COUNT(*) OVER (
      PARTITION BY t.customer_id ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
    ) AS in_a_day
  FROM transactions t
) w
