-- title: Transaction features
-- description: "What is known of each transaction when it happens: its amount against the customer's own, the customer's last hours, the merchant's reports. One row per transaction; NULL is not known."
-- lookback: 24h
-- lookback_of: customer
-- params:
--   times_p95: {type: decimal, default: 1.6, min: 1, max: 100, description: "Multiple of the customer's 95th percentile from which a payment earlier on the day is an outlier; for the days before, customer_daily_outliers has a param of its own."}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Minimum number of payments in the history; below it amounts are not compared.}
--   small_share: {type: decimal, default: 0.2, min: 0.01, max: 1, description: Share of the customer's median below which an online payment is small.}
-- edges:
--   amount: learned
--   amount_to_median: [0.3, 0.5, 1, 1.5, 1.8, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.5, 4, 5, 6, 8]
--   amount_to_p95: [0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 3, 4]
--   outliers_7d: [1, 2, 3, 4, 6]
--   payments_90d: [10, 30, 60, 100, 200]
--   transactions_1h: [2, 3, 4, 6, 10]
--   transactions_24h: [2, 3, 4, 6, 10, 20]
--   seconds_since_last: [60, 300, 900, 3600, 14400]
--   new_country: [1]
--   small_payments_1h: [1, 2, 3, 5]
--   declined_24h: [1, 2, 3, 4]
--   transfers_out_24h: [1, 2, 3, 4]
--   passed_on_share: [0.5, 0.8, 0.9, 1]
--   merchant_report_share: [0.001, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
--   merchant_report_run: [1, 2, 3, 4, 6, 8, 12, 16, 24]
--   merchant_report_days: [1, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 35]
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.amount,
  w.currency,
  CAST(FLOOR(CAST(w.amount AS DOUBLE) / CAST(w.amount_median AS DOUBLE) * 100 + 0.5) / 100 AS DECIMAL(18,2)) AS amount_to_median,
  CAST(FLOOR(CAST(w.amount AS DOUBLE) / CAST(w.amount_p95 AS DOUBLE) * 100 + 0.5) / 100 AS DECIMAL(18,2)) AS amount_to_p95,
  CASE WHEN w.amount_p95 IS NOT NULL THEN COALESCE(o.outliers_7, 0) + COALESCE(w.outliers_today, 0) END AS outliers_7d,
  w.payments_90d,
  w.transactions_1h,
  w.transactions_24h,
  CASE WHEN UNIX_TIMESTAMP(w.event_time) - UNIX_TIMESTAMP(w.event_time_before) < 86400
    THEN UNIX_TIMESTAMP(w.event_time) - UNIX_TIMESTAMP(w.event_time_before)
  END AS seconds_since_last,
  CASE
    -- a transfer has no place: the country of a bank is that of its registration
    WHEN w.payments_90d IS NULL OR w.merchant_country IS NULL OR w.is_transfer = 1 THEN NULL
    WHEN c.customer_id IS NULL THEN 1
    ELSE 0
  END AS new_country,
  CASE
    WHEN w.merchant_key IS NULL THEN NULL
    ELSE CAST(FLOOR(CAST(COALESCE(m.reports_14, 0) AS DOUBLE) / (COALESCE(m.sales_14, 0) + 1) * 10000 + 0.5) / 10000 AS DECIMAL(6,4))
  END AS merchant_report_share,
  CASE WHEN w.merchant_key IS NOT NULL THEN COALESCE(m.run, 0) END AS merchant_report_run,
  CASE WHEN w.merchant_key IS NOT NULL THEN COALESCE(m.run_days, 0) END AS merchant_report_days,
  CASE WHEN w.amount_median IS NOT NULL THEN w.small_payments_1h END AS small_payments_1h,
  w.declined_24h,
  w.transfers_out_24h,
  CASE WHEN w.transaction_type = 'transfer_out' AND w.received_24h > 0 THEN
    CASE
      WHEN w.sent_24h >= w.received_24h * 99 THEN CAST(99 AS DECIMAL(6,4))
      ELSE CAST(FLOOR(CAST(w.sent_24h AS DOUBLE) / CAST(w.received_24h AS DOUBLE) * 10000 + 0.5) / 10000 AS DECIMAL(6,4))
    END
  END AS passed_on_share,
  w.ds
FROM (
  SELECT
    j.transaction_id,
    j.customer_id,
    j.event_time,
    j.amount,
    j.currency,
    j.merchant_key,
    j.merchant_country,
    j.amount_median,
    j.amount_p95,
    j.payments_90d,
    j.transaction_type,
    j.is_transfer,
    -- only of this day: earlier days are in customer_outliers
    SUM(CASE WHEN j.is_payment = 1 AND j.amount >= :times_p95 * j.amount_p95 THEN 1 ELSE 0 END) OVER (
      PARTITION BY j.customer_id, j.currency, j.ds
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 86399999999 PRECEDING AND 1 PRECEDING
    ) AS outliers_today,
    COUNT(*) OVER (
      PARTITION BY j.customer_id
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 3599999999 PRECEDING AND CURRENT ROW
    ) AS transactions_1h,
    COUNT(*) OVER (
      PARTITION BY j.customer_id
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS transactions_24h,
    SUM(CASE WHEN j.channel = 'online' AND j.amount < :small_share * j.amount_median THEN 1 ELSE 0 END) OVER (
      PARTITION BY j.customer_id
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 3599999999 PRECEDING AND CURRENT ROW
    ) AS small_payments_1h,
    SUM(CASE WHEN j.status = 'declined' THEN 1 ELSE 0 END) OVER (
      PARTITION BY j.customer_id
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS declined_24h,
    SUM(CASE WHEN j.transaction_type = 'transfer_out' THEN 1 ELSE 0 END) OVER (
      PARTITION BY j.customer_id
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS transfers_out_24h,
    SUM(CASE WHEN j.transaction_type = 'transfer_in' AND j.is_done = 1 THEN j.amount END) OVER (
      PARTITION BY j.customer_id, j.currency
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS received_24h,
    SUM(CASE WHEN j.transaction_type = 'transfer_out' AND j.is_done = 1 THEN j.amount END) OVER (
      PARTITION BY j.customer_id, j.currency
      ORDER BY UNIX_MICROS(j.event_time) RANGE BETWEEN 86399999999 PRECEDING AND CURRENT ROW
    ) AS sent_24h,
    LAG(j.event_time) OVER (PARTITION BY j.customer_id ORDER BY j.event_time, j.transaction_id) AS event_time_before,
    j.ds
  FROM (
    SELECT
      t.transaction_id,
      t.customer_id,
      t.event_time,
      t.amount,
      t.currency,
      COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))) AS merchant_key,
      t.merchant_country,
      t.transaction_type,
      t.channel,
      t.status,
      CASE WHEN t.status IN ('declined', 'reversed') THEN 0 ELSE 1 END AS is_done,
      CASE WHEN t.transaction_type IN ('transfer_in', 'transfer_out') THEN 1 ELSE 0 END AS is_transfer,
      CASE
        WHEN t.status IN ('declined', 'reversed') THEN 0
        WHEN t.transaction_type IN ('transfer_in', 'transfer_out', 'refund') THEN 0
        ELSE 1
      END AS is_payment,
      CASE WHEN p.transactions >= :least_history AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')) THEN p.amount_median END AS amount_median,
      CASE WHEN p.transactions >= :least_history AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund')) THEN p.amount_p95 END AS amount_p95,
      p.transactions AS payments_90d,
      t.ds
    FROM transactions t
    LEFT JOIN customer_amounts p
      ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  ) j
) w
LEFT JOIN customer_outliers o
  ON o.ds = w.ds AND o.customer_id = w.customer_id AND o.currency <=> w.currency
LEFT JOIN customer_countries c
  ON c.ds = w.ds AND c.customer_id = w.customer_id AND c.merchant_country = w.merchant_country
LEFT JOIN merchant_reports m
  ON m.ds = w.ds AND m.merchant_key = w.merchant_key
