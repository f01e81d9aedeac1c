-- title: Structuring
-- description: Three or more transfers within 24 hours, each just below the limit from which banks must report.
-- blind_spot: Transfers spread over several customers or currencies, or over more than 24 hours.
-- severity: high
-- weight: 0.7
-- lookback: 24h
-- lookback_of: customer
-- params:
--   limits:
--     type: amounts
--     default: {EUR: 10000, USD: 10000, GBP: 10000, CHF: 15000, JPY: 1000000, BRL: 50000, PLN: 60000, TRY: 200000, null: 10000}
--     min: 1
--     max: 1000000000
--     description: Amount from which a transfer must be reported, per currency.
--   least_share: {type: decimal, default: 0.8, min: 0.01, max: 0.99, description: "Share of the limit from which an amount counts as just below it."}
--   least_transfers: {type: integer, default: 3, min: 2, max: 1000, description: Minimum number of such transfers in 24 hours.}
-- reason: "{transfers} transfers just under {reported_from} {currency} in 24 hours, {together} together{not_added}"
-- source: "FATF recommendation 20 on structuring; reporting thresholds: 31 CFR 1010.311 (USD), Regulation (EU) 2024/1624 (EUR)."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.is_just_under = 1 AND w.transfers >= :least_transfers AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.reported_from,
  w.transfers,
  w.together,
  CASE WHEN w.transfers_in_all > w.transfers_here THEN CONCAT(
    '; transfers in other currencies are not added (', CAST(w.transfers_in_all - w.transfers_here AS STRING), ')'
  ) ELSE '' END AS not_added
FROM (
  SELECT
    u.transaction_id,
    u.customer_id,
    u.event_time,
    u.amount,
    u.currency,
    u.reported_from,
    u.is_just_under,
    SUM(u.is_just_under) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_MICROS(u.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS transfers,
    CAST(SUM(CASE WHEN u.is_just_under = 1 THEN u.amount END) OVER (
      PARTITION BY u.customer_id, u.currency ORDER BY UNIX_MICROS(u.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS DECIMAL(38,2)) AS together,
    u.transfers_in_all,
    u.transfers_here
  FROM (
    SELECT
      a.transaction_id,
      a.customer_id,
      a.event_time,
      a.amount,
      a.currency,
      a.transfers_in_all,
      a.transfers_here,
      l.amount AS reported_from,
      CASE WHEN a.amount < l.amount AND a.amount >= l.amount * :least_share THEN 1 ELSE 0 END AS is_just_under
    FROM (
      SELECT
        t.transaction_id,
        t.customer_id,
        t.event_time,
        t.amount,
        t.currency,
        COUNT(*) OVER (
          PARTITION BY t.customer_id ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
        ) AS transfers_in_all,
        COUNT(*) OVER (
          PARTITION BY t.customer_id, t.currency ORDER BY UNIX_MICROS(t.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
        ) AS transfers_here
      FROM transactions t
      -- a reversed transfer moved nothing
      WHERE t.transaction_type = 'transfer_out' AND (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
    ) a
    JOIN params.limits l ON l.currency <=> a.currency
  ) u
) w
