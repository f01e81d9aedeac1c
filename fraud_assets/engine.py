"""For a table and a span of time: what is to be written, as a HiveQL query or as rows. Knows no Dagster.

Dagster assets hand what it gives to the IO manager; `refresh`, for spans shorter than a day, hands it to the warehouse.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import cached_property

from sqlglot import exp

from fraud_assets.ahead import ahead
from fraud_assets.alerts import alerts_query
from fraud_assets.errors import SourceError
from fraud_assets.hits import coverage_query, hits_query, sifted_hits
from fraud_assets.intake import Batch, Row, join_days, join_pages, take_in
from fraud_assets.queries import as_cte, hiveql, of_customers_in, reaching, window_query, with_ctes
from fraud_assets.rule_book import RuleBook
from fraud_assets.schemas import API_TABLES, FEATURE_TABLES, FRAUD_ALERTS, LATENCIES, ApiTable
from fraud_assets.source_client import SourceClient
from hive_io import PARTITION, HiveQL, Sift, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY

_SNAPSHOT_FIELDS = {"blacklist": "blacklist_info", "credit_scores": "credit_scores"}


class RejectedShareTooHigh(SourceError):
    """So many rows were refused that the rest is not trusted: the good table stays as it was."""


class Engine:
    """What to write, by table and span.

    Args:
        book: the rules and features in force.
    """

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        self.tables: Mapping[str, Table] = book.tables()

    @cached_property
    def order(self) -> list[str]:
        """Tables that are computed by queries, each after those it reads."""
        rules = [rule.name for rule in self.book.evaluated]
        after = [name for name in FEATURE_TABLES if name not in self.groundwork]
        return [*self.groundwork, *rules, FRAUD_ALERTS.name, *after]

    @cached_property
    def groundwork(self) -> list[str]:
        """Feature tables that can be computed before any rule, each after those it reads."""
        waiting = [*FEATURE_TABLES]
        made: list[str] = []
        late = {FRAUD_ALERTS.name, *self.book.rules}
        while ready := [t for t in waiting if not self.book.features[t].tables() & {*waiting, *late} - {t}]:
            made += ready
            waiting = [t for t in waiting if t not in ready]
        return made

    def reads(self, table: str) -> dict[str, dt.timedelta | None]:
        """The tables that a table's query reads: None for the same day, else how far back it reads the days before."""
        if table in self.book.features:
            feature = self.book.features[table]
            return {name: feature.meta.history.get(name) for name in sorted(feature.tables())}
        if table == FRAUD_ALERTS.name:
            return dict.fromkeys(["high_risk_customers", "transactions", *(rule.name for rule in self.book.alerting)])
        return dict.fromkeys(sorted(self.book.rules[table].file.tables()))

    def is_of_the_morning(self, table: str) -> bool:
        """Whether the table says what was known when the day began, and so does not change during it."""
        return table in self.book.features and bool(self.book.features[table].meta.history)

    def query(self, table: str, span: Span) -> HiveQL:
        """The query whose result replaces the table's rows in the span.

        Tables without a time column are computed by whole days: give them `span.whole_days()`.
        """
        if table in self.book.features:
            feature = self.book.features[table]
            tree = window_query(feature, self.tables, span.whole_days(), feature.meta.history)
            return hiveql(_only_days(tree, span))
        if table == FRAUD_ALERTS.name:
            return alerts_query(self.book.alerting, self.tables, span)
        return hits_query(self.book.rules[table], self.tables, span)

    def judged_alone(self, table: str) -> bool:
        """Whether what the query says of a span's transactions depends on no other customers' before the span."""
        rule = self.book.rules.get(table)
        return rule is None or not rule.file.meta.lookback or rule.file.meta.lookback_of == "customer"

    def within_reach(self, span: Span) -> HiveQL:
        """Transactions of a span, and of its customers as far back as any rule looks: all that who is `judged_alone` needs."""
        reach = max((rule.file.meta.lookback for rule in self.book.evaluated), default=dt.timedelta())
        transactions = self.tables["transactions"]
        return hiveql(of_customers_in(span, reaching(transactions, span, reach), transactions))

    def sifted(self, rule: str, span: Span) -> Sift:
        """`query` of a rule, and how many transactions it could judge: each is computed once for both."""
        return sifted_hits(self.book.rules[rule], self.tables, span)

    def coverage(self, rule: str, span: Span) -> HiveQL:
        """For each day of the span, how many transactions the rule could judge, and how many it hit."""
        return coverage_query(self.book.rules[rule], self.tables, span)


def fetch(api: ApiTable, source: SourceClient, span: Span) -> Batch:
    """The rows of an API table in a span, from its source.

    Snapshots are those of the beginning of each day that the span touches.

    Raises:
        SourceError: the source does not answer, or not with what was agreed.
    """
    # the source is asked day by day, so that a range gives what its days give one by one
    served = ahead((day, page) for day in _days(span) for page in _with_end(_pages(api, source, day)))
    days: list[Batch] = []
    pages: list[Batch] = []
    for day, page in served:
        if page is not None:
            pages.append(take_in(api, page, day))
        else:
            days.append(join_pages(api, pages, day.first_day))
            pages = []
    return join_days(days)


def _pages(api: ApiTable, source: SourceClient, day: Span) -> Iterator[list[Row]]:
    name = api.table.name
    if name == "transactions":
        return source.transactions(day)
    if name == "fraud_reports":
        return source.fraud_reports(day)
    as_of = day.whole_days().start
    return source.customers(as_of) if name == "customers" else source.external_snapshot(_SNAPSHOT_FIELDS[name], as_of)


def _with_end(pages: Iterator[list[Row]]) -> Iterator[list[Row] | None]:
    yield from pages
    yield None


def _days(span: Span) -> Iterator[Span]:
    """The span, cut at midnights."""
    for day in span.each_day():
        whole = Span.days(day, day)
        yield Span(max(span.start, whole.start), min(span.end, whole.end))


def audit(api: ApiTable, batch: Batch, limit: float) -> None:
    """Hold the share of refused rows against a limit, before anything is committed.

    Raises:
        RejectedShareTooHigh: with what was refused most.
    """
    if batch.rejected_share > limit:
        claims: dict[str, int] = {}
        for row in batch.rejected.column("claims").to_pylist():
            for claim in row:
                claims[claim] = claims.get(claim, 0) + 1
        worst = max(sorted(claims), key=lambda name: claims[name])
        raise RejectedShareTooHigh(
            f"{batch.rejected.num_rows} of {batch.served} rows for {api.table.full_name} were refused, most by {worst}; the "
            f"limit is {limit:.0%}. The table is as it was, the refused rows are in {api.rejected.full_name}"
        )


def bring(api: ApiTable, source: SourceClient, warehouse: Warehouse, span: Span, rejected_limit: float) -> None:
    """Bring an API table's rows of a span from its source: the refused ones, then, where the audit allows it, the others.

    Raises:
        SourceError, HiveIOError: the table is as it was.
    """
    batch = fetch(api, source, span)
    warehouse.merge(api.rejected, batch.rejected)
    audit(api, batch, rejected_limit)
    warehouse.replace(api.table, batch.rows, span)


def refresh(engine: Engine, source: SourceClient, warehouse: Warehouse, span: Span, rejected_limit: float) -> None:
    """Bring a span, however short, through every table.

    Snapshots and profiles are of the beginning of a day: they are made when the span holds that instant, or they are
    missing. Spans are to be brought in the order of time.

    Raises:
        SourceError, HiveIOError: what was written until then stays, and is right; the rest is as it was.
    """
    warehouse.ensure_table(LATENCIES)
    for api in API_TABLES.values():
        todo = span if api.day_column else _mornings_due(warehouse, api.table, span)
        if todo is not None:
            bring(api, source, warehouse, todo, rejected_limit)
    for name in engine.order:
        table = engine.tables[name]
        due: Span | None = span if table.time_column else span.whole_days()
        if engine.is_of_the_morning(name):
            due = _mornings_due(warehouse, table, span)
        if due is not None:
            warehouse.replace(table, engine.query(name, due), due)


def _mornings_due(warehouse: Warehouse, table: Table, span: Span) -> Span | None:
    """The days of the span that begin in it, or have no rows yet."""
    first = span.first_day
    if span.start.time() != dt.time.min:
        warehouse.ensure_table(table)
        if first.isoformat() in warehouse.partitions(table.full_name):
            first += DAY
    return Span.days(first, span.last_day) if first <= span.last_day else None


def _only_days(tree: exp.Query, span: Span) -> exp.Query:
    """A feature's rows of the span's days; a query that reaches further back must not write there."""
    ctes, computed = as_cte(tree, "computed")
    ds = exp.column(PARTITION)
    rows = exp.select("*").from_(computed).where(exp.Between(this=ds, low=literal(span.first_ds), high=literal(span.last_ds)))
    return with_ctes(rows, ctes)
