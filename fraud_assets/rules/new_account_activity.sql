-- title: High spending from a new account
-- description: A customer whose account is a few days old spends a large sum within 24 hours.
-- blind_spot: Accounts whose opening date is unknown or in the future, sums over several currencies, and accounts that were opened early and left unused until the fraud.
-- severity: medium
-- weight: 0.4
-- lookback: 24h
-- lookback_of: customer
-- params:
--   new_for_days: {type: integer, default: 7, min: 1, max: 90, description: Age in days below which an account is new.}
--   thresholds:
--     type: amounts
--     default: {EUR: 400, USD: 440, GBP: 360, CHF: 400, SEK: 4500, JPY: 60000, BRL: 2000, PLN: 1600, TRY: 16000, null: 400}
--     min: 1
--     max: 1000000000
--     description: Sum in 24 hours above which spending is high, per currency.
-- reason: "{together} {currency} in 24 hours, with an account that is {days_open} days old{not_added}"
-- source: "New-account fraud: European Payments Council, Payment Threats and Fraud Trends Report."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.days_open < :new_for_days AND w.together > w.threshold AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.together,
  w.days_open,
  CASE WHEN w.payments_in_all > w.payments_here THEN CONCAT(
    '; payments in other currencies are not added (', CAST(w.payments_in_all - w.payments_here AS STRING), ')'
  ) ELSE '' END AS not_added
FROM (
  SELECT
    a.transaction_id,
    a.customer_id,
    a.event_time,
    a.amount,
    a.currency,
    a.together,
    a.payments_in_all,
    a.payments_here,
    th.amount AS threshold,
    CASE
      WHEN c.customer_id IS NOT NULL THEN DATEDIFF(a.event_time, c.opened_at)
      -- neither in the day's snapshot nor used before: opened today
      WHEN k.customer_id IS NULL THEN 0
    END AS days_open
  FROM (
    SELECT
      t.transaction_id,
      t.customer_id,
      t.event_time,
      t.amount,
      t.currency,
      t.ds,
      CAST(SUM(t.amount) OVER (
        PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
      ) AS DECIMAL(38,2)) AS together,
      COUNT(*) OVER (
        PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
      ) AS payments_in_all,
      COUNT(*) OVER (
        PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
      ) AS payments_here
    FROM transactions t
    WHERE (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund'))
      AND (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
  ) a
  JOIN params.thresholds th ON th.currency <=> a.currency
  -- a day without customers cannot be judged
  JOIN (SELECT s.ds FROM customers s GROUP BY s.ds) n ON n.ds = a.ds
  LEFT JOIN customers c ON c.ds = a.ds AND c.customer_id = a.customer_id
  LEFT JOIN (SELECT u.ds, u.customer_id FROM customer_profiles u GROUP BY u.ds, u.customer_id) k
    ON k.ds = a.ds AND k.customer_id = a.customer_id
) w
-- an account whose opening is unknown or in the future has no age
WHERE w.days_open >= 0
