-- title: Customer outliers
-- description: "Payments far above the customer's own 95th percentile in the 7 days before the day, per currency."
-- history: {customer_daily_outliers: 7d}
SELECT
  a.customer_id,
  a.currency,
  SUM(a.outliers) AS outliers_7,
  d.ds
FROM params.days d
JOIN customer_daily_outliers a
  ON a.ds < d.ds AND a.ds >= DATE_FORMAT(DATE_SUB(d.ds, 7), 'yyyy-MM-dd')
GROUP BY d.ds, a.customer_id, a.currency
