-- title: Unusual for this customer
-- description: The amount is far from what the customer usually spends in this currency.
-- blind_spot: Fraud in the customer's usual amounts, and customers with a short history or none in the currency.
-- severity: high
-- weight: 0.5
-- params:
--   deviations: {type: decimal, default: 7, min: 1, max: 100, description: "Standard deviations above the mean, for an amount over the largest one before."}
--   steady_deviations: {type: decimal, default: 3, min: 1, max: 100, description: "Standard deviations above the mean, for a customer whose amounts are alike."}
--   steady_spread: {type: decimal, default: 0.75, min: 0, max: 100, description: Amounts are alike up to this standard deviation as a share of the mean.}
--   times_maximum: {type: decimal, default: 2, min: 1, max: 1000, description: Multiple of the largest amount of the history.}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Transactions in the history below which nothing is unusual.}
-- reason: "{amount} {currency} is {deviations_above} standard deviations above this customer's mean of {mean}, and {share_of_maximum} times the largest amount before, {maximum} (in {history} transactions)"
-- source: "The original report, rule 2 (unusual_transaction); z-score: Bolton and Hand, Statistical Fraud Detection, 2002."
SELECT
  j.transaction_id,
  j.customer_id,
  j.event_time,
  j.is_steady AND j.deviations_above >= j.far
    OR j.deviations_above >= :deviations AND j.share_of_maximum > 1
    OR j.share_of_maximum >= :times_maximum AS hit,
  -- from 0.1 where an amount begins to be far, to 0.95 twice as far: the further out, the more it says
  CASE
    WHEN j.deviations_above <= j.far THEN CAST(0.1 AS DOUBLE)
    WHEN j.deviations_above >= 2 * j.far THEN CAST(0.95 AS DOUBLE)
    ELSE 0.1 + 0.85 * (CAST(j.deviations_above AS DOUBLE) / CAST(j.far AS DOUBLE) - 1)
  END AS weight,
  j.amount,
  j.currency,
  j.deviations_above,
  j.share_of_maximum,
  j.mean,
  j.maximum,
  j.history
FROM (
  SELECT
    t.transaction_id,
    t.customer_id,
    t.event_time,
    t.amount,
    COALESCE(t.currency, '(currency not named)') AS currency,
    CAST(CAST(t.amount - p.amount_mean AS DOUBLE) / CAST(p.amount_deviation AS DOUBLE) AS DECIMAL(18,2)) AS deviations_above,
    CAST(CAST(t.amount AS DOUBLE) / CAST(p.amount_max AS DOUBLE) AS DECIMAL(18,2)) AS share_of_maximum,
    -- most people pay many small amounts and few large ones: only where amounts are alike are a few deviations far
    p.amount_deviation <= p.amount_mean * :steady_spread AS is_steady,
    CASE WHEN p.amount_deviation <= p.amount_mean * :steady_spread THEN :steady_deviations ELSE :deviations END AS far,
    p.amount_mean AS mean,
    p.amount_max AS maximum,
    p.transactions AS history
  FROM transactions t
  JOIN customer_profiles p
    ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
  WHERE p.transactions >= :least_history
    AND p.amount_deviation > 0
    AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
) j
