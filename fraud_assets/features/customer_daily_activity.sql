-- title: Daily customer activity
-- description: Payments of each customer on the day, per currency and country; without declined and reversed ones, refunds, and transfers, whose amounts are of another order.
SELECT
  t.customer_id,
  t.currency,
  t.merchant_country,
  COUNT(*) AS transactions,
  CAST(SUM(t.amount) AS DECIMAL(38,2)) AS amount_sum,
  -- 19 digits: in DuckDB, the product of two DECIMAL(18,2) overflows from 30 million on
  CAST(SUM(CAST(t.amount AS DECIMAL(19,2)) * t.amount) AS DECIMAL(38,4)) AS amount_square_sum,
  MAX(t.amount) AS amount_max,
  t.ds
FROM transactions t
WHERE (t.status IS NULL OR t.status NOT IN ('declined', 'reversed'))
  AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
GROUP BY t.customer_id, t.currency, t.merchant_country, t.ds
