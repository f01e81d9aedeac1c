"""Learning a card: what it makes of features that say something, and of those that say nothing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import SettingsError
from fraud_assets.schemas.detection import SCORECARDS
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import Card, read_card
from fraud_assets.scoring.in_force import cards_in_force, default_card, learn_cards
from fraud_assets.scoring.learn import LEAST_FRAUDS, learn
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import all_tables, fill

MONDAY = dt.date(2026, 3, 16)
EDGES = {"amount_to_p95": (Decimal("1"), Decimal("2")), "outliers_7d": (Decimal("1"),), "amount": "learned"}


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return read_rule_book()


def rows(count: int = 20_000, share: float = 0.05) -> pa.Table:
    """Fraud is four times as likely from a ratio of 2 on, certain from 220.00 EUR on, and indifferent to the rest."""
    draw = np.random.default_rng(1)
    ratio = draw.choice([0.5, 1.5, 3.0], count, p=[0.6, 0.2, 0.2])
    amount = np.round(draw.uniform(1, 200, count), 2)
    chance = np.where(ratio >= 2, 4 * share, share)
    fraud = draw.uniform(size=count) < chance
    large = draw.uniform(size=count) < 0.01
    amount = np.where(large, 220.0 + np.round(draw.uniform(0, 50, count), 2), amount)
    columns = {
        "amount_to_p95": pa.array(
            [None if n % 50 == 0 else Decimal(str(r)) for n, r in enumerate(ratio)], pa.decimal128(18, 2)
        ),
        "outliers_7d": pa.array(draw.integers(0, 2, count)),
        "amount": pa.array([Decimal(f"{each:.2f}") for each in amount], pa.decimal128(18, 2)),
        "currency": pa.array(["EUR" if n % 100 else None for n in range(count)]),
        "hit_velocity": pa.array((draw.uniform(size=count) < 0.1).astype("int32")),
        "known_fraud": pa.array((fraud | large).astype("int32")),
    }
    return pa.table(columns)


def test_points_say_what_the_labels_say() -> None:
    card = learn(rows(), EDGES, ["velocity"], "for a test")
    assert card is not None
    parts = {part.label: part for part in card.features}
    usual, _, high = parts["amount_to_p95"].points
    # from 5 % to 20 %: the odds rise from 1 in 19 to 1 in 4, by 4.75, which is 45 points
    assert usual == 0 and 35 < high < 55
    assert max(map(abs, parts["outliers_7d"].points)) < 10 and abs(card.rules["velocity"]) < 10
    edges, points = parts["amount EUR"].edges, parts["amount EUR"].points
    assert Decimal("199") < max(edges) <= Decimal("220.00") and points[-1] > 100
    # 1 in 19 is −85 points
    assert -100 < card.base < -70
    assert (card.transactions, card.frauds) == (20_000, sum(rows().column("known_fraud").to_pylist()))


def test_too_few_frauds_make_no_card() -> None:
    few = rows(3_000, 0.01)
    assert 0 < sum(few.column("known_fraud").to_pylist()) < LEAST_FRAUDS
    assert learn(few, EDGES, ["velocity"], "for a test") is None


def card_row(day: dt.date, base: int) -> dict[str, object]:
    card = Card(base=base, origin="for a test")
    return {"version": f"{day}-{card.digest}", "card": card.model_dump_json(), "ds": day.isoformat()}


def test_each_day_has_the_latest_card_before_it(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    all_tables(lake, book)
    next_week = MONDAY + dt.timedelta(days=7)
    year = Span.days(MONDAY, MONDAY + dt.timedelta(days=60))
    fill(lake, SCORECARDS, [card_row(MONDAY, -1), card_row(next_week, -2)], year)
    span = Span.days(MONDAY - dt.timedelta(days=2), next_week + dt.timedelta(days=40))
    found = [(each.card.base, str(each.span.first_day), str(each.span.last_day)) for each in cards_in_force(lake, span)]
    assert found == [
        (default_card().base, "2026-03-14", "2026-03-15"),
        (-1, "2026-03-16", "2026-03-22"),
        (-2, "2026-03-23", "2026-04-27"),
        (default_card().base, "2026-04-28", "2026-05-02"),
    ]
    noon = dt.datetime(2026, 3, 18, 12, tzinfo=dt.UTC)
    hour = Span(noon, noon + dt.timedelta(hours=1))
    assert [(each.card.base, each.span) for each in cards_in_force(lake, hour)] == [(-1, hour)]
    pinned = Card(base=7, origin="by hand")
    assert [each.version for each in cards_in_force(lake, span, pinned)] == [f"pinned-{pinned.digest}"]


def test_a_card_is_learned_on_mondays_from_what_was_known(book: RuleBook, lake: EmbeddedWarehouse) -> None:
    engine = Engine(book)
    all_tables(lake, book)
    first = MONDAY - dt.timedelta(days=20)
    days = Span.days(first, MONDAY)
    transactions, labels = [], []
    for day in days.each_day():
        for number in range(60):
            name, fraud = f"{day}-{number}", number < 30
            ratio = Decimal("3.00") if fraud else Decimal("0.50")
            time = dt.datetime.combine(day, dt.time(12))
            transactions.append({"transaction_id": name, "customer_id": "c", "event_time": time, "amount_to_p95": ratio})
            if fraud:
                known = min(day + dt.timedelta(days=7), MONDAY)
                labels.append(
                    {"transaction_id": name, "is_fraud": True, "origin": "r", "known_at": time, "ds": known.isoformat()}
                )
    fill(lake, TRANSACTION_FEATURES, transactions, days)
    fill(lake, "labels", labels, days)
    tables = [rule.table for rule in book.evaluated]
    learned = engine.data(SCORECARDS.name, days, lake)
    assert isinstance(learned, pa.Table)
    row = learned.to_pylist()[-1]
    # thirteen days of transactions are eight days old; half of these are known to be fraud
    assert (row["ds"], row["first_day"], row["last_day"]) == ("2026-03-16", "2026-02-09", "2026-03-08")
    assert (row["transactions"], row["frauds"]) == (13 * 60, 13 * 30)
    # what becomes known on the Monday itself changes nothing
    unknown = [label for label in labels if label["ds"] != MONDAY.isoformat()]
    fill(lake, "labels", unknown, days)
    assert learn_cards(lake, days, engine.book.features[TRANSACTION_FEATURES.name].meta.edges, tables) == learned


def test_the_default_card_names_features_and_rules_that_exist(book: RuleBook) -> None:
    card = default_card()
    assert {part.feature for part in card.features} <= {column.name for column in TRANSACTION_FEATURES.columns}
    assert set(card.rules) <= set(book.rules)
    assert not [part.label for part in card.features if part.feature == "amount"], "amounts mean nothing in another bank"


def test_a_card_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    file = tmp_path / "card.json"
    with pytest.raises(SettingsError, match=r"card\.json: No such file"):
        read_card(file)
    file.write_text('{"base": 1, "origin": "x", "features": [{"feature": "amount", "edges": [2, 1], "points": [1, 2, 3]}]}')
    with pytest.raises(SettingsError, match=r"card\.json: features\.0: .*ascending order"):
        read_card(file)
    file.write_text(default_card().model_dump_json())
    assert read_card(file) == default_card()
