-- title: Customer amounts
-- description: "Median and 95th percentile of each customer's payments before the week of the day, per currency, to two leading digits."
-- history: {customer_daily_amounts: 90d}
-- params:
--   history_days: {type: integer, default: 84, min: 7, max: 84, description: Length of the history in days before the Monday of the day.}
SELECT
  p.customer_id,
  p.currency,
  p.transactions,
  p.amount_median,
  p.amount_p95,
  d.ds
FROM params.days d
JOIN (
  SELECT
    q.monday,
    q.customer_id,
    q.currency,
    MAX(q.transactions) AS transactions,
    -- nearest rank: the smallest amount that reaches the share, the same on every engine
    MIN(CASE WHEN q.so_far * 2 >= q.transactions THEN q.amount_from END) AS amount_median,
    MIN(CASE WHEN q.so_far * 20 >= q.transactions * 19 THEN q.amount_from END) AS amount_p95
  FROM (
    SELECT
      s.monday,
      s.customer_id,
      s.currency,
      s.amount_from,
      SUM(s.transactions) OVER (
        PARTITION BY s.monday, s.customer_id, s.currency
        ORDER BY s.amount_from ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ) AS so_far,
      SUM(s.transactions) OVER (PARTITION BY s.monday, s.customer_id, s.currency) AS transactions
    FROM (
      SELECT w.monday, a.customer_id, a.currency, a.amount_from, SUM(a.transactions) AS transactions
      FROM (
        -- once a week: percentiles of 12 weeks move slowly, and summing the histograms is most of the work
        SELECT DISTINCT DATE_FORMAT(DATE_SUB(e.ds, PMOD(DATEDIFF(e.ds, '1970-01-05'), 7)), 'yyyy-MM-dd') AS monday
        FROM params.days e
      ) w
      JOIN customer_daily_amounts a
        ON a.ds < w.monday AND a.ds >= DATE_FORMAT(DATE_SUB(w.monday, :history_days), 'yyyy-MM-dd')
      GROUP BY w.monday, a.customer_id, a.currency, a.amount_from
    ) s
  ) q
  GROUP BY q.monday, q.customer_id, q.currency
) p
  ON p.monday = DATE_FORMAT(DATE_SUB(d.ds, PMOD(DATEDIFF(d.ds, '1970-01-05'), 7)), 'yyyy-MM-dd')
