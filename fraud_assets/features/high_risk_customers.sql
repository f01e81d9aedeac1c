-- title: High-risk customers
-- description: Customers with a low credit score or many fraud reports, as of the start of the day. A transaction that people decided as fraud counts as a report, one that they cleared does not.
-- history: {fraud_reports: 90d}
-- params:
--   lowest_score: {type: integer, default: 500, min: 300, max: 850, description: Credit score below which a customer is at high risk.}
--   most_reports: {type: integer, default: 3, min: 0, max: 1000, description: Number of fraud reports above which a customer is at high risk.}
--   history_days: {type: integer, default: 90, min: 1, max: 90, description: Days before the day whose reports count.}
SELECT
  c.customer_id,
  c.credit_score,
  c.fraud_reports,
  CASE
    WHEN c.credit_score < :lowest_score AND c.fraud_reports > :most_reports THEN CONCAT(
      'Credit score ', CAST(c.credit_score AS STRING), ' is under ', CAST(:lowest_score AS STRING),
      ', and ', CAST(c.fraud_reports AS STRING), ' fraud reports are more than ', CAST(:most_reports AS STRING)
    )
    WHEN c.credit_score < :lowest_score THEN CONCAT(
      'Credit score ', CAST(c.credit_score AS STRING), ' is under ', CAST(:lowest_score AS STRING)
    )
    ELSE CONCAT(
      CAST(c.fraud_reports AS STRING), ' fraud reports are more than ', CAST(:most_reports AS STRING)
    )
  END AS reason,
  c.ds
FROM (
  SELECT b.ds, b.customer_id, MIN(b.score) AS credit_score, SUM(b.reports) AS fraud_reports
  FROM (
    SELECT s.ds, s.customer_id, s.score, 0 AS reports
    FROM credit_scores s
    UNION ALL
    SELECT d.ds, r.customer_id, CAST(NULL AS INT) AS score, 1 AS reports
    FROM params.days d
    JOIN fraud_reports r
      ON r.ds < d.ds AND r.ds >= DATE_FORMAT(DATE_SUB(d.ds, :history_days), 'yyyy-MM-dd')
    LEFT JOIN decided_transactions k
      ON k.ds = d.ds AND k.transaction_id = r.transaction_id AND NOT k.is_fraud
    -- a report that was served late is not known before; earlier releases did not keep when
    WHERE (r.known_at IS NULL OR DATE_FORMAT(r.known_at, 'yyyy-MM-dd') < d.ds)
      -- people cleared it
      AND k.transaction_id IS NULL
    UNION ALL
    SELECT k.ds, k.customer_id, CAST(NULL AS INT) AS score, 1 AS reports
    FROM decided_transactions k
    WHERE k.is_fraud AND NOT k.is_reported AND k.decided_on >= DATE_FORMAT(DATE_SUB(k.ds, :history_days), 'yyyy-MM-dd')
  ) b
  GROUP BY b.ds, b.customer_id
) c
WHERE c.credit_score < :lowest_score OR c.fraud_reports > :most_reports
