-- title: Service levels
-- description: Volume, latency and quality of the pipeline, hour by hour.
WITH counted AS (
  SELECT t.ds, DATE_FORMAT(t.event_time, 'yyyy-MM-dd HH') AS hour, 'happened' AS what,
    CAST(NULL AS DECIMAL(12,1)) AS seconds, COUNT(*) AS transactions
  FROM transactions t
  GROUP BY t.ds, DATE_FORMAT(t.event_time, 'yyyy-MM-dd HH')
  UNION ALL
  SELECT f.ds, DATE_FORMAT(f.event_time, 'yyyy-MM-dd HH') AS hour, 'alerted' AS what,
    CAST(NULL AS DECIMAL(12,1)) AS seconds, COUNT(*) AS transactions
  FROM fraud_alerts f
  GROUP BY f.ds, DATE_FORMAT(f.event_time, 'yyyy-MM-dd HH')
  UNION ALL
  SELECT t.ds, DATE_FORMAT(t.event_time, 'yyyy-MM-dd HH') AS hour, 'arrived' AS what,
    CAST(UNIX_TIMESTAMP(t.ingested_at) - UNIX_TIMESTAMP(t.event_time) AS DECIMAL(12,1)) AS seconds, COUNT(*) AS transactions
  FROM transactions t
  WHERE t.ingested_at IS NOT NULL
  GROUP BY t.ds, DATE_FORMAT(t.event_time, 'yyyy-MM-dd HH'), UNIX_TIMESTAMP(t.ingested_at) - UNIX_TIMESTAMP(t.event_time)
  UNION ALL
  SELECT l.ds, DATE_FORMAT(l.hour, 'yyyy-MM-dd HH') AS hour, 'judged' AS what, l.seconds, l.transactions
  FROM latencies l
),
-- nearest-rank percentiles, the smallest value that reaches the share: the same on every engine
ranked AS (
  SELECT c.ds, c.hour, c.what, c.seconds, c.transactions,
    SUM(c.transactions) OVER (
      PARTITION BY c.ds, c.hour, c.what ORDER BY c.seconds ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS so_far,
    SUM(c.transactions) OVER (PARTITION BY c.ds, c.hour, c.what) AS together
  FROM counted c
),
hours AS (
  SELECT r.ds, r.hour,
    SUM(CASE WHEN r.what = 'happened' THEN r.transactions ELSE 0 END) AS transactions,
    SUM(CASE WHEN r.what = 'alerted' THEN r.transactions ELSE 0 END) AS alerts,
    SUM(CASE WHEN r.what = 'judged' THEN r.transactions ELSE 0 END) AS judged,
    MIN(CASE WHEN r.what = 'arrived' AND r.so_far * 2 >= r.together THEN r.seconds END) AS arrival_p50,
    MIN(CASE WHEN r.what = 'arrived' AND r.so_far * 20 >= r.together * 19 THEN r.seconds END) AS arrival_p95,
    MIN(CASE WHEN r.what = 'judged' AND r.so_far * 2 >= r.together THEN r.seconds END) AS latency_p50,
    MIN(CASE WHEN r.what = 'judged' AND r.so_far * 20 >= r.together * 19 THEN r.seconds END) AS latency_p95,
    MAX(CASE WHEN r.what = 'judged' THEN r.seconds END) AS latency_max
  FROM ranked r
  GROUP BY r.ds, r.hour
),
days AS (
  SELECT s.ds, SUM(s.loaded) AS loaded, SUM(s.rejected) AS rejected
  FROM (
    SELECT t.ds, COUNT(*) AS loaded, 0 AS rejected FROM transactions t GROUP BY t.ds
    UNION ALL
    SELECT w.ds, 0 AS loaded, COUNT(*) AS rejected FROM transactions_rejected w GROUP BY w.ds
  ) s
  GROUP BY s.ds
)
SELECT
  h.hour,
  h.transactions,
  h.alerts,
  h.arrival_p50,
  h.arrival_p95,
  h.judged,
  h.latency_p50,
  h.latency_p95,
  h.latency_max,
  CASE WHEN d.loaded + d.rejected > 0 THEN CAST(d.rejected AS DOUBLE) / (d.loaded + d.rejected) END AS rejected_share,
  h.ds
FROM hours h
LEFT JOIN days d ON d.ds = h.ds
