-- title: Customer anomalies
-- description: Unusual payments of each customer before the start of the day, per currency.
-- history: {customer_daily_anomalies: 90d}
-- params:
--   history_days: {type: integer, default: 90, min: 7, max: 90, description: Length of the history in days before the day.}
SELECT
  a.customer_id,
  a.currency,
  SUM(a.anomalies) AS anomalies,
  SUM(CASE WHEN a.ds >= DATE_FORMAT(DATE_SUB(d.ds, 7), 'yyyy-MM-dd') THEN a.anomalies ELSE 0 END) AS anomalies_7,
  d.ds
FROM params.days d
JOIN customer_daily_anomalies a
  ON a.ds < d.ds AND a.ds >= DATE_FORMAT(DATE_SUB(d.ds, :history_days), 'yyyy-MM-dd')
GROUP BY d.ds, a.customer_id, a.currency
