"""Quality of each rule and of all alerts, measured against the labels known by a day.

Precision is measured on mature days only: there, a hit without a label counts as honest. Recall is measured on the known
frauds of all days; its span includes the frauds that are expected to become known later.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlglot import exp

from fraud_assets.detection.rule import Rule
from fraud_assets.evaluation.maturity import LEARNED_FROM, Delays, Maturity, learn
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import FRAUD_REPORTS, TRANSACTIONS
from fraud_assets.sql.known_labels import known_labels
from fraud_assets.sql.windows import hits_within, hiveql, table_node
from hive_io import PARTITION, HiveQL, Reader, Span, Table
from hive_io.dialect import literal

ALL_ALERTS = "all alerts"
"""Name under which all alerts together are measured."""
CONFIDENCE = 0.95
"""Of every interval."""
_Z = 1.959963984540054
"""Quantile of the standard normal distribution at (1 + CONFIDENCE) / 2."""
_LOWEST_SHARE = 0.2
"""Days with less of their frauds known say nothing of how many there will be; they are taken to have as many as the others."""

Interval = tuple[float, float]
Money = Mapping[str, Decimal]
"""An amount per currency, never added across currencies. A currency that is not named is an empty text."""


def wilson(found: float, of: float) -> Interval | None:
    """The Wilson score interval of a share; None without observations.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if of <= 0:
        return None
    share = found / of
    centre = share + _Z * _Z / (2 * of)
    spread = _Z * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of))
    scale = 1 + _Z * _Z / of
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@dataclass(frozen=True)
class Label:
    """What one row of `labels` says.

    Attributes:
        known_on: day of the label, `ds`.
        is_fraud: None if the label of this origin was taken back.
        ds: day of the transaction.
    """

    known_on: str
    known_at: dt.datetime
    origin: str
    is_fraud: bool | None
    ds: str
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class Quality:
    """Quality of a rule, or of all alerts, on the transactions of some days.

    Attributes:
        status: of the rule; `active` for all alerts.
        hits: all hits.
        matured: hits on mature days.
        frauds: known frauds among the matured hits.
        caught: known frauds among all hits.
        known: known frauds of all days, hit or not.
        expected: frauds of all days, with those expected to become known later; None if that cannot be estimated.
        only: known frauds that no other active rule hit; 0 for all alerts.
        money_caught, money_missed: amounts of the known frauds with and without a hit.
    """

    rule: str
    status: str
    days: int
    hits: int
    matured: int
    frauds: int
    caught: int
    known: int
    expected: float | None
    only: int
    money_caught: Money = field(default_factory=dict)
    money_missed: Money = field(default_factory=dict)

    @property
    def precision(self) -> float | None:
        return self.frauds / self.matured if self.matured else None

    @property
    def precision_interval(self) -> Interval | None:
        return wilson(self.frauds, self.matured)

    @property
    def recall(self) -> float | None:
        """The share of the known frauds that was hit."""
        return self.caught / self.known if self.known else None

    @property
    def recall_interval(self) -> Interval | None:
        """The Wilson interval on the known frauds, wider by the frauds to come: from all missed to all hit."""
        interval = wilson(self.caught, self.known)
        if interval is None:
            return None
        if self.expected is None:
            return 0.0, 1.0
        known = self.known / max(self.expected, self.known)
        return interval[0] * known, 1 - (1 - interval[1]) * known

    @property
    def hits_a_day(self) -> float:
        return self.hits / self.days

    def row(self) -> dict[str, Any]:
        """Counts, precision and recall with the ends of their intervals, as `rule_quality` names them."""
        precision, recall = self.precision_interval or (None, None), self.recall_interval or (None, None)
        return {
            "rule": self.rule,
            "status": self.status,
            "hits": self.hits,
            "matured": self.matured,
            "frauds": self.frauds,
            "precision": self.precision,
            "precision_low": precision[0],
            "precision_high": precision[1],
            "caught": self.caught,
            "known": self.known,
            "expected": self.expected,
            "recall": self.recall,
            "recall_low": recall[0],
            "recall_high": recall[1],
        }


@dataclass(frozen=True)
class Facts:
    """Hits and labels of a span, from which quality is measured as of any day.

    Attributes:
        hits: number of hits by rule, day and label's transaction; an empty text for hits without a label.
        labels: by transaction, those known first come first.
        delays: of frauds that were known by the end of the labels read.
    """

    rules: Sequence[Rule]
    hits: Mapping[str, Mapping[str, Mapping[str, int]]]
    labels: Mapping[str, Sequence[Label]]
    delays: Delays

    def known(self, transaction: str, as_of: str) -> Label | None:
        """The last label of a transaction that stood at the end of a day: known by then, and not taken back."""
        by_origin = {label.origin: label for label in self.labels.get(transaction, ()) if label.known_on <= as_of}
        standing = [label for label in by_origin.values() if label.is_fraud is not None]
        return max(standing, key=_in_time, default=None)

    @cached_property
    def _by_day(self) -> Mapping[str, Sequence[str]]:
        days: dict[str, list[str]] = defaultdict(list)
        for transaction, labels in self.labels.items():
            days[labels[0].ds].append(transaction)
        return days

    def measure(self, span: Span, as_of: dt.date, *, money: bool = True) -> tuple[list[Quality], Maturity]:
        """Quality of all alerts, then of each rule by name, with the labels known by the end of a day.

        Args:
            money: False to leave out the amounts.
        """
        maturity = learn(self.delays, as_of)
        days = [day.isoformat() for day in span.each_day()]
        mature = {day.isoformat() for day in span.each_day() if maturity.is_mature(day)}
        frauds: dict[str, Label] = {}
        for ds in days:
            for transaction in self._by_day.get(ds, ()):
                label = self.known(transaction, as_of.isoformat())
                if label is not None and label.is_fraud:
                    frauds[transaction] = label
        expected = _expected(frauds.values(), span, maturity)
        caught_by = {name: self._caught(name, days, frauds) for name in self.hits}
        active = [rule.name for rule in self.rules if rule.status == "active"]
        measured = []
        for name, status in [(ALL_ALERTS, "active"), *((rule.name, rule.status) for rule in self.rules)]:
            counts = {ds: sum(self.hits.get(name, {}).get(ds, {}).values()) for ds in days}
            caught = caught_by.get(name, set())
            others = set().union(*(caught_by.get(other, set()) for other in active if other != name))
            measured.append(
                Quality(
                    rule=name,
                    status=status,
                    days=len(days),
                    hits=sum(counts.values()),
                    matured=sum(hits for ds, hits in counts.items() if ds in mature),
                    frauds=sum(frauds[transaction].ds in mature for transaction in caught),
                    caught=len(caught),
                    known=len(frauds),
                    expected=expected,
                    only=0 if name == ALL_ALERTS else len(caught - others),
                    money_caught=_money(frauds[transaction] for transaction in caught) if money else {},
                    money_missed=_money(frauds[transaction] for transaction in frauds.keys() - caught) if money else {},
                )
            )
        return measured, maturity

    def _caught(self, rule: str, days: Iterable[str], frauds: Mapping[str, Label]) -> set[str]:
        hits = self.hits[rule]
        return {transaction for ds in days for transaction in hits.get(ds, ()) if transaction in frauds}


def read_facts(warehouse: Reader, rules: Sequence[Rule], span: Span, as_of: dt.date) -> Facts:
    """Read the hits of a span and the labels known by a day; tables that do not exist have no rows.

    Args:
        rules: the rules to measure; retired ones are left out by the caller.
    """
    existing = set(warehouse.tables(DATABASE))
    labels = _labels(warehouse, span, as_of) if LABELS.name in existing else {}
    delays = read_delays(warehouse, span.first_day, as_of)
    hits: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    tables = {ALL_ALERTS: FRAUD_ALERTS, **{rule.name: rule.table for rule in rules}}
    present = {name: table for name, table in tables.items() if table.name in existing}
    if present:
        for row in warehouse.query(_hits_query(present, span, as_of, LABELS.name in existing)).to_pylist():
            hits[row["rule"]][row[PARTITION]][row["labelled"] or ""] = int(row["hits"])
    return Facts(rules, hits, labels, delays)


def last_known_day(warehouse: Reader, today: dt.date) -> dt.date:
    """The last day, up to today, whose fraud reports are loaded; without records of loads, the last day with transactions."""
    existing = set(warehouse.tables(DATABASE))
    for table in (FRAUD_REPORTS.loads, TRANSACTIONS.table):
        if table is not None and table.name in existing:
            days = [ds for ds, rows in warehouse.partitions(table.full_name).items() if rows and ds <= today.isoformat()]
            if days:
                return dt.date.fromisoformat(max(days))
    return today


def _labels(warehouse: Reader, span: Span, as_of: dt.date) -> dict[str, list[Label]]:
    columns = ("transaction_id", "known_at", "origin", "is_fraud", "event_time", "amount", "currency", PARTITION)
    rows = exp.select(*columns).from_(table_node(LABELS)).where(*_known(span.first_day, as_of))
    rows = rows.where(exp.column("event_time") >= literal(span.start), exp.column("event_time") < literal(span.end))
    found: dict[str, list[Label]] = defaultdict(list)
    for row in warehouse.query(hiveql(rows)).to_pylist():
        ds = row["event_time"].date().isoformat()
        money = row["amount"] or Decimal(0), row["currency"] or ""
        label = Label(row[PARTITION], row["known_at"], row["origin"] or "", row["is_fraud"], ds, *money)
        found[row["transaction_id"]].append(label)
    return {transaction: sorted(labels, key=_in_time) for transaction, labels in found.items()}


def _in_time(label: Label) -> tuple[dt.datetime, str, bool]:
    return label.known_at, label.known_on, bool(label.is_fraud)


def read_delays(warehouse: Reader, first: dt.date, as_of: dt.date) -> dict[tuple[dt.date, int], int]:
    """Frauds by day of the transaction and days until they were known, from the labels that stand at the end of a day.

    Args:
        first: the first day of interest; labels of the days before it, too, are read.
    """
    if LABELS.name not in warehouse.tables(DATABASE):
        return {}
    since = min(first, as_of) - LEARNED_FROM
    earliest = exp.select(
        "l.transaction_id",
        "DATE_FORMAT(MIN(l.event_time), 'yyyy-MM-dd') AS happened",
        f"MIN(l.{PARTITION}) AS known",
        dialect="hive",
    )
    labels = exp.select("*").from_(table_node(LABELS)).where(*_known(since, as_of), "is_fraud", "event_time IS NOT NULL")
    frauds = known_labels(Span.days(since, as_of)).where("is_fraud")
    earliest = earliest.from_(labels.subquery("l")).join(
        frauds.subquery("k"), on="k.transaction_id = l.transaction_id", join_type="left semi"
    )
    earliest = earliest.group_by("l.transaction_id")
    counts = exp.select("happened", "known", "COUNT(*) AS frauds").from_(earliest.subquery("e")).group_by("happened", "known")
    delays = {}
    for row in warehouse.query(hiveql(counts)).to_pylist():
        happened = dt.date.fromisoformat(row["happened"])
        delays[happened, (dt.date.fromisoformat(row["known"]) - happened).days] = int(row["frauds"])
    return delays


def _hits_query(tables: Mapping[str, Table], span: Span, as_of: dt.date, labelled: bool) -> HiveQL:
    """Hits by rule, day and labelled transaction; hits without a label are one row for each rule and day."""
    hits = hits_within(tables, span)
    if not labelled:
        tree = exp.select("h.rule", f"h.{PARTITION}", "CAST(NULL AS STRING) AS labelled", "COUNT(*) AS hits", dialect="hive")
        return hiveql(tree.from_(hits.subquery("h")).group_by("h.rule", f"h.{PARTITION}"))
    known = exp.select("transaction_id").distinct().from_(table_node(LABELS)).where(*_known(span.first_day, as_of))
    tree = exp.select("h.rule", f"h.{PARTITION}", "l.transaction_id AS labelled", "COUNT(*) AS hits")
    tree = tree.from_(hits.subquery("h"))
    tree = tree.join(known.subquery("l"), on="l.transaction_id = h.transaction_id", join_type="left")
    return hiveql(tree.group_by("h.rule", f"h.{PARTITION}", "l.transaction_id"))


def _known(first: dt.date, as_of: dt.date) -> list[exp.Expr]:
    ds = exp.column(PARTITION)
    return [ds >= literal(first.isoformat()), ds <= literal(as_of.isoformat())]


def _expected(frauds: Iterable[Label], span: Span, maturity: Maturity) -> float | None:
    """How many frauds the days have, with those that are expected to become known later."""
    known: dict[str, int] = defaultdict(int)
    for label in frauds:
        known[label.ds] += 1
    estimated = {day: share for day in span.each_day() if (share := maturity.of(day)) is not None and share >= _LOWEST_SHARE}
    if not estimated:
        return None
    total = sum(known[day.isoformat()] / share for day, share in estimated.items())
    days = len(list(span.each_day()))
    return max(total * days / len(estimated), sum(known.values()))


def _money(labels: Iterable[Label]) -> dict[str, Decimal]:
    money: dict[str, Decimal] = defaultdict(Decimal)
    for label in labels:
        money[label.currency] += label.amount
    return dict(sorted(money.items()))
