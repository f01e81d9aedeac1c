-- title: Dormant account
-- description: A large payment from an account that was unused for weeks.
-- blind_spot: Accounts that only make transfers, accounts unused since before the data begin, and accounts without a profile that are emptied by a transfer.
-- severity: high
-- weight: 0.5
-- params:
--   quiet_days: {type: integer, default: 45, min: 2, max: 90, description: Days without a payment from which an account is dormant.}
--   times_mean: {type: decimal, default: 2, min: 0, max: 1000, description: Multiple of the customer's mean amount from which a payment is large.}
--   least_amounts:
--     type: amounts
--     default: {EUR: 200, USD: 220, GBP: 180, CHF: 200, SEK: 2200, JPY: 30000, BRL: 1000, PLN: 800, TRY: 8000, null: 200}
--     min: 0
--     max: 1000000000
--     description: Amount from which a payment is large if the customer has no mean in the currency, per currency.
-- reason: "{amount} {currency} from an account that {finding}"
-- source: "Dormant accounts: FATF, Risk-based approach guidance for the banking sector, 2014."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.quiet >= :quiet_days
    AND (w.amount >= w.mean * :times_mean OR w.mean IS NULL AND w.amount >= w.least_amount) AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.mean,
  w.quiet,
  w.last_day,
  CONCAT(
    CASE
      WHEN w.last_day IS NOT NULL THEN CONCAT('was last used ', CAST(w.quiet AS STRING), ' days before, on ', w.last_day)
      ELSE CONCAT('was opened on ', w.opened_on, ' and not used for at least ', CAST(w.quiet AS STRING), ' days')
    END,
    CASE
      WHEN w.mean IS NOT NULL THEN CONCAT('; its mean is ', CAST(w.mean AS STRING))
      ELSE CONCAT('; it has no mean, ', CAST(w.least_amount AS STRING), ' is large')
    END
  ) AS finding
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    t.currency,
    p.amount_mean AS mean,
    l.amount AS least_amount,
    k.last_day,
    DATE_FORMAT(c.opened_at, 'yyyy-MM-dd') AS opened_on,
    CASE
      WHEN k.last_day IS NOT NULL THEN DATEDIFF(t.event_time, k.last_day)
      -- without a profile: unused for as long as profiles reach back, or since the account was opened
      WHEN DATEDIFF(t.event_time, c.opened_at) < DATEDIFF(t.event_time, h.first_day) THEN DATEDIFF(t.event_time, c.opened_at)
      ELSE DATEDIFF(t.event_time, h.first_day)
    END AS quiet
  FROM transactions t
  LEFT JOIN customer_profiles p
    ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  -- a payment in any currency counts as use
  LEFT JOIN (SELECT u.ds, u.customer_id, MAX(u.last_day) AS last_day FROM customer_profiles u GROUP BY u.ds, u.customer_id) k
    ON k.ds = t.ds AND k.customer_id = t.customer_id
  -- the first day on which anybody paid is a day that the profiles know of everybody
  LEFT JOIN (SELECT v.ds, MIN(v.first_day) AS first_day FROM customer_profiles v GROUP BY v.ds) h ON h.ds = t.ds
  LEFT JOIN customers c ON c.ds = t.ds AND c.customer_id = t.customer_id
  LEFT JOIN params.least_amounts l ON l.currency <=> t.currency
  WHERE (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'refund'))
    AND (p.customer_id IS NOT NULL OR l.amount IS NOT NULL)
    AND (
      k.last_day IS NOT NULL
      -- a profile knows no transfers: without one, an account that sends money may have sent money before
      OR (t.transaction_type IS NULL OR t.transaction_type <> 'transfer_out')
        AND k.customer_id IS NULL
        AND c.opened_at <= t.event_time
        AND DATEDIFF(t.event_time, h.first_day) >= :quiet_days
    )
) w
