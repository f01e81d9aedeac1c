-- For each day whose next day has a snapshot of customers: its transactions, and those whose customer is in neither snapshot.
SELECT p.ds, SUM(p.transactions) AS transactions, SUM(IF(k.customer_id IS NULL, p.transactions, 0)) AS unknown
FROM (
  SELECT t.ds, t.customer_id, COUNT(*) AS transactions
  FROM fintech.transactions t
  WHERE t.ds BETWEEN :before AND :last_before
  GROUP BY t.ds, t.customer_id
) p
JOIN (
  SELECT DISTINCT DATE_FORMAT(DATE_SUB(c.ds, 1), 'yyyy-MM-dd') AS ds
  FROM fintech.customers c
  WHERE c.ds BETWEEN :first AND :last
) s ON s.ds = p.ds
LEFT JOIN (
  SELECT DISTINCT b.ds, b.customer_id
  FROM (
    SELECT c.ds, c.customer_id
    FROM fintech.customers c
    WHERE c.ds BETWEEN :before AND :last_before
    UNION ALL
    SELECT DATE_FORMAT(DATE_SUB(c.ds, 1), 'yyyy-MM-dd') AS ds, c.customer_id
    FROM fintech.customers c
    WHERE c.ds BETWEEN :first AND :last
  ) b
) k ON k.ds = p.ds AND k.customer_id = p.customer_id
GROUP BY p.ds
