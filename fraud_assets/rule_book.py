"""Rule files: one HiveQL SELECT each, with the front matter that makes it a rule; and all of them together.

A rule's SELECT returns `transaction_id`, `customer_id`, `event_time`, and what the rule used as evidence, each under its
own name; `hit` where it returns every transaction that it could judge and not only the hits; `weight` where a hit's
weight depends on its values.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field
from sqlglot import exp

from fraud_assets.errors import RuleError
from fraud_assets.queries import hiveql, window_query
from fraud_assets.reach import too_far
from fraud_assets.rules_file import RulesFile, Severity, read_rules_file
from fraud_assets.schemas import DATABASE, FEATURE_TABLES, PERSONAL, fixed_tables, rule_table
from fraud_assets.sql_files import FrontMatter, Lookback, SqlFile, line_of, read_file
from hive_io import QueryError, Span, Table
from hive_io.dry_run import result_schema

RULES_FOLDER = Path(__file__).parent / "rules"
FEATURES_FOLDER = Path(__file__).parent / "features"

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")

KEY_COLUMNS = ("transaction_id", "customer_id", "event_time")
_SPECIAL_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "transaction_id": (pa.types.is_string, "a STRING"),
    "customer_id": (pa.types.is_string, "a STRING"),
    "event_time": (pa.types.is_timestamp, "a TIMESTAMP"),
    "hit": (pa.types.is_boolean, "a BOOLEAN"),
    "weight": (lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind), "a number"),
}
SPECIAL_COLUMNS = (*KEY_COLUMNS, "hit", "weight")
JUDGED = "judged"
"""What the rule's SELECT is called inside the queries that are made of it."""
_ANY_DAY = Span.days(dt.date(2026, 1, 1), dt.date(2026, 1, 1))
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEMPLATE_FIELD = re.compile(r"\{([^{}]*)\}")


class RuleFrontMatter(FrontMatter):
    """The front matter of a rule.

    Attributes:
        blind_spot: what it cannot see, in one sentence. It changes no hit, so it is not in the rule's version.
    """

    blind_spot: Annotated[str, Field(pattern=r"\S")]
    severity: Severity
    status: Literal["active", "shadow", "retired"] = "active"
    weight: Annotated[float, Field(gt=0, lt=1)]
    reason: str
    source: str


class FeatureFrontMatter(FrontMatter):
    """The front matter of a feature table.

    Attributes:
        history: tables whose rows of the days before are read, never of the day itself; and how many days.
    """

    history: dict[str, Lookback] = {}


@dataclass(frozen=True)
class Rule:
    """A rule as it is in force."""

    file: SqlFile[RuleFrontMatter]
    severity: Severity
    status: str
    weight: float

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def table(self) -> Table:
        return rule_table(self.name, self.file.meta.description)

    @cached_property
    def evidence(self) -> dict[str, pa.DataType]:
        """The columns that the rule returns as evidence, and their types."""
        return {name: kind for name, kind in self.types.items() if name not in SPECIAL_COLUMNS}

    @cached_property
    def types(self) -> dict[str, pa.DataType]:
        """The columns that the rule returns, and their types."""
        tables = _readable(fixed_tables())
        query = hiveql(window_query(self.file, tables, _ANY_DAY))
        schema = result_schema(query, {t.full_name: t for t in tables.values()})
        return {f.name: f.type for f in schema}

    @cached_property
    def returns(self) -> list[str]:
        """The columns of its SELECT."""
        return self.file.tree().named_selects

    @cached_property
    def version(self) -> str:
        """A hash of everything that a hit depends on, besides the data: SQL, params, and what the front matter adds."""
        said = {
            "sql": self.file.tree().sql(dialect="hive", comments=False),
            "params": {name: _plain(value) for name, value in self.file.values.items()},
            "lookback": self.file.meta.lookback.total_seconds(),
            "weight": self.weight,
            "severity": self.severity,
            "reason": self.file.meta.reason,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    def check(self, tables: Mapping[str, Table]) -> None:
        """Refuse what would fail, or mislead, when it runs.

        Raises:
            RuleError: with file and line.
        """
        file = self.file
        if not name_is_allowed(self.name):
            raise file.error("a rule's file is named like a table that does not exist yet: small letters, digits, _")
        file.check(tables)
        for column in KEY_COLUMNS:
            if column not in self.returns:
                raise file.error(f"the SELECT must return {column}; it returns {', '.join(self.returns)}", file.select_line)
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
            evidence = self.evidence
        except QueryError as error:
            raise file.error(str(error), error.line or file.select_line) from None
        for said, line in too_far(file):
            raise file.error(said, line)
        for name, (is_right, wanted) in _SPECIAL_TYPES.items():
            if name in self.types and not is_right(self.types[name]):
                raise file.error(f"{name} is to be {wanted}, not {self.types[name]}", file.select_line)
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


READABLE = {
    "transactions", "customers", "blacklist", "credit_scores",
    "customer_profiles", "customer_anomalies", "customer_countries", "merchant_profiles", "high_risk_customers",
}  # fmt: skip
"""What a rule may read: what happens now, and what was known when the day began."""


@dataclass(frozen=True)
class RuleBook:
    """All rules and features in force."""

    rules: Mapping[str, Rule]
    features: Mapping[str, SqlFile[FeatureFrontMatter]]

    @property
    def evaluated(self) -> list[Rule]:
        """Active and shadow rules, by name."""
        return [rule for rule in self.rules.values() if rule.status != "retired"]

    @property
    def alerting(self) -> list[Rule]:
        """Active rules, by name: those whose hits make alerts."""
        return [rule for rule in self.rules.values() if rule.status == "active"]

    def tables(self) -> dict[str, Table]:
        """Every table of the lake, by name."""
        return {**fixed_tables(), **{rule.name: rule.table for rule in self.evaluated}}


def read_rule_book(rules: Path = RULES_FOLDER, features: Path = FEATURES_FOLDER, overrides: Path | None = None) -> RuleBook:
    """Read and check every file.

    Args:
        overrides: a rules file, YAML: `{high_value: {params: {…}, status: shadow}}`.

    Raises:
        RuleError: everything that is wrong, a line each, with file and line.
    """
    over = read_rules_file(overrides) if overrides else RulesFile()
    wrong = [*over.wrong]
    read: dict[str, Rule] = {}
    for path in sorted(rules.glob("*.sql")):
        try:
            read[path.stem] = _read_rule(path, over)
        except RuleError as error:
            wrong.append(str(error))
    tables: dict[str, SqlFile[FeatureFrontMatter]] = {}
    for path in sorted(features.glob("*.sql")):
        try:
            tables[path.stem] = _read_feature(path, over)
        except RuleError as error:
            wrong.append(str(error))
    wrong += [f"{features}: there is no {name}.sql" for name in FEATURE_TABLES if not (features / f"{name}.sql").exists()]
    known = {path.stem for folder in (rules, features) for path in folder.glob("*.sql")}
    wrong += [over.message("is neither rule nor feature", name) for name in over.said if name not in known]
    if wrong:
        raise RuleError("\n".join(wrong))
    return RuleBook(read, tables)


def _read_rule(path: Path, rules_file: RulesFile) -> Rule:
    file = read_file(path, RuleFrontMatter)
    file = file.with_values(rules_file.params(file.name, file.meta.params))
    meta, over = file.meta, rules_file.of(file.name)
    rule = Rule(file, over.severity or meta.severity, over.status or meta.status, over.weight or meta.weight)
    rule.check(_readable(fixed_tables()))
    return rule


def _readable(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables as rules may see them: without columns of personal data."""
    return {
        name: replace(table, columns=tuple(c for c in table.columns if not c.description.startswith(PERSONAL)))
        for name, table in tables.items()
    }


def _read_feature(path: Path, rules_file: RulesFile) -> SqlFile[FeatureFrontMatter]:
    feature = read_file(path, FeatureFrontMatter)
    over = rules_file.of(feature.name)
    if not_params := [key for key in ("status", "weight", "severity") if getattr(over, key) is not None]:
        raise RuleError(
            rules_file.message("is a feature; a rules file can change its params only", feature.name, not_params[0])
        )
    feature = feature.with_values(rules_file.params(feature.name, feature.meta.params))
    if feature.name not in FEATURE_TABLES:
        raise feature.error("there is no such table in schemas.py")
    feature.check(fixed_tables())
    try:
        schema = result_schema(
            hiveql(window_query(feature, fixed_tables(), _ANY_DAY, feature.meta.history)),
            {t.full_name: t for t in fixed_tables().values()},
        )
    except QueryError as error:
        raise feature.error(str(error), error.line or feature.select_line) from None
    table = FEATURE_TABLES[feature.name]
    if missing := [name for name in table.arrow_schema.names if name not in schema.names]:
        raise feature.error(f"the SELECT must return {', '.join(missing)}", feature.select_line)
    return feature


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(currency): str(amount) for currency, amount in value.items()}
    return str(value)
