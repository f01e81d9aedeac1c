"""Scores and thresholds on a HiveServer2 are those of the embedded warehouse, with every contribution."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, TRANSACTION_SCORES
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import Card
from fraud_assets.scoring.in_force import default_card
from fraud_assets.scoring.queries import InForce, scores_query
from hive_io import EmbeddedWarehouse, HiveServer, HiveServer2Warehouse, Span, Table, Warehouse
from hive_io.table import DAY as A_DAY
from tests.fraud_assets.detection.test_thresholds_query import RULES, store
from tests.fraud_assets.scoring.test_queries import CARD
from tests.fraud_fixtures import DAY, NOON, SPAN, compute, fill


def test_scores_and_contributions(tmp_path: Path, server: HiveServer) -> None:
    rules = [rule.table for rule in read_rule_book().evaluated]
    rows = [
        {
            "transaction_id": f"t{number}",
            "customer_id": "c1",
            "event_time": NOON + dt.timedelta(minutes=number),
            "amount": Decimal(number),
            "currency": [None, "EUR", "SEK"][number % 3],
            "amount_to_p95": [None, Decimal("0.99"), Decimal("1.60"), Decimal("9.00")][number % 4],
            "outliers_7d": [None, 0, 2, 5][number % 4],
            "merchant_report_share": [None, Decimal("0.0010"), Decimal("0.9000")][number % 3],
            "seconds_since_last": [None, 59, 60][number % 3],
        }
        for number in range(24)
    ]
    embedded = EmbeddedWarehouse(tmp_path / "lake")
    with closing(HiveServer2Warehouse(server)) as remote:
        for card in (CARD, default_card()):
            one, other = (scored(warehouse, card, rules, rows) for warehouse in (embedded, remote))
            assert len(one) == len(rows) and other == one


def test_thresholds_and_alerts_of_a_budget(tmp_path: Path, server: HiveServer) -> None:
    read = read_rule_book()
    book = replace(read, rules={name: read.rules[name] for name in RULES}, alerts_a_day=5)
    engine = Engine(book)
    # none before, a few days, room for all, room for some, room for none, and a day without transactions
    scores = {DAY + n * A_DAY: [0.9, 0.4, 0.3, 0.25, 0.02 * (n % 3), 0.05] for n in range(13)}
    scores |= {DAY + n * A_DAY: [0.6, 0.5, 0.4, 0.35, 0.3, 0.25] for n in range(14, 24)}
    hits = [(RULES[n % 2], day, n) for day in [*scores][5:] for n in range(3)]
    hits += [("velocity", day, n) for day in [*scores][13:] for n in range(3, 6)]
    span = Span.days(DAY, DAY + 28 * A_DAY)
    found = []
    with closing(HiveServer2Warehouse(server)) as remote:
        for warehouse in (EmbeddedWarehouse(tmp_path / "lake"), remote):
            store(warehouse, book, scores, hits)
            computed = []
            for name, key in ((ALERT_THRESHOLDS.name, "ds"), ("fraud_alerts", "transaction_id")):
                computed.append(sorted(compute(engine, warehouse, name, span), key=lambda row, key=key: row[key]))
            found.append(computed)
    assert found[0] == found[1]
    thresholds, alerts = found[0]
    assert len(thresholds) == 29 and len({row["score"] for row in thresholds}) > 3
    assert {1.0, 0.2} < {row["score"] for row in thresholds}
    assert [row for row in alerts if "needs a score of" in row["reasons"][0]]


def scored(warehouse: Warehouse, card: Card, rules: Sequence[Table], rows: Sequence[dict[str, object]]) -> list[object]:
    """The rows of `transaction_scores`, written by the warehouse."""
    for table in rules:
        warehouse.ensure_table(table)
    fill(warehouse, TRANSACTION_FEATURES, rows)  # type: ignore[arg-type]
    for number, table in enumerate(rules[:5]):
        hits = [{"transaction_id": f"t{n}", "customer_id": "c1", "event_time": NOON} for n in range(number, len(rows), 5)]
        fill(warehouse, table, hits)  # type: ignore[arg-type]
    warehouse.replace(TRANSACTION_SCORES, scores_query([InForce(card, "v1", SPAN)], rules), SPAN)
    return sorted(warehouse.read(TRANSACTION_SCORES.full_name).to_pylist(), key=lambda row: row["transaction_id"])
