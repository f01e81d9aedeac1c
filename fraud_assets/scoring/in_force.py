"""Which scorecard is in force when; learning those of a span."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter

import pyarrow as pa

from fraud_assets.schemas.detection import SCORECARDS
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import DEFAULT_CARD, Card, read_card
from fraud_assets.scoring.learn import Edges, learn
from fraud_assets.scoring.queries import InForce, training_query
from hive_io import PARTITION, Span, Table, Warehouse
from hive_io.rows import conform
from hive_io.table import DAY

KNOWN_AFTER = dt.timedelta(days=8)
"""A card is learned from transactions at least this old: most of their frauds are known."""

TRAINING_DAYS = 28
"""Days of transactions that a card is learned from."""

MOST_ROWS = 2_000_000
"""Transactions that a card is learned from, at most, in whole days; always at least one day."""

LEARNED_FROM = KNOWN_AFTER + dt.timedelta(days=TRAINING_DAYS - 1)
"""How long before a day a card that is learned on it looks back."""

KEPT = dt.timedelta(days=35)
"""Age after which a learned card is no longer in force if none was learned since."""


def learn_cards(warehouse: Warehouse, span: Span, edges: Edges, rules: Sequence[Table]) -> pa.Table:
    """Rows of `scorecards` for the Mondays of the span, each learned from what was known when the day began."""
    rows = [row for day in span.each_day() if day.weekday() == 0 and (row := _learned(warehouse, day, edges, rules))]
    return conform(SCORECARDS, pa.Table.from_pylist(rows, SCORECARDS.arrow_schema))


def cards_in_force(warehouse: Warehouse, span: Span, pinned: Card | None = None) -> list[InForce]:
    """The cards of a span, in order of time, each with the part of the span in which it is in force.

    Args:
        pinned: a card that is in force instead of all others.
    """
    if pinned is not None:
        return [InForce(pinned, f"pinned-{pinned.digest}", span)]
    before = Span.days(span.first_day - KEPT, span.last_day)
    warehouse.ensure_table(SCORECARDS)
    rows = warehouse.read(SCORECARDS.full_name, ["version", "card", PARTITION], before).to_pylist()
    rows.sort(key=itemgetter(PARTITION), reverse=True)
    found: list[InForce] = []
    for row, grouped in groupby(span.each_day(), key=lambda day: _latest(rows, day)):
        of_card = list(grouped)
        days = Span.days(of_card[0], of_card[-1])
        part = Span(max(span.start, days.start), min(span.end, days.end))
        if row is None:
            found.append(InForce(default_card(), f"default-{default_card().digest}", part))
        else:
            found.append(InForce(Card.model_validate_json(row["card"]), row["version"], part))
    return found


def learned_card(warehouse: Warehouse, day: dt.date) -> InForce | None:
    """The learned card that is in force on a day unless one is pinned; None if it is the default card."""
    [found] = cards_in_force(warehouse, Span.days(day, day))
    return None if found.card == default_card() else found


@cache
def default_card() -> Card:
    """The card for a bank without labels."""
    return read_card(DEFAULT_CARD)


def _learned(warehouse: Warehouse, day: dt.date, edges: Edges, rules: Sequence[Table]) -> dict[str, object] | None:
    last = day - KNOWN_AFTER
    span = Span.days(_first_day(warehouse, last), last)
    known = Span.days(span.first_day, day - DAY)
    columns = [*edges, *(["currency"] if "learned" in edges.values() else [])]
    rows = warehouse.query(training_query(span, columns, rules, known))
    origin = f"learned from the frauds known on {day} among the transactions of {span.first_ds} to {span.last_ds}"
    card = learn(rows, edges, [rule.name for rule in rules], origin)
    if card is None:
        return None
    return {
        "version": f"{day}-{card.digest}",
        "transactions": card.transactions,
        "frauds": card.frauds,
        "first_day": span.first_ds,
        "last_day": span.last_ds,
        "card": card.model_dump_json(),
        PARTITION: day.isoformat(),
    }


def _first_day(warehouse: Warehouse, last: dt.date) -> dt.date:
    counts = warehouse.partitions(TRANSACTION_FEATURES.full_name)
    first, together = last, counts.get(last.isoformat(), 0)
    for _ in range(TRAINING_DAYS - 1):
        together += counts.get((first - DAY).isoformat(), 0)
        if together > MOST_ROWS:
            break
        first -= DAY
    return first


def _latest(rows: Sequence[dict[str, str]], day: dt.date) -> dict[str, str] | None:
    """The latest row, given the last first, that is in force on a day."""
    oldest = (day - KEPT).isoformat()
    return next((row for row in rows if oldest <= row[PARTITION] <= day.isoformat()), None)
