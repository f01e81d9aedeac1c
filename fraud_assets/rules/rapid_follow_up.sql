-- title: Rapid follow-up
-- description: Several payments within half an hour, each well above what the customer usually pays.
-- blind_spot: A single large payment, and customers without a history in the currency.
-- severity: medium
-- weight: 0.5
-- lookback: 30m
-- lookback_of: customer
-- params:
--   least_payments: {type: integer, default: 2, min: 2, max: 1000, description: Such payments in half an hour from which they follow rapidly.}
--   times_mean: {type: decimal, default: 3, min: 1, max: 1000, description: Multiple of the customer's mean amount from which a payment is well above.}
-- reason: "{payments} payments of {times_mean} times this customer's mean of {mean} or more in half an hour, {together} {currency} together"
-- source: The project's design, rules on sequences; Bolton and Hand, Statistical Fraud Detection, 2002.
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.is_large = 1 AND w.payments >= :least_payments AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.mean,
  w.payments,
  w.together
FROM (
  SELECT
    u.transaction_id,
    u.customer_id,
    u.event_time,
    u.amount,
    u.currency,
    u.mean,
    u.is_large,
    SUM(u.is_large) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_TIMESTAMP(u.event_time) RANGE BETWEEN 1799 PRECEDING AND CURRENT ROW
    ) AS payments,
    CAST(SUM(CASE WHEN u.is_large = 1 THEN u.amount END) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_TIMESTAMP(u.event_time) RANGE BETWEEN 1799 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS together
  FROM (
    SELECT
      t.transaction_id,
      t.customer_id,
      t.event_time,
      t.amount,
      t.currency,
      p.amount_mean AS mean,
      CASE WHEN t.amount >= p.amount_mean * :times_mean THEN 1 ELSE 0 END AS is_large
    FROM transactions t
    JOIN customer_profiles p
      ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
    WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')
  ) u
) w
