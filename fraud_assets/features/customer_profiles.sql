-- title: Customer profiles
-- description: Usual payments of each customer as of the start of the day, per currency.
-- history: {customer_daily_activity: 90d}
-- params:
--   history_days: {type: integer, default: 90, min: 1, max: 90, description: Length of the history in days before the day.}
SELECT
  p.customer_id,
  p.currency,
  p.transactions,
  p.amount_sum,
  p.amount_square_sum,
  p.amount_max,
  -- FLOOR(x * 100 + 0.5) rounds half cents the same way on every engine
  CAST(FLOOR(CAST(p.amount_sum AS DOUBLE) / p.transactions * 100 + 0.5) / 100 AS DECIMAL(18,2)) AS amount_mean,
  -- population standard deviation, √(Σx²/n − (Σx/n)²), from exact sums
  CAST(FLOOR(
    CASE
      WHEN CAST(p.amount_square_sum AS DOUBLE) * p.transactions > CAST(p.amount_sum AS DOUBLE) * CAST(p.amount_sum AS DOUBLE)
      THEN SQRT(
        CAST(p.amount_square_sum AS DOUBLE) * p.transactions - CAST(p.amount_sum AS DOUBLE) * CAST(p.amount_sum AS DOUBLE)
      ) / p.transactions
      ELSE 0
    END * 100 + 0.5
  ) / 100 AS DECIMAL(18,2)) AS amount_deviation,
  p.last_day,
  p.first_day,
  p.ds
FROM (
  SELECT
    d.ds,
    a.customer_id,
    a.currency,
    SUM(a.transactions) AS transactions,
    CAST(SUM(a.amount_sum) AS DECIMAL(38,2)) AS amount_sum,
    CAST(SUM(a.amount_square_sum) AS DECIMAL(38,4)) AS amount_square_sum,
    MAX(a.amount_max) AS amount_max,
    MAX(a.ds) AS last_day,
    MIN(a.ds) AS first_day
  FROM params.days d
  JOIN customer_daily_activity a
    ON a.ds < d.ds AND a.ds >= DATE_FORMAT(DATE_SUB(d.ds, :history_days), 'yyyy-MM-dd')
  GROUP BY d.ds, a.customer_id, a.currency
) p
