-- The score that makes an alert of a transaction without a hit, for each row of `days`. thresholds_query.py puts two more
-- tables in front: `days`, the days asked for, and `hits`, the transactions that an active rule hit, each once a day.
WITH daily AS (
  -- of each day before: transactions without a hit by score, transactions with one, and the day itself
  SELECT s.ds, s.score, COUNT(*) AS without_hit, 0 AS with_hit, 0 AS days
  FROM fintech.transaction_scores s
  LEFT JOIN hits h
    ON h.ds = s.ds AND h.transaction_id = s.transaction_id
  WHERE s.ds >= :first AND s.ds <= :last AND s.score >= CAST(:lowest AS DOUBLE) AND h.transaction_id IS NULL
  GROUP BY s.ds, s.score
  UNION ALL
  -- a day without scores was computed by an earlier release: neither it nor its hits count
  SELECT s.ds, CAST(NULL AS DOUBLE) AS score, 0 AS without_hit, COALESCE(f.hits, 0) AS with_hit, 1 AS days
  FROM (SELECT DISTINCT ds FROM fintech.transaction_scores WHERE ds >= :first AND ds <= :last) s
  LEFT JOIN (SELECT ds, COUNT(*) AS hits FROM hits GROUP BY ds) f
    ON f.ds = s.ds
),
history AS (
  SELECT d.ds, a.score, SUM(a.without_hit) AS without_hit, SUM(a.with_hit) AS with_hit, SUM(a.days) AS days
  FROM days d
  JOIN daily a
    ON a.ds < d.ds AND a.ds >= DATE_FORMAT(DATE_SUB(d.ds, :memory), 'yyyy-MM-dd')
  GROUP BY d.ds, a.score
),
reached AS (
  SELECT
    h.ds,
    h.score,
    SUM(h.without_hit) OVER (
      PARTITION BY h.ds ORDER BY h.score DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS reached,
    SUM(h.with_hit) OVER (PARTITION BY h.ds) AS with_hit,
    SUM(h.days) OVER (PARTITION BY h.ds) AS days
  FROM history h
),
chosen AS (
  SELECT
    r.ds,
    MAX(r.days) AS days,
    MAX(r.with_hit) AS with_hit,
    MAX(r.reached) AS from_lowest_on,
    -- the lowest score that the rest of the budget has room for
    MIN(CASE WHEN r.reached <= :budget * r.days - r.with_hit THEN r.score END) AS score,
    MAX(CASE WHEN r.score IS NOT NULL AND r.reached <= :budget * r.days - r.with_hit THEN r.reached ELSE 0 END) AS reached,
    MAX(CASE WHEN r.score >= CAST(:at_first AS DOUBLE) THEN r.reached ELSE 0 END) AS reached_at_first
  FROM reached r
  GROUP BY r.ds
),
budgeted AS (
  SELECT
    c.*,
    CASE
      WHEN c.with_hit >= :budget * c.days THEN CAST(1 AS DOUBLE)
      WHEN c.from_lowest_on <= :budget * c.days - c.with_hit THEN CAST(:lowest AS DOUBLE)
      ELSE COALESCE(c.score, CAST(1 AS DOUBLE))
    END AS threshold
  FROM chosen c
),
weighed AS (
  SELECT
    d.ds,
    b.threshold,
    b.reached,
    COALESCE(b.reached_at_first, 0) AS reached_at_first,
    COALESCE(b.days, 0) AS days,
    COALESCE(b.with_hit, 0) AS rule_alerts,
    -- the scores of a few days can only raise it
    CASE
      WHEN b.days >= :enough OR b.threshold > CAST(:at_first AS DOUBLE) THEN 0
      ELSE 1
    END AS is_first
  FROM days d
  LEFT JOIN budgeted b
    ON b.ds = d.ds
),
thresholds AS (
  SELECT
    w.ds,
    w.days,
    w.rule_alerts,
    w.is_first,
    CASE WHEN w.is_first = 1 THEN CAST(:at_first AS DOUBLE) ELSE w.threshold END AS score,
    CASE WHEN w.is_first = 1 THEN w.reached_at_first ELSE w.reached END AS score_alerts
  FROM weighed w
)
SELECT
  t.score,
  CAST(:budget AS INT) AS budget,
  CAST(t.days AS INT) AS days,
  CAST(t.rule_alerts AS BIGINT) AS rule_alerts,
  CAST(t.score_alerts AS BIGINT) AS score_alerts,
  CONCAT(
    CASE
      WHEN t.score >= CAST(1 AS DOUBLE) THEN 'No score makes an alert without a hit on this day: '
      ELSE CONCAT(
        'An alert without a hit needs a score of ', CAST(CAST(t.score AS DECIMAL(7,6)) AS STRING), ' on this day: '
      )
    END,
    CASE
      WHEN t.is_first = 1 THEN CONCAT(
        'FRAUD_ALERT_SCORE, since ', CAST(t.days AS STRING), ' of the ', CAST(:enough AS STRING),
        ' days that a budget needs have scores'
      )
      ELSE CONCAT(
        'on ', CAST(t.days AS STRING), ' days before, rules raised ', CAST(t.rule_alerts AS STRING), ' alerts, and ',
        CAST(t.score_alerts AS STRING), ' other transactions had it; the budget is ', CAST(:budget AS STRING), ' alerts a day'
      )
    END
  ) AS reason,
  t.ds
FROM thresholds t
