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
-- an empty list is a list; a day whose list was not loaded cannot be judged
JOIN (
  SELECT n.ds
  FROM (
    SELECT l.ds FROM blacklist_loads l
    UNION ALL
    -- earlier releases did not record loads
    SELECT e.ds FROM blacklist e
  ) n
  GROUP BY n.ds
) k ON k.ds = t.ds
LEFT JOIN (
  SELECT r.ds, r.merchant_key AS merchant_id, r.listed_at, r.listed_because
  FROM (
    SELECT
      s.ds,
      s.merchant_key,
      s.listed_at,
      s.listed_because,
      -- of several entries that spell one merchant, the earliest
      ROW_NUMBER() OVER (PARTITION BY s.ds, s.merchant_key ORDER BY s.listed_at, s.merchant_id) AS nth
    FROM (
      SELECT i.ds, COALESCE(i.merchant_key, LOWER(TRIM(i.merchant_id))) AS merchant_key, i.merchant_id, i.listed_at, i.listed_because
      FROM blacklist i
    ) s
  ) r
  WHERE r.nth = 1
) b ON b.ds = t.ds AND b.merchant_id = COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id)))
