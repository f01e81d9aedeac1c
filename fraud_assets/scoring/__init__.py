"""The scorecard: points by bins of features and by rules, learned from labels, and the query for scores."""
