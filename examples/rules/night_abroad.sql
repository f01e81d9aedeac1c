-- title: First payment at night abroad
-- description: The customer pays at night, UTC, in a country other than their own where they did not pay in the 90 days before.
-- blind_spot: Fraud by day, and in countries where the customer has been; hours are UTC, so the night is that of London.
-- severity: medium
-- status: shadow
-- weight: 0.2
-- params:
--   until_hour: {type: integer, default: 5, min: 1, max: 23, description: "Hour at which the night ends, UTC."}
-- reason: "First payment in {merchant_country}, at {hour} o'clock at night"
-- source: A fraud analyst.
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  HOUR(t.event_time) < :until_hour AND t.merchant_country <> c.country AND k.merchant_country IS NULL AS hit,
  HOUR(t.event_time) AS hour,
  t.merchant_country
FROM transactions t
JOIN customers c ON c.ds = t.ds AND c.customer_id = t.customer_id
LEFT JOIN customer_countries k
  -- the days before; a second payment of the same night hits again
  ON k.ds = t.ds AND k.customer_id = t.customer_id AND k.merchant_country = t.merchant_country
