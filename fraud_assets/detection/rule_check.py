"""Checks a rule before it runs: names, columns, types, lookback and reason template."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pyarrow as pa
from sqlglot import exp

from fraud_assets.detection.lookback_check import beyond_lookback
from fraud_assets.detection.rule import JUDGED, KEY_COLUMNS, Rule
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.files import line_of
from hive_io import QueryError, Table

_SPECIAL_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "transaction_id": (pa.types.is_string, "a STRING"),
    "customer_id": (pa.types.is_string, "a STRING"),
    "event_time": (pa.types.is_timestamp, "a TIMESTAMP"),
    "hit": (pa.types.is_boolean, "a BOOLEAN"),
    "weight": (lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind), "a number"),
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEMPLATE_FIELD = re.compile(r"\{([^{}]*)\}")


READABLE = {
    "transactions", "customers", "blacklist", "credit_scores",
    "customer_profiles", "customer_anomalies", "customer_countries", "merchant_profiles", "high_risk_customers",
}  # fmt: skip
"""What a rule may read: what happens now, and what was known when the day began."""


def check_rule(rule: Rule, tables: Mapping[str, Table]) -> None:
    """Refuse what would fail, or mislead, when it runs.

    Raises:
        RuleError: with file and line.
    """
    file = rule.file
    if not name_is_allowed(rule.name):
        raise file.error("a rule's file is named like a table that does not exist yet: small letters, digits, _")
    file.check(tables)
    for column in KEY_COLUMNS:
        if column not in rule.returns:
            raise file.error(f"the SELECT must return {column}; it returns {', '.join(rule.returns)}", file.select_line)
    for cte in file.tree().find_all(exp.CTE):
        if cte.alias == JUDGED:
            raise file.error(f"the name {JUDGED} is taken; call it something else", line_of(cte))
    for table in file.tree().find_all(exp.Table):
        if table.db == DATABASE and table.name not in READABLE:
            raise file.error(
                f"a rule cannot read {table.name}: its rows of the day are not known when the day begins. "
                f"Rules read {', '.join(sorted(READABLE))}",
                line_of(table),
            )
    try:
        evidence = rule.evidence
    except QueryError as error:
        raise file.error(str(error), error.line or file.select_line) from None
    for said, line in beyond_lookback(file):
        raise file.error(said, line)
    for name, (is_right, wanted) in _SPECIAL_TYPES.items():
        if name in rule.types and not is_right(rule.types[name]):
            raise file.error(f"{name} is to be {wanted}, not {rule.types[name]}", file.select_line)
    for name, kind in evidence.items():
        if pa.types.is_floating(kind):
            raise file.error(
                f"{name} is a DOUBLE; cast evidence to DECIMAL, so that every engine writes it the same",
                next((line_of(column) for column in file.tree().selects if column.alias_or_name == name), None),
            )
    for field in _TEMPLATE_FIELD.findall(file.meta.reason):
        if field not in evidence and field not in file.scalars():
            known = ", ".join([*evidence, *file.scalars()])
            raise file.error(
                f"reason names {{{field}}}, which is neither evidence nor param ({known})", file.line_of_key("reason")
            )


def name_is_allowed(name: str) -> bool:
    """Whether a rule may be called so: like a table, and not like one that exists without it."""
    return bool(_NAME.fullmatch(name)) and name not in fixed_tables()
