-- title: Repeated anomalies
-- description: An unusual payment by a customer with several unusual payments in the last 7 days and few before.
-- blind_spot: The first payments of a series, fraud in the customer's usual amounts, and customers with a short history or with frequent unusual payments.
-- severity: high
-- weight: 0.8
-- lookback: 24h
-- lookback_of: customer
-- params:
--   least_anomalies: {type: integer, default: 2, min: 1, max: 1000, description: Minimum number of unusual payments in the 7 days before and earlier on the day.}
--   least_share: {type: decimal, default: 0.5, min: 0, max: 1, description: "Minimum share of those among the unusual payments of 90 days, so that customers who often pay unusual amounts do not hit."}
--   deviations: {type: decimal, default: 3, min: 1, max: 100, description: "Standard deviations above the mean from which a payment of the day is unusual; for the days before, customer_daily_anomalies has a param of its own."}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Minimum number of transactions in the history; below it payments are not judged.}
--   least_spread: {type: decimal, default: 0.1, min: 0, max: 1, description: "Smallest deviation that is taken, as a share of the mean, so that a customer whose amounts are all alike is judged; never less than 0.01."}
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
    -- only payments of this day: earlier days are in customer_anomalies
    u.anomalies_7 + COALESCE(SUM(u.is_unusual) OVER (
      PARTITION BY u.customer_id, u.currency, u.ds
      ORDER BY UNIX_MICROS(u.event_time) RANGE BETWEEN 86399999999 PRECEDING AND 1 PRECEDING
    ), 0) AS anomalies,
    u.older
  FROM (
    SELECT
      s.transaction_id,
      s.customer_id,
      s.event_time,
      s.amount,
      s.currency,
      s.ds,
      CAST(FLOOR(CAST(s.amount - s.mean AS DOUBLE) / CAST(s.spread AS DOUBLE) * 100 + 0.5) / 100 AS DECIMAL(18,2)) AS deviations_above,
      s.mean,
      CASE WHEN s.amount >= s.mean + :deviations * s.spread THEN 1 ELSE 0 END AS is_unusual,
      s.anomalies_7,
      s.older
    FROM (
      SELECT
        t.transaction_id,
        t.customer_id,
        t.event_time,
        t.amount,
        t.currency,
        t.ds,
        p.amount_mean AS mean,
        GREATEST(p.amount_deviation, CAST(FLOOR(CAST(p.amount_mean AS DOUBLE) * :least_spread * 100 + 0.5) / 100 AS DECIMAL(18,2)), CAST(0.01 AS DECIMAL(18,2))) AS spread,
        COALESCE(a.anomalies_7, 0) AS anomalies_7,
        COALESCE(a.anomalies - a.anomalies_7, 0) AS older
      FROM transactions t
      JOIN customer_profiles p
        ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
      -- a customer without unusual payments has no row
      LEFT JOIN customer_anomalies a
        ON a.ds = t.ds AND a.customer_id = t.customer_id AND a.currency <=> t.currency
      -- rows that the lookback adds from the day before are not counted here, and need no join
      WHERE t.ds >= DATE_FORMAT(:window_start, 'yyyy-MM-dd')
        AND p.transactions >= :least_history
        AND (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
        AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
    ) s
  ) u
) w
