"""For a table and a span of time: what is to be written, as a HiveQL query or as rows. Knows no Dagster.

Dagster assets hand what it gives to the IO manager; `refresh`, for spans shorter than a day, hands it to the warehouse.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property

from sqlglot import exp

from fraud_assets.detection.alerts_query import alerts_query
from fraud_assets.detection.hits_query import counted_hits, coverage_query, hits_query
from fraud_assets.detection.rule_book import RuleBook
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.sql.windows import as_cte, hiveql, of_customers_in, window_query, with_ctes, with_lookback
from hive_io import PARTITION, CountedFilter, HiveQL, Span, Table
from hive_io.dialect import literal


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
        after = [name for name in FEATURE_TABLES if name not in self.upstream_features]
        return [*self.upstream_features, *rules, FRAUD_ALERTS.name, *after]

    @cached_property
    def upstream_features(self) -> list[str]:
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

    def is_point_in_time(self, table: str) -> bool:
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

    def is_per_customer(self, table: str) -> bool:
        """Whether what the query says of a span's transactions depends on no other customers' before the span."""
        rule = self.book.rules.get(table)
        return rule is None or not rule.file.meta.lookback or rule.file.meta.lookback_of == "customer"

    def lookback_rows(self, span: Span) -> HiveQL:
        """Transactions of a span, and of its customers as far back as any rule looks: all that rules `is_per_customer` read."""
        reach = max((rule.file.meta.lookback for rule in self.book.evaluated), default=dt.timedelta())
        transactions = self.tables["transactions"]
        return hiveql(of_customers_in(span, with_lookback(transactions, span, reach), transactions))

    def counted_hits(self, rule: str, span: Span) -> CountedFilter:
        """`query` of a rule, and how many transactions it could judge: each is computed once for both."""
        return counted_hits(self.book.rules[rule], self.tables, span)

    def coverage(self, rule: str, span: Span) -> HiveQL:
        """For each day of the span, how many transactions the rule could judge, and how many it hit."""
        return coverage_query(self.book.rules[rule], self.tables, span)


def _only_days(tree: exp.Query, span: Span) -> exp.Query:
    """A feature's rows of the span's days; a query that reaches further back must not write there."""
    ctes, computed = as_cte(tree, "computed")
    ds = exp.column(PARTITION)
    rows = exp.select("*").from_(computed).where(exp.Between(this=ds, low=literal(span.first_ds), high=literal(span.last_ds)))
    return with_ctes(rows, ctes)
