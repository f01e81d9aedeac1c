-- title: Impossible travel
-- description: Two payments with the card present, too far apart to travel between in the time.
-- blind_spot: Fraud near the customer or online, transfers, and payments without coordinates or with 0, 0.
-- severity: high
-- weight: 0.7
-- lookback: 6h
-- lookback_of: customer
-- params:
--   fastest: {type: decimal, default: 900, min: 1, max: 100000, description: Highest plausible speed in kilometres per hour.}
--   least_distance: {type: decimal, default: 300, min: 1, max: 20100, description: Distance in kilometres below which two places are too close to judge.}
-- reason: "{distance} km from {city_before} to {city} in {minutes} minutes"
-- source: "Great-circle distance by the haversine formula, Earth radius 6371 km (Sinnott, Virtues of the Haversine, 1984); 900 km/h is an airliner's speed."
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.distance >= :least_distance AND w.distance * 3600000000 > w.micros * :fastest AS hit,
  w.distance,
  w.micros DIV 60000000 AS minutes,
  w.city,
  w.city_before
FROM (
  SELECT
    v.transaction_id,
    v.customer_id,
    v.event_time,
    v.city,
    v.city_before,
    CAST(
      FLOOR(12742 * ASIN(SQRT(CASE WHEN v.half_chord < 1 THEN v.half_chord ELSE CAST(1 AS DOUBLE) END)) + 0.5)
      AS DECIMAL(10,0)
    ) AS distance,
    v.micros
  FROM (
    SELECT
      b.transaction_id,
      b.customer_id,
      b.event_time,
      b.city,
      b.city_before,
      UNIX_MICROS(b.event_time) - UNIX_MICROS(b.time_before) AS micros,
      POW(SIN(RADIANS(b.latitude - b.latitude_before) / 2), 2)
        + COS(RADIANS(b.latitude)) * COS(RADIANS(b.latitude_before)) * POW(SIN(RADIANS(b.longitude - b.longitude_before) / 2), 2)
        AS half_chord
    FROM (
      SELECT
        t.transaction_id,
        t.customer_id,
        t.event_time,
        COALESCE(t.merchant_city, t.merchant_country, t.merchant_id) AS city,
        t.merchant_latitude AS latitude,
        t.merchant_longitude AS longitude,
        LAG(COALESCE(t.merchant_city, t.merchant_country, t.merchant_id))
          OVER (PARTITION BY t.customer_id ORDER BY t.event_time, t.transaction_id) AS city_before,
        LAG(t.event_time) OVER (PARTITION BY t.customer_id ORDER BY t.event_time, t.transaction_id) AS time_before,
        LAG(t.merchant_latitude) OVER (PARTITION BY t.customer_id ORDER BY t.event_time, t.transaction_id) AS latitude_before,
        LAG(t.merchant_longitude) OVER (PARTITION BY t.customer_id ORDER BY t.event_time, t.transaction_id) AS longitude_before
      FROM transactions t
      WHERE t.merchant_latitude IS NOT NULL
        AND t.merchant_longitude IS NOT NULL
        -- sources write 0, 0 where they know no place
        AND NOT (t.merchant_latitude = 0 AND t.merchant_longitude = 0)
        AND (t.channel IS NULL OR t.channel <> 'online')
        -- the customer is not where a refund or a bank is
        AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
    ) b
    -- exactly the lookback, so that the result does not depend on how a day is split into spans
    WHERE b.time_before IS NOT NULL AND UNIX_MICROS(b.event_time) - UNIX_MICROS(b.time_before) < 21600000000
  ) v
) w
