-- title: Blacklisted merchants
-- description: The merchant was on the blacklist at the start of the day.
-- blind_spot: A merchant listed during the day, or trading under another id than the listed one.
-- severity: critical
-- weight: 0.8
-- reason: "Merchant {merchant_id} was blacklisted on {listed_on}: {listed_because}"
-- source: Description of the external data (blacklist_info).
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  b.merchant_id IS NOT NULL AS hit,
  t.merchant_id,
  DATE_FORMAT(b.listed_at, 'yyyy-MM-dd') AS listed_on,
  b.listed_because
FROM transactions t
-- a day without a blacklist cannot be judged
JOIN (SELECT n.ds FROM blacklist n GROUP BY n.ds) k ON k.ds = t.ds
LEFT JOIN blacklist b ON b.ds = t.ds AND b.merchant_id = t.merchant_id
