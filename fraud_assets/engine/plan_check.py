"""The rules' queries held against a warehouse: it plans each, and runs none."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.names import DATABASE
from hive_io import QueryError, Span, Warehouse


@dataclass
class PlanReport:
    """What a warehouse says of the rules' queries.

    Attributes:
        planned: rules that it can run.
        wrong: what it refuses, each with file and line.
        waiting: tables that it does not have yet, of the other rules.
    """

    planned: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)


def check_plans(engine: Engine, warehouse: Warehouse, day: dt.date) -> PlanReport:
    """Let the warehouse plan each evaluated rule's query of a day."""
    have = set(warehouse.tables(DATABASE))
    found = PlanReport()
    for rule in engine.book.evaluated:
        if missing := engine.reads(rule.name).keys() - have:
            found.waiting |= missing
            continue
        try:
            warehouse.explain(engine.query(rule.name, Span.days(day, day)))
            found.planned.append(rule.name)
        except QueryError as error:
            found.wrong.append(str(rule.file.error(f"the warehouse refuses its query: {error}", rule.file.select_line)))
    return found
