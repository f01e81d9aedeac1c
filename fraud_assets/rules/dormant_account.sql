-- title: Dormant account
-- description: An account that was not used for weeks pays a large amount.
-- blind_spot: An account whose last payment is further back than its profile reaches, and one that was never used.
-- severity: high
-- weight: 0.5
-- params:
--   quiet_days: {type: integer, default: 45, min: 2, max: 90, description: Days without a payment from which an account is dormant.}
--   times_mean: {type: decimal, default: 2, min: 0, max: 1000, description: Multiple of the customer's mean amount from which a payment is large.}
-- reason: "{amount} {currency} from an account that was last used {quiet} days before, on {last_day}; its mean is {mean}"
-- source: "Dormant accounts: FATF, Risk-based approach guidance for the banking sector, 2014."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.quiet >= :quiet_days AND w.amount >= w.mean * :times_mean AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.mean,
  w.quiet,
  w.last_day
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    t.currency,
    p.amount_mean AS mean,
    k.last_day,
    DATEDIFF(t.event_time, k.last_day) AS quiet
  FROM transactions t
  JOIN customer_profiles p
    ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  -- used in any currency is used
  JOIN (SELECT u.ds, u.customer_id, MAX(u.last_day) AS last_day FROM customer_profiles u GROUP BY u.ds, u.customer_id) k
    ON k.ds = t.ds AND k.customer_id = t.customer_id
  WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund')
) w
