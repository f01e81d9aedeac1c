-- title: Decided transactions
-- description: Transactions that people decided in the 90 days before the day, as of its start. A decision that was taken back does not count.
-- history: {labels: 90d}
SELECT
  k.transaction_id,
  k.customer_id,
  k.merchant_key,
  k.is_fraud,
  CASE WHEN k.reports > 0 THEN TRUE ELSE FALSE END AS is_reported,
  k.decided_on,
  k.ds
FROM (
  SELECT
    d.ds,
    l.transaction_id,
    l.customer_id,
    l.merchant_key,
    l.origin,
    l.is_fraud,
    l.ds AS decided_on,
    SUM(CASE WHEN l.origin = 'fraud report' THEN 1 ELSE 0 END) OVER (PARTITION BY d.ds, l.transaction_id) AS reports,
    ROW_NUMBER() OVER (PARTITION BY d.ds, l.transaction_id, l.origin ORDER BY l.ds DESC) AS place
  FROM params.days d
  JOIN labels l
    ON l.ds < d.ds AND l.ds >= DATE_FORMAT(DATE_SUB(d.ds, 90), 'yyyy-MM-dd')
) k
WHERE k.origin = 'decision' AND k.place = 1 AND k.is_fraud IS NOT NULL
