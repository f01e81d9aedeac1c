"""Queries of cases: the queue in its order, filters, counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from fraud_assets.cases.model import QueueFilter
from fraud_assets.cases.rows import number_of
from fraud_assets.cases.tables import ALERTS, CASES

_PRIORITY: Sequence[tuple[sa.Column[Any], bool]] = (
    (CASES.c.score, True),
    (CASES.c.gravity, True),
    (CASES.c.largest, True),
    (CASES.c.opened_at, False),
    (CASES.c.number, False),
)
"""The order of the queue: each column, and whether its largest value comes first. Amounts only break ties, as plain numbers."""


def ordered(query: sa.Select[Any]) -> sa.Select[Any]:
    """The query in the order of the queue: highest score first, then gravest, largest amount, oldest."""
    return query.order_by(*(column.desc() if descending else column.asc() for column, descending in _PRIORITY))


def behind(row: sa.Row[Any]) -> sa.ColumnElement[bool]:
    """What comes after a row of `cases` in the order of the queue."""
    alternatives: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for column, descending in _PRIORITY:
        value = row._mapping[column.name]
        alternatives.append(sa.and_(*equal, column < value if descending else column > value))
        equal.append(column == value)
    return sa.or_(*alternatives)


def chosen(wanted: QueueFilter) -> sa.ColumnElement[bool]:
    """Whether a filter lets a case through."""
    conditions: list[sa.ColumnElement[bool]] = [sa.true()]
    if wanted.status is not None:
        conditions.append(CASES.c.status == wanted.status.value)
    if wanted.severity is not None:
        conditions.append(CASES.c.severity == wanted.severity)
    if wanted.rule is not None:
        conditions.append(CASES.c.rules.contains(json.dumps(wanted.rule), autoescape=True))
    if wanted.customer_id is not None:
        conditions.append(CASES.c.customer_id == wanted.customer_id)
    if wanted.assigned_to is not None:
        conditions.append(CASES.c.assigned_to == wanted.assigned_to)
    if wanted.min_score is not None:
        conditions.append(CASES.c.score >= wanted.min_score)
    if wanted.text:
        conditions.append(_contains(wanted.text))
    return sa.and_(*conditions)


def _contains(text: str) -> sa.ColumnElement[bool]:
    found = sa.select(ALERTS.c.case_number).where(ALERTS.c.search.contains(text.lower(), autoescape=True))
    either: list[sa.ColumnElement[bool]] = [CASES.c.number.in_(found)]
    if (number := number_of(text.strip())) is not None:
        either.append(CASES.c.number == number)
    return sa.or_(*either)
