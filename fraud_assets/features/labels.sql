-- title: Labels
-- description: What became known of transactions on the day. A label counts from `known_at` on.
-- lookback: 90d
SELECT
  l.transaction_id,
  l.is_fraud,
  l.known_at,
  l.origin,
  COALESCE(MAX(CASE WHEN t.ds <= l.ds AND t.ds >= l.first_ds THEN t.customer_id END), l.customer_id) AS customer_id,
  COALESCE(
    -- days that earlier releases loaded have no keys
    MAX(CASE WHEN t.ds <= l.ds AND t.ds >= l.first_ds THEN COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))) END),
    l.merchant_key
  ) AS merchant_key,
  MIN(CASE WHEN t.ds <= l.ds AND t.ds >= l.first_ds THEN t.event_time END) AS event_time,
  MAX(CASE WHEN t.ds <= l.ds AND t.ds >= l.first_ds THEN t.amount END) AS amount,
  MAX(CASE WHEN t.ds <= l.ds AND t.ds >= l.first_ds THEN t.currency END) AS currency,
  l.ds
FROM (
  -- each origin is one SELECT with these columns; a further one is added with UNION ALL
  SELECT
    r.transaction_id,
    TRUE AS is_fraud,
    r.known_at,
    'fraud report' AS origin,
    r.customer_id,
    COALESCE(r.merchant_key, LOWER(TRIM(r.merchant_id))) AS merchant_key,
    r.ds,
    DATE_FORMAT(DATE_SUB(r.ds, 90), 'yyyy-MM-dd') AS first_ds
  FROM (
    SELECT
      k.transaction_id,
      k.customer_id,
      k.merchant_id,
      k.merchant_key,
      k.known_at,
      k.ds,
      -- several reports of one transaction are one label, that of the earliest
      ROW_NUMBER() OVER (PARTITION BY k.transaction_id, k.ds ORDER BY k.known_at, k.report_id) AS place
    FROM (
      SELECT
        f.report_id,
        f.transaction_id,
        f.customer_id,
        f.merchant_id,
        f.merchant_key,
        -- a report that was served late is not known before; earlier releases did not keep when
        COALESCE(f.known_at, f.reported_at) AS known_at,
        DATE_FORMAT(COALESCE(f.known_at, f.reported_at), 'yyyy-MM-dd') AS ds
      FROM fraud_reports f
      WHERE f.transaction_id IS NOT NULL
    ) k
    JOIN params.days d ON d.ds = k.ds
  ) r
  WHERE r.place = 1
  UNION ALL
  SELECT
    c.transaction_id,
    c.is_fraud,
    c.decided_at AS known_at,
    'decision' AS origin,
    c.customer_id,
    CAST(NULL AS STRING) AS merchant_key,
    c.ds,
    DATE_FORMAT(DATE_SUB(c.ds, 90), 'yyyy-MM-dd') AS first_ds
  FROM (
    SELECT
      e.transaction_id,
      e.customer_id,
      e.decided_at,
      e.is_fraud,
      e.ds,
      LAG(e.is_fraud) OVER (PARTITION BY e.transaction_id ORDER BY e.ds) AS was_fraud
    FROM (
      SELECT
        h.transaction_id,
        h.customer_id,
        h.decided_at,
        CASE WHEN h.decision = 'fraud' THEN TRUE WHEN h.decision = 'honest' THEN FALSE END AS is_fraud,
        h.ds,
        -- of several decisions on a day, the last stands
        ROW_NUMBER() OVER (PARTITION BY h.transaction_id, h.ds ORDER BY h.decided_at DESC, h.number DESC) AS place
      FROM decisions h
    ) e
    WHERE e.place = 1
  ) c
  JOIN params.days d ON d.ds = c.ds
  -- a decision that is taken back makes the label of an earlier day void
  WHERE c.is_fraud IS NOT NULL OR c.was_fraud IS NOT NULL
) l
LEFT JOIN transactions t ON t.transaction_id = l.transaction_id
GROUP BY
  l.transaction_id, l.is_fraud, l.known_at, l.origin, l.customer_id, l.merchant_key, l.ds, l.first_ds
