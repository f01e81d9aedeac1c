-- title: Customer countries
-- description: Countries in which each customer paid before the start of the day.
-- history: {customer_daily_activity: 90d}
-- params:
--   history_days: {type: integer, default: 90, min: 1, max: 90, description: Length of the history in days before the day.}
SELECT
  a.customer_id,
  a.merchant_country,
  SUM(a.transactions) AS transactions,
  d.ds
FROM params.days d
JOIN customer_daily_activity a
  ON a.ds < d.ds AND a.ds >= DATE_FORMAT(DATE_SUB(d.ds, :history_days), 'yyyy-MM-dd')
WHERE a.merchant_country IS NOT NULL
GROUP BY d.ds, a.customer_id, a.merchant_country
