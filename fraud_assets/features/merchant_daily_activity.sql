-- title: Daily merchant activity
-- description: Transactions and customers of each merchant on the day, per place.
SELECT
  t.merchant_id,
  -- a merchant without a named place is a place of its own, since its terminal stands somewhere
  COALESCE(CONCAT(t.merchant_city, ', ', t.merchant_country), t.merchant_country, t.merchant_id) AS place,
  COUNT(*) AS transactions,
  COUNT(DISTINCT t.customer_id) AS customers,
  t.ds
FROM transactions t
GROUP BY
  t.merchant_id,
  COALESCE(CONCAT(t.merchant_city, ', ', t.merchant_country), t.merchant_country, t.merchant_id),
  t.ds
