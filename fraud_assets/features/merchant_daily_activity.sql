-- title: Daily activity of merchants
-- description: What each merchant sold on the day, and where.
SELECT
  t.merchant_id,
  -- a merchant whose place the source does not name is a place of its own: a terminal stands somewhere
  COALESCE(CONCAT(t.merchant_city, ', ', t.merchant_country), t.merchant_country, t.merchant_id) AS place,
  COUNT(*) AS transactions,
  COUNT(DISTINCT t.customer_id) AS customers,
  t.ds
FROM transactions t
GROUP BY
  t.merchant_id,
  COALESCE(CONCAT(t.merchant_city, ', ', t.merchant_country), t.merchant_country, t.merchant_id),
  t.ds
