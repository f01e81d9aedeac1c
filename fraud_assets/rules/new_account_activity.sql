-- title: New account, much spent
-- description: A customer whose account is a few days old spends much within 24 hours.
-- blind_spot: An account whose opening date is not known, and one that was opened early and kept quiet until it was used.
-- severity: medium
-- weight: 0.4
-- lookback: 24h
-- lookback_of: customer
-- params:
--   new_for_days: {type: integer, default: 7, min: 1, max: 90, description: Days for which an account is new.}
--   thresholds:
--     type: amounts
--     default: {EUR: 400, USD: 440, GBP: 360, CHF: 400, SEK: 4500, JPY: 60000, BRL: 2000, PLN: 1600, TRY: 16000, null: 400}
--     min: 1
--     max: 1000000000
--     description: A sum over this in 24 hours is much, per currency.
-- reason: "{together} {currency} in 24 hours, with an account that is {days_open} days old"
-- source: "New-account fraud: European Payments Council, Payment Threats and Fraud Trends Report."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.days_open < :new_for_days AND w.together > w.threshold AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.together,
  w.days_open
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    t.currency,
    th.amount AS threshold,
    DATEDIFF(t.event_time, c.opened_at) AS days_open,
    CAST(SUM(t.amount) OVER (
      PARTITION BY t.customer_id, t.currency ORDER BY UNIX_TIMESTAMP(t.event_time) RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS together
  FROM transactions t
  JOIN customers c ON c.ds = t.ds AND c.customer_id = t.customer_id
  JOIN params.thresholds th ON th.currency <=> t.currency
  WHERE (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund'))
    AND (t.status IS NULL OR t.status <> 'declined')
    AND c.opened_at IS NOT NULL
) w
