-- title: Daily merchant activity
-- description: Transactions and customers of each merchant on the day, per place.
SELECT
  -- of several spellings, one is shown, always the same
  MAX(a.merchant_id) AS merchant_id,
  MAX(a.place) AS place,
  COUNT(*) AS transactions,
  COUNT(DISTINCT a.customer_id) AS customers,
  a.merchant_key,
  a.place_key,
  a.ds
FROM (
  SELECT
    k.merchant_id,
    -- a merchant without a named place is a place of its own, since its terminal stands somewhere
    COALESCE(k.named_place, k.merchant_id) AS place,
    k.merchant_key,
    COALESCE(k.place_key, LOWER(TRIM(k.named_place)), k.merchant_key) AS place_key,
    k.customer_id,
    k.ds
  FROM (
    SELECT
      t.merchant_id,
      COALESCE(CONCAT(t.merchant_city, ', ', t.merchant_country), t.merchant_country) AS named_place,
      -- days that earlier releases loaded have no keys
      COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))) AS merchant_key,
      t.place_key,
      t.customer_id,
      t.ds
    FROM transactions t
  ) k
) a
GROUP BY a.merchant_key, a.place_key, a.ds
