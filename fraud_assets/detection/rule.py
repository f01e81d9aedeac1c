"""A rule in force: front matter, evidence and version; and the front matter of features."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from fraud_assets.detection.overrides import Severity, Status
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.schemas.detection import rule_table
from fraud_assets.schemas.sources import API_TABLES, ApiTable
from fraud_assets.sql.files import FrontMatter, SqlFile
from fraud_assets.sql.params import Amounts, Lookback
from fraud_assets.sql.windows import hiveql, window_query
from hive_io import Span, Table
from hive_io.dry_run import result_schema

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
"""Severities, lowest first."""

SCORECARD = "scorecard"
"""Stands for a rule in an alert that no rule raises, only the score; no rule may have this name."""

KEY_COLUMNS = ("transaction_id", "customer_id", "event_time")
"""Columns that the SELECT of every rule returns."""

SPECIAL_COLUMNS = (*KEY_COLUMNS, "hit", "weight")
"""Columns of a rule's SELECT that are not evidence."""

JUDGED = "judged"
"""Name of the common table expression that holds the rule's SELECT in queries built from it."""

ANY_DAY = Span.days(dt.date(2026, 1, 1), dt.date(2026, 1, 1))
"""A span for queries that are only checked, never run."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a sentence")
    return text


def _ascending(edges: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if not edges or list(edges) != sorted(set(edges)):
        raise ValueError("expected edges in ascending order, each once")
    return edges


class RuleFrontMatter(FrontMatter):
    """The front matter of a rule.

    Attributes:
        blind_spot: the fraud that the rule cannot detect, in one sentence. It changes no hit, so the version ignores it.
        status: `active`; `shadow`: evaluated, but raises no alerts; `draft` and `retired`: not evaluated.
        weight: in (0, 1): how strongly a hit suggests fraud.
        reason: template of the sentence that explains a hit, with `{names}` of evidence columns and params.
        source: where the idea and its thresholds come from.
    """

    blind_spot: Annotated[str, AfterValidator(_not_blank)]
    severity: Severity
    status: Status = "active"
    weight: Annotated[float, Field(gt=0, lt=1)]
    reason: str
    source: str


class FeatureFrontMatter(FrontMatter):
    """The front matter of a feature.

    Attributes:
        history: how far back a table is read, by name. Only days before the feature's day are read, never the day itself.
        edges: by column, the lower edges of the scorecard's bins after the first, in ascending order; `learned` finds them
            in the labels, for amounts per currency. A column without edges is not in the scorecard.
    """

    history: dict[str, Lookback] = {}
    edges: dict[str, Literal["learned"] | Annotated[tuple[Decimal, ...], AfterValidator(_ascending)]] = {}


@dataclass(frozen=True)
class Rule:
    """A rule in force.

    Attributes:
        file: its SQL file, with the params in force.
        severity, status, weight: from the rules file, or else from the front matter.
        apis: the source tables, with the columns that a source file adds.
    """

    file: SqlFile[RuleFrontMatter]
    severity: Severity
    status: str
    weight: float
    apis: Mapping[str, ApiTable] = field(default_factory=lambda: API_TABLES, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.file.name

    def with_values(self, values: Mapping[str, Decimal | int | Amounts]) -> Rule:
        """The rule with other values for some params, which `Param.read` gave."""
        other = replace(self, file=self.file.with_values(values))
        if "types" in vars(self):
            vars(other)["types"] = self.types  # found by a dry run; a value changes no kind of column
        return other

    @property
    def as_written(self) -> Rule:
        """The rule as its file says, whatever a rules file sets."""
        meta = self.file.meta
        stated = self.with_values({name: param.default for name, param in meta.params.items()})
        written = replace(stated, severity=meta.severity, status=meta.status, weight=meta.weight)
        if "types" in vars(self):
            vars(written)["types"] = self.types
        return written

    @property
    def table(self) -> Table:
        """The table of its hits."""
        return rule_table(self.name, self.file.meta.description)

    @cached_property
    def evidence(self) -> dict[str, pa.DataType]:
        """Evidence columns of the SELECT and their types."""
        return {name: kind for name, kind in self.types.items() if name not in SPECIAL_COLUMNS}

    @cached_property
    def types(self) -> dict[str, pa.DataType]:
        """All columns of the SELECT and their types."""
        tables = readable(fixed_tables(self.apis))
        query = hiveql(window_query(self.file, tables, ANY_DAY))
        schema = result_schema(query, {t.full_name: t for t in tables.values()})
        return {f.name: f.type for f in schema}

    @cached_property
    def returns(self) -> list[str]:
        """Names of the columns of the SELECT."""
        return self.file.tree().named_selects

    @cached_property
    def version(self) -> str:
        """Hash of everything besides the data that a hit depends on: SQL, params, lookback, weight, severity and reason."""
        parts = {
            "sql": self.file.tree().sql(dialect="hive", comments=False),
            "params": {name: _plain(value) for name, value in self.file.values.items()},
            "lookback": self.file.meta.lookback.total_seconds(),
            "weight": self.weight,
            "severity": self.severity,
            "reason": self.file.meta.reason,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def readable(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables as rules see them: without columns of personal data."""
    return {name: replace(table, columns=tuple(c for c in table.columns if not c.personal)) for name, table in tables.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(currency): str(amount) for currency, amount in value.items()}
    return str(value)
