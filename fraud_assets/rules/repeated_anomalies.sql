-- title: Repeated anomalies
-- description: The customer was unusual several times in the last 7 days, and seldom before, and is so again.
-- blind_spot: The first payments of a series, fraud in the customer's usual amounts, customers with a short history, and those whose payments often are unusual.
-- severity: high
-- weight: 0.8
-- lookback: 24h
-- lookback_of: customer
-- params:
--   least_anomalies: {type: integer, default: 2, min: 1, max: 1000, description: Unusual payments in the 7 days before and earlier on the day from which the next one is a repetition.}
--   least_share: {type: decimal, default: 0.5, min: 0, max: 1, description: "Those, as a share of the ones in 90 days: who often pays unusual amounts is as usual."}
--   deviations: {type: decimal, default: 3, min: 1, max: 100, description: "Standard deviations above the mean from which a payment of the day is unusual; those of the days before are counted with the param of customer_daily_anomalies."}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Transactions in the history below which nothing is unusual.}
-- reason: "{amount} {currency} is {deviations_above} standard deviations above this customer's mean of {mean}, after {anomalies} unusual payments in 7 days and {older} in the weeks before them"
-- source: "The project's design (how often the customer was unusual in the last 7 days); a card's last days against its own past: Whitrow et al., Transaction aggregation as a strategy for credit card fraud detection, 2009."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.is_unusual = 1
    AND w.anomalies >= :least_anomalies
    AND w.anomalies >= :least_share * (w.anomalies + w.older) AS hit,
  w.amount,
  COALESCE(w.currency, '(currency not named)') AS currency,
  w.deviations_above,
  w.mean,
  w.anomalies,
  w.older
FROM (
  SELECT
    u.transaction_id,
    u.customer_id,
    u.event_time,
    u.amount,
    u.currency,
    u.deviations_above,
    u.mean,
    u.is_unusual,
    -- of the day only: what was before midnight is in customer_anomalies
    u.anomalies_7 + COALESCE(SUM(u.is_unusual) OVER (
      PARTITION BY u.customer_id, u.currency, u.ds
      ORDER BY UNIX_TIMESTAMP(u.event_time) RANGE BETWEEN 86399 PRECEDING AND 1 PRECEDING
    ), 0) AS anomalies,
    u.older
  FROM (
    SELECT
      t.transaction_id,
      t.customer_id,
      t.event_time,
      t.amount,
      t.currency,
      t.ds,
      CAST(FLOOR(CAST(t.amount - p.amount_mean AS DOUBLE) / CAST(p.amount_deviation AS DOUBLE) * 100 + 0.5) / 100 AS DECIMAL(18,2))
        AS deviations_above,
      p.amount_mean AS mean,
      CASE WHEN t.amount >= p.amount_mean + :deviations * p.amount_deviation THEN 1 ELSE 0 END AS is_unusual,
      COALESCE(a.anomalies_7, 0) AS anomalies_7,
      COALESCE(a.anomalies - a.anomalies_7, 0) AS older
    FROM transactions t
    JOIN customer_profiles p
      ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
    -- who never was unusual has no row
    LEFT JOIN customer_anomalies a
      ON a.ds = t.ds AND a.customer_id = t.customer_id AND a.currency <=> t.currency
    -- what the look-back has of the day before is not counted here, and not joined
    WHERE t.ds >= DATE_FORMAT(:window_start, 'yyyy-MM-dd')
      AND p.transactions >= :least_history
      AND p.amount_deviation > 0
      AND (t.status IS NULL OR t.status <> 'declined')
      AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
  ) u
) w
