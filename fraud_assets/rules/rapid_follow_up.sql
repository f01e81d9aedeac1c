-- title: Rapid follow-up
-- description: Several payments within half an hour, each well above the customer's usual amounts.
-- blind_spot: A single large payment, and customers without a history in the currency.
-- severity: medium
-- weight: 0.5
-- lookback: 30m
-- lookback_of: customer
-- params:
--   least_payments: {type: integer, default: 2, min: 2, max: 1000, description: Minimum number of such payments in half an hour.}
--   times_mean: {type: decimal, default: 3, min: 1, max: 1000, description: Multiple of the customer's mean amount from which a payment is well above usual.}
-- reason: "{payments} payments of {times_mean} times this customer's mean of {mean} or more in half an hour, {together} {currency} together{not_added}"
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
  w.together,
  CASE WHEN w.payments_in_all > w.payments_here THEN CONCAT(
    '; payments in other currencies are not added (', CAST(w.payments_in_all - w.payments_here AS STRING), ')'
  ) ELSE '' END AS not_added
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
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_MICROS(u.event_time) RANGE BETWEEN 1799999999 PRECEDING AND CURRENT ROW
    ) AS payments,
    CAST(SUM(CASE WHEN u.is_large = 1 THEN u.amount END) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_MICROS(u.event_time) RANGE BETWEEN 1799999999 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS together,
    u.payments_in_all,
    u.payments_here
  FROM (
    SELECT
      a.transaction_id,
      a.customer_id,
      a.event_time,
      a.amount,
      a.currency,
      a.payments_in_all,
      a.payments_here,
      p.amount_mean AS mean,
      CASE WHEN a.amount >= p.amount_mean * :times_mean THEN 1 ELSE 0 END AS is_large
    FROM (
      SELECT
        t.transaction_id,
        t.customer_id,
        t.event_time,
        t.amount,
        t.currency,
        t.ds,
        COUNT(*) OVER (
          PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 1799999999 PRECEDING AND CURRENT ROW
        ) AS payments_in_all,
        COUNT(*) OVER (
          PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 1799999999 PRECEDING AND CURRENT ROW
        ) AS payments_here
      FROM transactions t
      WHERE (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
        AND (t.status IS NULL OR t.status <> 'reversed')
        -- one payment that is tried again during an outage is not several
        AND NOT COALESCE(t.status = 'declined' AND LOWER(TRIM(t.decline_reason)) IN (
          'processor_error', 'issuer_unavailable', 'acquirer_unavailable', 'network_error', 'system_error', 'timeout', '68', '91', '96'
        ), FALSE)
    ) a
    JOIN customer_profiles p
      ON p.ds = a.ds AND p.customer_id = a.customer_id AND p.currency <=> a.currency
  ) u
) w
