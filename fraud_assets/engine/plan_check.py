"""Checks the rules' queries against a warehouse, which plans each one and runs none."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.names import DATABASE
from hive_io import QueryError, Span, Warehouse


@dataclass
class PlanReport:
    """Result of planning the rules' queries.

    Attributes:
        planned: rules whose query the warehouse accepts.
        wrong: errors of the others, each with file and line.
        waiting: tables that do not exist yet and that the remaining rules read.
    """

    planned: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)


def check_plans(engine: Engine, warehouse: Warehouse, day: dt.date) -> PlanReport:
    """Plan the query of each evaluated rule for one day."""
    existing = set(warehouse.tables(DATABASE))
    report = PlanReport()
    for rule in engine.book.evaluated:
        if missing := engine.reads(rule.name).keys() - existing:
            report.waiting |= missing
            continue
        try:
            warehouse.explain(engine.query(rule.name, Span.days(day, day)))
            report.planned.append(rule.name)
        except QueryError as error:
            report.wrong.append(str(rule.file.error(f"the warehouse rejects the query: {error}", rule.file.select_line)))
    return report
