"""Quality of a ranking against labels, and of each rule: on any days, or by a published protocol.

The protocol follows Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection" (2022), chapters 3 and
5: cards that are known to be compromised at the start of a test day are excluded from that day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from fraud_assets.evaluation.ranking import Ranked, average_precision, card_precision_at_k, daily_precision_at_k
from fraud_assets.schemas.detection import FRAUD_ALERTS, TRANSACTION_SCORES
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.known_labels import LAST_DAY, known_labels
from fraud_assets.sql.windows import hiveql, table_node, within
from hive_io import PARTITION, Reader, Span
from hive_io.dialect import literal

TRAINING_DAYS, DELAY_DAYS, TEST_DAYS = 7, 7, 7
"""Of the handbook's protocol: days whose compromised cards are known, days until a fraud is known, days that are tested."""


@dataclass(frozen=True)
class RuleQuality:
    """Counts for one rule over the tested transactions."""

    rule: str
    hits: int
    frauds_hit: int
    frauds: int

    @property
    def precision(self) -> float | None:
        return self.frauds_hit / self.hits if self.hits else None

    @property
    def recall(self) -> float | None:
        return self.frauds_hit / self.frauds if self.frauds else None


@dataclass(frozen=True)
class RankingQuality:
    """Metrics of a ranking; a metric is None if there is nothing to measure it on.

    Attributes:
        scored_by: name of the table with the scores.
        card_precision, daily_precision: by number of cards, or transactions, that are checked a day.
    """

    span: Span
    scored_by: str
    transactions: int
    frauds: int
    average_precision: float | None
    card_precision: Mapping[int, float | None]
    daily_precision: Mapping[int, float | None]


@dataclass(frozen=True)
class Evaluation:
    """Metrics of the scores in a test span; a metric is None if there is no fraud to measure it on."""

    span: Span
    transactions: int
    frauds: int
    average_precision: float | None
    card_precision: float | None
    rules: Sequence[RuleQuality]
    scored_by: str = field(default=FRAUD_ALERTS.name, compare=False)


def evaluate(
    warehouse: Reader,
    rules: Iterable[str],
    frauds: Set[str],
    test: Span,
    *,
    training_days: int = TRAINING_DAYS,
    delay_days: int = DELAY_DAYS,
    k: int = 100,
) -> Evaluation:
    """Compare the scores and rules of a test span with labels, by the handbook's protocol.

    Args:
        rules: names of the rules' tables.
        frauds: ids of all fraudulent transactions, from `training_days + delay_days` before the test span on.
        training_days: days before the delay; their compromised cards are known throughout the test.
        delay_days: days until a fraud is known.
        k: number of cards that investigators can check per day.
    """
    tested, scored_by = _tested(warehouse, frauds, test, training_days, delay_days)
    fraud_ids = tested.filter(tested.column("fraud")).column("transaction_id")
    quality = []
    for rule in rules:
        hits = warehouse.read(f"{DATABASE}.{rule}", ["transaction_id"], test).column("transaction_id").unique()
        hits = hits.filter(pc.is_in(hits, tested.column("transaction_id").combine_chunks()))
        caught = int(pc.sum(pc.is_in(hits, fraud_ids.combine_chunks())).as_py() or 0)
        quality.append(RuleQuality(rule, len(hits), caught, len(fraud_ids)))
    ranked = Ranked.of(tested)
    return Evaluation(
        test,
        len(ranked),
        len(fraud_ids),
        average_precision(ranked),
        card_precision_at_k(ranked, k),
        quality,
        scored_by,
    )


def evaluate_ranking(
    warehouse: Reader, frauds: Set[str], span: Span, ks: Sequence[int], *, handbook: bool = False
) -> RankingQuality:
    """Compare the scores of a span with labels.

    Args:
        frauds: ids of fraudulent transactions; for the handbook's protocol, also those of the 14 days before the span.
        ks: how many cards, or transactions, are checked a day.
        handbook: exclude cards that are known to be compromised, as the handbook's protocol does.
    """
    if handbook:
        rows, scored_by = _tested(warehouse, frauds, span, TRAINING_DAYS, DELAY_DAYS)
    else:
        rows, scored_by = _scored(warehouse, frauds, span)
    ranked = Ranked.of(rows)
    return RankingQuality(
        span,
        scored_by,
        len(ranked),
        int(ranked.frauds.sum()),
        average_precision(ranked),
        {k: card_precision_at_k(ranked, k) for k in ks},
        {k: daily_precision_at_k(ranked, k) for k in ks},
    )


def known_frauds(warehouse: Reader, since: dt.date) -> set[str]:
    """Transactions whose last label says fraud, from the labels that became known since a day."""
    if LABELS.name not in warehouse.tables(DATABASE):
        return set()
    rows = known_labels(Span.days(since, LAST_DAY)).where("is_fraud")
    return set(warehouse.query(hiveql(rows)).column("transaction_id").to_pylist())


def score_table(warehouse: Reader, span: Span) -> str:
    """The table with the scores of a span: `transaction_scores` if it has rows of these days, or else `fraud_alerts`."""
    if TRANSACTION_SCORES.name in warehouse.tables(DATABASE):
        days = warehouse.partitions(TRANSACTION_SCORES.full_name)
        if any(rows and span.first_ds <= ds <= span.last_ds for ds, rows in days.items()):
            return TRANSACTION_SCORES.name
    return FRAUD_ALERTS.name


def _tested(warehouse: Reader, frauds: Set[str], test: Span, training_days: int, delay_days: int) -> tuple[pa.Table, str]:
    """The scored rows of a test span without those of cards that are known to be compromised."""
    rows, scored_by = _scored(warehouse, frauds, test)
    before = Span.days(test.first_day - dt.timedelta(days=training_days + delay_days), test.last_day)
    earlier = _transactions(warehouse, before)
    earlier = earlier.filter(_is_fraud(earlier, frauds))
    first = earlier.group_by("customer_id").aggregate([(PARTITION, "min")])
    known_from: dict[str, str] = {
        customer: (dt.date.fromisoformat(ds) + dt.timedelta(days=delay_days + 1)).isoformat()
        for customer, ds in zip(*(first.column(name).to_pylist() for name in ("customer_id", f"{PARTITION}_min")), strict=True)
    }
    pairs = zip(rows.column("customer_id").to_pylist(), rows.column(PARTITION).to_pylist(), strict=True)
    unknown = np.fromiter((known_from.get(customer, "9999") > ds for customer, ds in pairs), bool, rows.num_rows)
    return rows.filter(pa.array(unknown)), scored_by


def _transactions(warehouse: Reader, span: Span) -> pa.Table:
    columns = ["transaction_id", "customer_id", PARTITION]
    return warehouse.read(TRANSACTIONS.table.full_name, columns, span)


def _scored(warehouse: Reader, frauds: Set[str], span: Span) -> tuple[pa.Table, str]:
    """The transactions of a span with `score` and `fraud`, in the order of ids; and the name of the table with the scores."""
    scored_by = score_table(warehouse, span)
    transactions = TRANSACTIONS.table
    scores = exp.select("transaction_id", "score", PARTITION).from_(exp.table_(scored_by, db=DATABASE))
    days = exp.column(PARTITION).between(literal(span.first_ds), literal(span.last_ds))
    tree = exp.select("t.transaction_id", "t.customer_id", f"t.{PARTITION}", "s.score").from_(
        within(
            exp.select("transaction_id", "customer_id", PARTITION).from_(table_node(transactions)), transactions, span
        ).subquery("t")
    )
    tree = tree.join(
        scores.where(days).subquery("s"),
        on=f"s.transaction_id = t.transaction_id AND s.{PARTITION} = t.{PARTITION}",
        join_type="left",
    )
    rows = warehouse.query(hiveql(tree)).sort_by("transaction_id")
    return rows.append_column("fraud", _is_fraud(rows, frauds)), scored_by


def _is_fraud(rows: pa.Table, frauds: Set[str]) -> pa.ChunkedArray:
    column = rows.column("transaction_id")
    return pc.is_in(column, pa.array(sorted(frauds), column.type))
