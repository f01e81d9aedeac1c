-- title: Merchant profiles
-- description: Transactions and fraud reports of each merchant as of the start of the day. A transaction that people decided as fraud counts as a report, one that they cleared does not.
-- history: {merchant_daily_activity: 28d, fraud_reports: 28d}
-- params:
--   history_days: {type: integer, default: 28, min: 1, max: 28, description: Length of the history in days before the day.}
SELECT
  -- a merchant with several spellings or places gets one of them, always the same
  COALESCE(MAX(m.merchant_id), m.merchant_key) AS merchant_id,
  MAX(m.place) AS place,
  SUM(m.transactions) AS transactions,
  SUM(m.reports) AS reports,
  SUM(m.reports_7) AS reports_7,
  SUM(m.reports_1) AS reports_1,
  m.merchant_key,
  MAX(m.place_key) AS place_key,
  m.ds
FROM (
  SELECT d.ds, a.merchant_id, a.place, a.transactions, 0 AS reports, 0 AS reports_7, 0 AS reports_1,
    -- days that earlier releases computed have no keys
    COALESCE(a.merchant_key, LOWER(TRIM(a.merchant_id))) AS merchant_key,
    COALESCE(a.place_key, LOWER(TRIM(a.place))) AS place_key
  FROM params.days d
  JOIN merchant_daily_activity a
    ON a.ds < d.ds AND a.ds >= DATE_FORMAT(DATE_SUB(d.ds, :history_days), 'yyyy-MM-dd')
  UNION ALL
  SELECT v.ds, v.merchant_id, CAST(NULL AS STRING) AS place, 0 AS transactions, 1 AS reports,
    CASE WHEN v.day >= DATE_FORMAT(DATE_SUB(v.ds, 7), 'yyyy-MM-dd') THEN 1 ELSE 0 END AS reports_7,
    CASE WHEN v.day >= DATE_FORMAT(DATE_SUB(v.ds, 1), 'yyyy-MM-dd') THEN 1 ELSE 0 END AS reports_1,
    v.merchant_key,
    CAST(NULL AS STRING) AS place_key
  FROM (
    -- a window, not a join with the cleared ones: Hive 4.0 fails to plan a second join after that with the days
    SELECT u.ds, u.merchant_id, u.merchant_key, u.day,
      SUM(u.is_cleared) OVER (PARTITION BY u.ds, u.transaction_id) AS cleared
    FROM (
      SELECT d.ds, r.transaction_id, r.merchant_id,
        COALESCE(r.merchant_key, LOWER(TRIM(r.merchant_id))) AS merchant_key,
        r.ds AS day, 0 AS is_cleared
      FROM params.days d
      JOIN fraud_reports r
        ON r.ds < d.ds AND r.ds >= DATE_FORMAT(DATE_SUB(d.ds, :history_days), 'yyyy-MM-dd')
      WHERE r.merchant_id IS NOT NULL
        -- a report that was served late is not known before; earlier releases did not keep when
        AND (r.known_at IS NULL OR DATE_FORMAT(r.known_at, 'yyyy-MM-dd') < d.ds)
      UNION ALL
      SELECT c.ds, c.transaction_id, CAST(NULL AS STRING) AS merchant_id, CAST(NULL AS STRING) AS merchant_key,
        c.decided_on AS day, 1 AS is_cleared
      FROM decided_transactions c
      WHERE NOT c.is_fraud
    ) u
  ) v
  WHERE v.cleared = 0
  UNION ALL
  SELECT c.ds, CAST(NULL AS STRING) AS merchant_id, CAST(NULL AS STRING) AS place, 0 AS transactions, 1 AS reports,
    CASE WHEN c.decided_on >= DATE_FORMAT(DATE_SUB(c.ds, 7), 'yyyy-MM-dd') THEN 1 ELSE 0 END AS reports_7,
    CASE WHEN c.decided_on >= DATE_FORMAT(DATE_SUB(c.ds, 1), 'yyyy-MM-dd') THEN 1 ELSE 0 END AS reports_1,
    c.merchant_key,
    CAST(NULL AS STRING) AS place_key
  FROM decided_transactions c
  WHERE c.is_fraud AND NOT c.is_reported AND c.merchant_key IS NOT NULL
    AND c.decided_on >= DATE_FORMAT(DATE_SUB(c.ds, :history_days), 'yyyy-MM-dd')
) m
GROUP BY m.ds, m.merchant_key
