"""Learns the default scorecard on synthetic worlds, and writes it.

`python benchmarks/default_card.py fraud_assets/scoring/default_card.json` takes about ten minutes. The labels are the truth of
the worlds, read after every table is computed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from fraud_assets.cli.demo import DEMO_WORLD
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.source_process import source_process
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.learn import learn
from fraud_assets.scoring.queries import FRAUD, training_query
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span

DAY = dt.timedelta(days=1)
DAYS = 42
"""Days of each world. The first, without any history, are learned from, too: a new bank begins with such days."""
WORLDS = {
    301: (dt.date(2026, 3, 29), 0.004),
    302: (dt.date(2026, 1, 18), 0.008),
    303: (dt.date(2026, 2, 11), 0.008),
    304: (dt.date(2026, 5, 7), 0.008),
    305: (dt.date(2026, 6, 26), 0.008),
    306: (dt.date(2026, 8, 15), 0.008),
    307: (dt.date(2026, 10, 3), 0.008),
    308: (dt.date(2026, 11, 20), 0.008),
}
"""Last day and fraud rate by seed."""
ORIGIN = "learned on synthetic worlds, not on transactions of this bank"


def edges_of(book: RuleBook) -> dict[str, Sequence[Decimal] | str]:
    """Features with edges that are not learned: amounts mean nothing in another bank."""
    return {name: edges for name, edges in book.features[TRANSACTION_FEATURES.name].meta.edges.items() if edges != "learned"}


def labelled(seed: int, last: dt.date, rate: float) -> pa.Table:
    """The training rows of a world."""
    book = read_rule_book()
    span = Span.days(last - (DAYS - 1) * DAY, last)
    world = ["serve", *DEMO_WORLD, "--seed", str(seed), "--fraud-rate", str(rate)]
    with tempfile.TemporaryDirectory() as folder, source_process(world) as url:
        settings = read_settings(warehouse=str(Path(folder) / "lake"), source_url=url, first_day=span.first_day)
        run_days(settings, span)
        with SourceClient(url) as client:
            frauds = {row["transaction_id"] for row in client.labels(span)}
        tables = [rule.table for rule in book.evaluated]
        rows = EmbeddedWarehouse(settings.warehouse).query(
            training_query(span, [*edges_of(book), "transaction_id"], tables, span)
        )
    truth = [int(name in frauds) for name in rows.column("transaction_id").to_pylist()]
    return rows.set_column(rows.schema.get_field_index(FRAUD), FRAUD, pa.array(truth, pa.int32()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    book = read_rule_book()
    rows = pa.concat_tables([labelled(seed, last, rate) for seed, (last, rate) in WORLDS.items()])
    card = learn(rows, edges_of(book), [rule.name for rule in book.evaluated], ORIGIN)
    assert card is not None
    args.file.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(f"{card.frauds:,} frauds in {card.transactions:,} transactions: {args.file}")


if __name__ == "__main__":
    main()
