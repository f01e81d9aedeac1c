"""Checks the rules' queries against a warehouse, which plans each one and runs none."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from sqlglot import exp

from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import QueryError, Span, Warehouse


@dataclass
class PlanReport:
    """Result of planning the rules' queries.

    Attributes:
        planned: rules whose query the warehouse accepts.
        wrong: errors of the others, each with file and line.
        waiting: tables and extra columns that do not exist yet and that the remaining rules read.
    """

    planned: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)


def check_plans(engine: Engine, warehouse: Warehouse, day: dt.date) -> PlanReport:
    """Plan the query of each evaluated rule for one day."""
    existing = set(warehouse.tables(DATABASE))
    transactions = engine.apis[TRANSACTIONS.table.name].table
    stored = set(warehouse.schema(transactions.full_name).names) if transactions.name in existing else set()
    lacking = set(transactions.arrow_schema.names) - set(TRANSACTIONS.table.arrow_schema.names) - stored
    report = PlanReport()
    for rule in engine.book.evaluated:
        if missing := engine.reads(rule.name).keys() - existing:
            report.waiting |= missing
            continue
        if columns := {column.name for column in rule.file.tree().find_all(exp.Column)} & lacking:
            report.waiting |= {f"{transactions.name}.{column}" for column in columns}
            continue
        try:
            warehouse.explain(engine.query(rule.name, Span.days(day, day)))
            report.planned.append(rule.name)
        except QueryError as error:
            report.wrong.append(str(rule.file.error(f"the warehouse rejects the query: {error}", rule.file.select_line)))
    return report
