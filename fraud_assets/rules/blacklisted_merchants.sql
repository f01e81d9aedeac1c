-- title: Blacklisted merchants
-- description: The merchant was on the blacklist when the day began.
-- blind_spot: A merchant that was listed during the day, or that trades under another id than the one on the list.
-- severity: critical
-- weight: 0.8
-- reason: "Merchant {merchant_id} was blacklisted on {listed_on}: {listed_because}"
-- source: The user's description of the external data (blacklist_info).
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  b.merchant_id IS NOT NULL AS hit,
  t.merchant_id,
  DATE_FORMAT(b.listed_at, 'yyyy-MM-dd') AS listed_on,
  b.listed_because
FROM transactions t
-- without a blacklist of the day nothing can be said about it
JOIN (SELECT n.ds FROM blacklist n GROUP BY n.ds) k ON k.ds = t.ds
LEFT JOIN blacklist b ON b.ds = t.ds AND b.merchant_id = t.merchant_id
