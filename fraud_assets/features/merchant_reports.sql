-- title: Merchant reports
-- description: "Fraud reports of each merchant's sales as of the start of the day that the customer's own habit does not explain: their share of 14 days, and the unbroken run of them. A transaction that people decided as fraud counts as reported, one that they cleared does not. A merchant without such reports has no row."
-- history: {merchant_daily_activity: 42d, fraud_reports: 42d, transactions: 42d, customer_amounts: 42d}
-- params:
--   known_after: {type: integer, default: 8, min: 1, max: 28, description: Days after which most reports of a day are known; later days do not count.}
--   explained_at: {type: decimal, default: 1.2, min: 1, max: 100, description: "Multiple of the customer's 95th percentile from which a reported payment says more about the customer than about the merchant."}
WITH reports AS (
  SELECT
    r.ds,
    COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))) AS merchant_key,
    t.ds AS day,
    COUNT(*) AS reports
  FROM (
    SELECT DISTINCT v.ds, v.transaction_id
    FROM (
      -- a window, not a join with the cleared ones: Hive 4.0 fails to plan a second join after that with the days
      SELECT u.ds, u.transaction_id, SUM(u.is_cleared) OVER (PARTITION BY u.ds, u.transaction_id) AS cleared
      FROM (
        SELECT d.ds, f.transaction_id, 0 AS is_cleared
        FROM params.days d
        JOIN fraud_reports f
          ON f.ds < d.ds AND f.ds >= DATE_FORMAT(DATE_SUB(d.ds, 42), 'yyyy-MM-dd')
        WHERE f.transaction_id IS NOT NULL
          -- a report that was served late is not known before; earlier releases did not keep when
          AND (f.known_at IS NULL OR DATE_FORMAT(f.known_at, 'yyyy-MM-dd') < d.ds)
        UNION ALL
        SELECT c.ds, c.transaction_id, 1 AS is_cleared
        FROM decided_transactions c
        WHERE NOT c.is_fraud
      ) u
    ) v
    WHERE v.cleared = 0
    UNION
    SELECT c.ds, c.transaction_id
    FROM decided_transactions c
    WHERE c.is_fraud
  ) r
  JOIN transactions t
    ON t.transaction_id = r.transaction_id
  LEFT JOIN customer_amounts p
    ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  WHERE t.merchant_id IS NOT NULL
    AND t.ds <= DATE_FORMAT(DATE_SUB(r.ds, :known_after), 'yyyy-MM-dd')
    AND t.ds >= DATE_FORMAT(DATE_SUB(r.ds, 42), 'yyyy-MM-dd')
    AND (p.amount_p95 IS NULL OR t.amount < :explained_at * p.amount_p95)
  GROUP BY r.ds, COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))), t.ds
),
sales AS (
  SELECT
    m.ds,
    m.merchant_key,
    a.ds AS day,
    SUM(a.transactions) AS sales
  FROM (SELECT DISTINCT r.ds, r.merchant_key FROM reports r) m
  JOIN merchant_daily_activity a
    -- days that earlier releases computed have no keys
    ON COALESCE(a.merchant_key, LOWER(TRIM(a.merchant_id))) = m.merchant_key
    AND a.ds <= DATE_FORMAT(DATE_SUB(m.ds, :known_after), 'yyyy-MM-dd')
    AND a.ds >= DATE_FORMAT(DATE_SUB(m.ds, 42), 'yyyy-MM-dd')
  GROUP BY m.ds, m.merchant_key, a.ds
)
SELECT
  w.merchant_key,
  SUM(CASE WHEN w.day >= DATE_FORMAT(DATE_SUB(w.ds, :known_after + 13), 'yyyy-MM-dd') THEN w.sales ELSE 0 END) AS sales_14,
  SUM(CASE WHEN w.day >= DATE_FORMAT(DATE_SUB(w.ds, :known_after + 13), 'yyyy-MM-dd') THEN w.reports ELSE 0 END) AS reports_14,
  -- the run: reports since the last day with an unreported sale
  SUM(CASE WHEN w.clean_days = 0 THEN w.reports ELSE 0 END) AS run,
  DATEDIFF(w.ds, MIN(CASE WHEN w.clean_days = 0 THEN w.day END)) AS run_days,
  w.ds
FROM (
  SELECT
    s.ds,
    s.merchant_key,
    s.day,
    s.sales,
    COALESCE(r.reports, 0) AS reports,
    -- days with an unreported sale, from this day on
    SUM(CASE WHEN COALESCE(r.reports, 0) < s.sales THEN 1 ELSE 0 END) OVER (
      PARTITION BY s.ds, s.merchant_key ORDER BY s.day DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS clean_days
  FROM sales s
  LEFT JOIN reports r
    ON r.ds = s.ds AND r.merchant_key = s.merchant_key AND r.day = s.day
) w
GROUP BY w.ds, w.merchant_key
