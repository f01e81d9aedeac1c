"""Tables of hits (one per rule) and of alerts."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE, MONEY
from hive_io import Column, Table

_HIT_COLUMNS = (
    Column("transaction_id", "STRING", "The transaction that completes the pattern."),
    Column("customer_id", "STRING"),
    Column("event_time", "TIMESTAMP", "UTC."),
    Column("rule", "STRING"),
    Column("rule_version", "STRING", "Hash of the rule's SQL, params in force, lookback, weight, severity and reason."),
    Column("severity", "STRING", "low, medium, high or critical."),
    Column("weight", "DOUBLE", "In (0, 1): how strongly the hit suggests fraud."),
    Column("reason", "STRING", "A sentence with the values that the rule used."),
    Column("evidence", "STRING", "The values that the rule used, as a JSON object."),
)


def rule_table(name: str, description: str = "") -> Table:
    """The table of a rule: one row per hit."""
    return Table(DATABASE, name, _HIT_COLUMNS, key=("transaction_id",), time_column="event_time", description=description)


FRAUD_ALERTS = Table(
    DATABASE,
    "fraud_alerts",
    (
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("event_time", "TIMESTAMP", "UTC."),
        Column("amount", MONEY),
        Column("currency", "STRING"),
        Column("merchant_id", "STRING"),
        Column("score", "DOUBLE", "In (0, 1): that of transaction_scores; without one, 1 − Π(1 − weight)."),
        Column("severity", "STRING", "The highest severity among its hits."),
        Column("rules", "ARRAY<STRING>", "The rules that hit, by descending weight, then by name."),
        Column("reasons", "ARRAY<STRING>", "In the order of `rules`."),
        Column("rule_versions", "ARRAY<STRING>", "In the order of `rules`."),
        Column("points", "INT", "The score in points of the scorecard; NULL if none was in force."),
        Column("card_version", "STRING", "The scorecard of the score; NULL if none was in force."),
    ),
    key=("transaction_id",),
    time_column="event_time",
    description="One row per flagged transaction: its score, the rules that hit, and their reasons.",
)


TRANSACTION_SCORES = Table(
    DATABASE,
    "transaction_scores",
    (
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("event_time", "TIMESTAMP", "UTC."),
        Column("score", "DOUBLE", "In (0, 1): the estimated chance of fraud, 1 / (1 + 2^(−points / 20))."),
        Column("points", "INT", "Sum of the contributions: 0 is an even chance, 20 more double the odds."),
        Column("card_version", "STRING", "The scorecard that was in force on the day."),
        Column("contributions", "STRING", "Points by feature and rule, as a JSON object; those with 0 points are left out."),
    ),
    key=("transaction_id",),
    time_column="event_time",
    description="The score of every transaction, flagged or not, with what each feature and rule contributes.",
)


SCORECARDS = Table(
    DATABASE,
    "scorecards",
    (
        Column("version", "STRING", "The first day on which it is in force, and a hash."),
        Column("transactions", "BIGINT", "Transactions that it was learned from."),
        Column("frauds", "BIGINT", "Those among them that were known to be fraud."),
        Column("first_day", "STRING", "First day of these transactions."),
        Column("last_day", "STRING", "Last day of these transactions."),
        Column("card", "STRING", "The card as a JSON object: the points of each bin of each feature, and of each rule."),
    ),
    key=("version",),
    description="Scorecards by the day from which each is in force: one each Monday, if enough labels were known.",
)


ALERT_THRESHOLDS = Table(
    DATABASE,
    "alert_thresholds",
    (
        Column("score", "DOUBLE", "Score from which a transaction without a hit is an alert on the day; 1 for none."),
        Column("budget", "INT", "Alerts a day that were asked for, those of rules among them."),
        Column("days", "INT", "Days with scores, of the 14 before the day."),
        Column("rule_alerts", "BIGINT", "Transactions of these days that a rule made an alert."),
        Column("score_alerts", "BIGINT", "Other transactions of these days with this score or a higher one."),
        Column("reason", "STRING", "The score and what it follows from, in a sentence."),
    ),
    key=("budget",),
    description="The score that keeps the budget of alerts, one row a day, as of its start; see FRAUD_ALERTS_A_DAY.",
)


NEAR_MISSES = Table(
    DATABASE,
    "near_misses",
    (
        Column("rule", "STRING"),
        Column("rule_version", "STRING"),
        Column("transaction_id", "STRING"),
        Column("customer_id", "STRING"),
        Column("event_time", "TIMESTAMP", "UTC."),
        Column("distance", "DOUBLE", "Gap between the two numbers compared, as a share of the larger, 0 to 1."),
        Column("missed", "STRING", "The comparisons that do not hold."),
    ),
    key=("rule", "transaction_id"),
    time_column="event_time",
    description="Transactions that a rule judged without a hit, and that came close to one; see FRAUD_NEAR_MISSES.",
)

RULE_VERSIONS = Table(
    DATABASE,
    "rule_versions",
    (
        Column("rule", "STRING"),
        Column("version", "STRING", "As `rule_version` of its hits."),
        Column("status", "STRING", "active or shadow."),
        Column("severity", "STRING"),
        Column("weight", "DOUBLE"),
        Column("params", "STRING", "Params in force, as JSON."),
        Column("query", "STRING", "The SELECT of the rule file, in HiveQL."),
        Column("changed_at", "TIMESTAMP", "When the version was locked or promoted, UTC; NULL if it was not recorded."),
        Column("changed_by", "STRING", "Who did it."),
        Column("reason", "STRING", "Why."),
    ),
    key=("rule", "version", "status"),
    description="The versions of rules that computed a day. Rows are added by key: one day can have had several versions.",
)
