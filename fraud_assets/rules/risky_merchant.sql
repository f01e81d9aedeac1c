-- title: Risky merchant
-- description: A large share of the merchant's transactions was reported as fraud.
-- blind_spot: A merchant whose fraud was not reported yet, and a large one where many reports are a small share.
-- severity: high
-- weight: 0.5
-- params:
--   least_reports: {type: integer, default: 3, min: 1, max: 100000, description: Fraud reports in 28 days from which a merchant can be risky.}
--   risky_share: {type: decimal, default: 0.02, min: 0.0001, max: 1, description: Reports per transaction from which a merchant is risky.}
-- reason: "{reports} fraud reports for {sales} transactions of merchant {merchant_id} in 28 days: {share} per transaction, {risky_share} is risky"
-- source: "Terminal risk with a delay: Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, 2022, chapter 3; chargeback programmes of the card schemes."
SELECT
  m.transaction_id,
  m.customer_id,
  m.event_time,
  m.reports >= :least_reports AND m.share >= :risky_share AS hit,
  -- towards 0.9 the larger the share
  CASE WHEN m.share < 1 THEN 0.5 + 0.4 * CAST(m.share AS DOUBLE) ELSE 0.9 END AS weight,
  m.merchant_id,
  m.reports,
  m.sales,
  m.share
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.merchant_id,
    p.reports,
    p.transactions AS sales,
    CAST(CAST(p.reports AS DOUBLE) / CASE WHEN p.transactions > 0 THEN p.transactions ELSE 1 END AS DECIMAL(18,4)) AS share
  FROM transactions t
  JOIN merchant_profiles p ON p.ds = t.ds AND p.merchant_id = t.merchant_id
  -- the bank of a transfer is not the one who sold something
  WHERE t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out')
) m
