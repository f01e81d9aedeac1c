"""A rule: its SQL file, the values in force, its version and its evidence."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from fraud_assets.detection.overrides import Severity
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.schemas.detection import rule_table
from fraud_assets.sql.files import FrontMatter, SqlFile
from fraud_assets.sql.params import Lookback
from fraud_assets.sql.windows import hiveql, window_query
from hive_io import Span, Table
from hive_io.dry_run import result_schema

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
KEY_COLUMNS = ("transaction_id", "customer_id", "event_time")
SPECIAL_COLUMNS = (*KEY_COLUMNS, "hit", "weight")
JUDGED = "judged"
"""What the rule's SELECT is called inside the queries that are made of it."""
ANY_DAY = Span.days(dt.date(2026, 1, 1), dt.date(2026, 1, 1))


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
        tables = readable(fixed_tables())
        query = hiveql(window_query(self.file, tables, ANY_DAY))
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


def readable(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables as rules may see them: without columns of personal data."""
    return {name: replace(table, columns=tuple(c for c in table.columns if not c.personal)) for name, table in tables.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(currency): str(amount) for currency, amount in value.items()}
    return str(value)
