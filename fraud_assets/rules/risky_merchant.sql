-- title: Risky merchant
-- description: A large share of what the merchant usually sells was reported as fraud in the last days.
-- blind_spot: A merchant whose fraud was not reported yet, and a large one where many reports are a small share.
-- severity: high
-- weight: 0.4
-- params:
--   least_reports: {type: integer, default: 2, min: 1, max: 100000, description: Fraud reports in 7 days from which a merchant can be risky.}
--   risky_share: {type: decimal, default: 0.1, min: 0.0001, max: 1, description: Reports of 7 days per transaction of a usual week from which a merchant is risky.}
--   least_reports_before: {type: integer, default: 3, min: 1, max: 100000, description: "Fraud reports in 28 days from which a merchant can be risky for long, where one of them is of the last 7 days."}
--   more_sold: {type: integer, default: 2, min: 1, max: 100000, description: "Honest transactions that every merchant is granted, so that few sales prove little."}
-- reason: "{reports_7} fraud reports in 7 days and {reports} in 28 for {sales} transactions of merchant {merchant_id} in 28 days: {share} of a usual week, {risky_share} is risky"
-- source: "Terminal risk with a delay: Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, 2022, chapter 3; chargeback programmes of the card schemes."
SELECT
  m.transaction_id,
  m.customer_id,
  m.event_time,
  m.reports_7 >= :least_reports AND m.share >= :risky_share
    OR m.reports_7 > 0 AND m.reports >= :least_reports_before AND m.reports >= :risky_share * m.sold AS hit,
  -- 0.05 towards 0.75 the larger the share, and a part of it for reports of yesterday: they say that it goes on
  CASE
    WHEN m.reports_7 >= :least_reports AND m.share >= :risky_share THEN 0.05
      + 0.49 * CASE WHEN m.share < 1 THEN CAST(m.share AS DOUBLE) ELSE CAST(1 AS DOUBLE) END
      + 0.21 * CASE WHEN m.share_yesterday < 1 THEN CAST(m.share_yesterday AS DOUBLE) ELSE CAST(1 AS DOUBLE) END
    ELSE CAST(0.05 AS DOUBLE)
  END AS weight,
  m.merchant_id,
  m.reports_1,
  m.reports_7,
  m.reports,
  m.sales,
  m.share
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.merchant_id,
    p.reports_1,
    p.reports_7,
    p.reports,
    p.transactions AS sales,
    CASE WHEN p.transactions > 0 THEN p.transactions ELSE 1 END AS sold,
    -- a usual week is a quarter of 28 days
    CAST(CAST(p.reports_7 AS DOUBLE) / (CAST(p.transactions AS DOUBLE) / 4 + :more_sold) AS DECIMAL(24,4)) AS share,
    CAST(CAST(p.reports_1 AS DOUBLE) / (CAST(p.transactions AS DOUBLE) / 28 + :more_sold) AS DECIMAL(24,4)) AS share_yesterday
  FROM transactions t
  JOIN merchant_profiles p ON p.ds = t.ds AND p.merchant_id = t.merchant_id
  -- the bank of a transfer is not the one who sold something
  WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out')
) m
