"""Rows of `rule_versions`: which version of each rule computed a day, who put it into force, when and why."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fraud_assets.detection.rule import Rule
from fraud_assets.schemas.detection import RULE_VERSIONS
from fraud_assets.workshop.history import Recorded, params_text, records_of
from hive_io import PARTITION, HiveQL, Reader, Span


def version_rows(rules: Iterable[Rule], rules_file: Path | None, span: Span) -> pa.Table:
    """Rows for each day of a span.

    Args:
        rules: those that are evaluated.
        rules_file: whose history says what was promoted.

    Raises:
        RuleError: a history is not valid.
    """
    rows = []
    for rule in rules:
        of_version = [
            each for each in records_of(rule, rules_file) if (each.version, each.status) == (rule.version, rule.status)
        ]
        record = of_version[-1] if of_version else None
        row = {
            "rule": rule.name,
            "version": rule.version,
            "status": rule.status,
            "severity": rule.severity,
            "weight": rule.weight,
            "params": params_text(rule),
            "query": rule.file.text.strip(),
            "changed_at": record.at.astimezone(dt.UTC).replace(tzinfo=None) if record else None,
            "changed_by": record.by if record else None,
            "reason": record.why if record else None,
        }
        rows += [{**row, PARTITION: day.isoformat()} for day in span.each_day()]
    return pa.Table.from_pylist(rows, RULE_VERSIONS.arrow_schema)


@dataclass(frozen=True)
class Version:
    """A version of a rule.

    Attributes:
        at, by, why: of its record; None and empty without one.
        findings: figures of the gate that it passed.
        first_day, last_day: days that it computed; None if none.
        query: the SELECT; None for a version that computed no day and is not in force.
    """

    version: str
    status: str
    params: Mapping[str, str]
    at: dt.datetime | None = None
    by: str = ""
    why: str = ""
    findings: Sequence[str] = ()
    first_day: str | None = None
    last_day: str | None = None
    query: str | None = None
    in_force: bool = False


def stored_versions(reader: Reader, rule: str) -> list[dict[str, Any]]:
    """Versions of a rule in `rule_versions`, with the first and last day that each computed."""
    if RULE_VERSIONS.name not in reader.tables(RULE_VERSIONS.database):
        return []
    return reader.query(HiveQL(_STORED, {"rule": rule})).to_pylist()


_STORED = """
SELECT v.version, v.status, MIN(v.params) AS params, MIN(v.query) AS query, MIN(v.ds) AS first_day, MAX(v.ds) AS last_day
FROM fintech.rule_versions v
WHERE v.rule = :rule
GROUP BY v.version, v.status
"""


def versions_of(rule: Rule, records: Iterable[Recorded], stored: Iterable[Mapping[str, Any]]) -> list[Version]:
    """The versions of a rule: those recorded, in order of time, then those without a record.

    Args:
        records: in order of time.
        stored: as `stored_versions` gives them.
    """
    rows = {(row["version"], row["status"]): row for row in stored}
    current = (rule.version, rule.status)
    found = []
    recorded = [*records]
    last = {(each.version, each.status): each for each in recorded}
    for each in recorded:
        key = (each.version, each.status)
        row = rows.pop(key, {}) if last[key] is each else {}
        found.append(
            Version(
                each.version, each.status, each.params, each.at, each.by, each.why, each.findings,
                row.get("first_day"), row.get("last_day"), row.get("query"), key == current and last[key] is each,
            )
        )  # fmt: skip
    if current not in last and current not in rows:
        rows[current] = {"params": params_text(rule), "query": rule.file.text.strip(), "first_day": None, "last_day": None}
    for (version, status), row in sorted(rows.items(), key=lambda item: (item[1]["last_day"] or "9999", item[0])):
        found.append(
            Version(
                version, status, json.loads(row["params"]), first_day=row["first_day"], last_day=row["last_day"],
                query=row["query"], in_force=(version, status) == current,
            )
        )  # fmt: skip
    return found
