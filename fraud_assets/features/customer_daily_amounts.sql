-- title: Daily customer amounts
-- description: "Payments of each customer on the day by the two leading digits of the amount, per currency: a histogram that can be summed over days. Without declined and reversed ones, transfers and refunds."
SELECT
  b.customer_id,
  b.currency,
  CAST(CAST(b.cents - PMOD(b.cents, b.width) AS DECIMAL(20,2)) * CAST(0.01 AS DECIMAL(3,2)) AS DECIMAL(18,2)) AS amount_from,
  COUNT(*) AS transactions,
  b.ds
FROM (
  SELECT
    c.customer_id,
    c.currency,
    c.cents,
    -- the two leading digits: 0.01 up to 0.99, 1.00 to 9.90 by 0.10, 10 to 99 by 1, and so on
    CASE
      WHEN c.cents < 100 THEN 1
      WHEN c.cents < 1000 THEN 10
      WHEN c.cents < 10000 THEN 100
      WHEN c.cents < 100000 THEN 1000
      WHEN c.cents < 1000000 THEN 10000
      WHEN c.cents < 10000000 THEN 100000
      WHEN c.cents < 100000000 THEN 1000000
      WHEN c.cents < 1000000000 THEN 10000000
      ELSE 100000000
    END AS width,
    c.ds
  FROM (
    SELECT t.customer_id, t.currency, CAST(t.amount * 100 AS BIGINT) AS cents, t.ds
    FROM transactions t
    WHERE (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
      AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
  ) c
) b
GROUP BY b.customer_id, b.currency, b.cents - PMOD(b.cents, b.width), b.ds
