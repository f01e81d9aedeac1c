-- title: Unusual for this customer
-- description: The amount is far above the customer's usual payments in this currency.
-- blind_spot: Fraud in the customer's usual amounts, and customers with little or no history in the currency.
-- severity: high
-- weight: 0.5
-- params:
--   deviations: {type: decimal, default: 7, min: 1, max: 100, description: "Standard deviations above the mean from which an amount hits, if it is the customer's largest so far."}
--   steady_deviations: {type: decimal, default: 3, min: 1, max: 100, description: "Standard deviations above the mean from which an amount hits, for a customer whose amounts are alike."}
--   steady_spread: {type: decimal, default: 0.75, min: 0, max: 100, description: Standard deviation as a share of the mean up to which amounts are alike.}
--   times_maximum: {type: decimal, default: 2, min: 1, max: 1000, description: Multiple of the largest amount in the history from which an amount hits.}
--   least_history: {type: integer, default: 10, min: 2, max: 100000, description: Minimum number of transactions in the history; below it payments are not judged.}
--   least_spread: {type: decimal, default: 0.1, min: 0, max: 1, description: "Smallest deviation that is taken, as a share of the mean, so that a customer whose amounts are all alike is judged; never less than 0.01."}
-- reason: "{amount} {currency} is {deviations_above} standard deviations{at_least} above this customer's mean of {mean}, and {share_of_maximum} times the largest amount before, {maximum} (in {history} transactions)"
-- source: "The original report, rule 2 (unusual_transaction); z-score: Bolton and Hand, Statistical Fraud Detection, 2002."
SELECT
  j.transaction_id,
  j.customer_id,
  j.event_time,
  j.is_steady AND j.deviations_above >= j.far
    OR j.deviations_above >= :deviations AND j.share_of_maximum > 1
    OR j.share_of_maximum >= :times_maximum AS hit,
  -- from 0.1 at the distance that counts as far, to 0.95 at twice that distance
  0.1 + 0.85 * LEAST(
    GREATEST(CAST(j.deviations_above AS DOUBLE) / CAST(j.far AS DOUBLE) - 1, CAST(0 AS DOUBLE)), CAST(1 AS DOUBLE)
  ) AS weight,
  j.amount,
  j.currency,
  j.deviations_above,
  j.share_of_maximum,
  j.mean,
  j.maximum,
  j.history,
  CASE WHEN j.deviation > j.amount_deviation THEN CONCAT(
    ' (of ', CAST(j.deviation AS STRING), ', the least that is taken)'
  ) ELSE '' END AS at_least
FROM (
  SELECT
    h.transaction_id,
    h.customer_id,
    h.event_time,
    h.amount,
    h.currency,
    CAST(FLOOR(CAST(h.amount - h.amount_mean AS DOUBLE) / CAST(h.deviation AS DOUBLE) * 100 + 0.5) / 100 AS DECIMAL(18,2)) AS deviations_above,
    CAST(FLOOR(CAST(h.amount AS DOUBLE) / CASE WHEN h.maximum > 0 THEN CAST(h.maximum AS DOUBLE) ELSE CAST(0.01 AS DOUBLE) END * 100 + 0.5) / 100 AS DECIMAL(18,2))
      AS share_of_maximum,
    -- most customers pay many small amounts and few large ones; a few deviations are far only where amounts are alike
    h.amount_deviation <= h.amount_mean * :steady_spread AS is_steady,
    CASE WHEN h.amount_deviation <= h.amount_mean * :steady_spread THEN :steady_deviations ELSE :deviations END AS far,
    h.amount_mean AS mean,
    h.maximum,
    h.history,
    h.deviation,
    h.amount_deviation
  FROM (
    SELECT
      t.transaction_id,
      t.customer_id,
      t.event_time,
      t.amount,
      COALESCE(t.currency, '(currency not named)') AS currency,
      -- amounts that were all alike are a history, too
      GREATEST(p.amount_deviation, CAST(FLOOR(CAST(p.amount_mean AS DOUBLE) * :least_spread * 100 + 0.5) / 100 AS DECIMAL(18,2)), CAST(0.01 AS DECIMAL(18,2)))
        AS deviation,
      p.amount_deviation,
      p.amount_mean,
      p.amount_max AS maximum,
      p.transactions AS history
    FROM transactions t
    JOIN customer_profiles p
      ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
    WHERE p.transactions >= :least_history
      AND (t.transaction_type IS NULL OR t.transaction_type NOT IN ('transfer_in', 'transfer_out', 'refund'))
  ) h
) j
