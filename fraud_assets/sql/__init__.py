"""SQL files of rules and features, and the queries that they become for a span of time."""
