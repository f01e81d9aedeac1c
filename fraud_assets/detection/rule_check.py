"""Checks of a rule file: its name, the tables it reads, its columns and their types, lookback and reason template."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import pyarrow as pa
from sqlglot import exp

from fraud_assets.detection.lookback_check import beyond_lookback
from fraud_assets.detection.rule import JUDGED, KEY_COLUMNS, SCORECARD, Rule
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.schemas.detection import rule_table
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.files import line_of
from hive_io import QueryError, Reader, Table

READABLE = {
    "transactions", "customers", "blacklist", "blacklist_loads", "credit_scores", "lists",
    "customer_profiles", "customer_anomalies", "customer_countries", "merchant_profiles", "high_risk_customers",
}  # fmt: skip
"""Tables that a rule may read: transactions, and point-in-time tables, whose rows are complete at the start of their day."""

NAMING = (
    "use at most 64 lower-case letters, digits and _, starting with a letter, not the name of an existing table, nor scorecard"
)
"""Advice for a name that `name_is_allowed` rejects."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

_TEMPLATE_FIELD = re.compile(r"\{([^{}]*)\}")

_SPECIAL_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "transaction_id": (pa.types.is_string, "a STRING"),
    "customer_id": (pa.types.is_string, "a STRING"),
    "event_time": (pa.types.is_timestamp, "a TIMESTAMP"),
    "hit": (pa.types.is_boolean, "a BOOLEAN"),
    "weight": (lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind), "a number"),
}
"""Types of the columns that are not evidence: a test of the Arrow type, and its name in messages."""


def check_rule(rule: Rule, tables: Mapping[str, Table]) -> None:
    """Reject a rule that would fail or mislead when it runs.

    Raises:
        RuleError: the first problem, with file and line.
    """
    file = rule.file
    if not name_is_allowed(rule.name):
        raise file.error(f"{rule.name!r} is not a valid rule name; {NAMING}")
    file.check(tables)
    for column in KEY_COLUMNS:
        if column not in rule.returns:
            raise file.error(f"the SELECT must return {column}; it returns {', '.join(rule.returns)}", file.select_line)
    for cte in file.tree().find_all(exp.CTE):
        if cte.alias == JUDGED:
            raise file.error(f"the name {JUDGED} is reserved; rename this common table expression", line_of(cte))
    for table in file.tree().find_all(exp.Table):
        if table.db == DATABASE and table.name not in READABLE:
            raise file.error(
                f"a rule cannot read {table.name}, whose rows of a day are not known when the day begins; "
                f"rules may read {', '.join(sorted(READABLE))}",
                line_of(table),
            )
    try:
        evidence = rule.evidence
    except QueryError as error:
        raise file.error(str(error), error.line or file.select_line) from None
    for message, line in beyond_lookback(file):
        raise file.error(message, line)
    for name, (is_expected, expected) in _SPECIAL_TYPES.items():
        if name in rule.types and not is_expected(rule.types[name]):
            raise file.error(f"{name} must be {expected}, found {rule.types[name]}", file.select_line)
    for name, kind in evidence.items():
        if pa.types.is_floating(kind):
            raise file.error(
                f"{name} is a DOUBLE, which engines write differently; cast evidence to DECIMAL",
                next((line_of(column) for column in file.tree().selects if column.alias_or_name == name), None),
            )
    for field in _TEMPLATE_FIELD.findall(file.meta.reason):
        if field not in evidence and field not in file.scalars():
            known = ", ".join([*evidence, *file.scalars()])
            raise file.error(
                f"reason names {{{field}}}, which is neither evidence nor a param; available: {known}",
                file.line_of_key("reason"),
            )


def name_is_allowed(name: str) -> bool:
    """True if a rule may have this name: it is a valid table name, no table outside the rules has it, and no alert by score."""
    return bool(_NAME.fullmatch(name)) and name not in {*fixed_tables(), SCORECARD}


def orphaned_tables(warehouse: Reader, rules: Collection[str]) -> list[str]:
    """Return the tables of hits whose rule has no file: it was renamed or removed. Their rows raise no alert.

    Args:
        rules: names of all rules, retired ones included.
    """
    known = {*fixed_tables(), *rules}
    columns = set(rule_table("").column_types)
    others = [name for name in warehouse.tables(DATABASE) if name not in known]
    return [name for name in others if columns <= {*warehouse.schema(f"{DATABASE}.{name}").names}]


def orphans_named(orphans: Sequence[str]) -> str:
    """Return the advice for orphaned tables."""
    return (
        f"No rule file for {', '.join(orphans)} in {DATABASE}: the rule was renamed or removed. Rows of such a table raise no "
        "alerts. Remove it; after a rename, compute the days that you need under the new name"
    )
