"""Queries that compute a table's rows of a span. Independent of Dagster.

Dagster assets return these queries to the IO manager; `refresh` and the live path pass them to the warehouse.
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
from fraud_assets.schemas.sources import ApiTable
from fraud_assets.sql.windows import as_cte, hiveql, of_customers_in, window_query, with_ctes, with_lookback
from hive_io import PARTITION, CountedFilter, HiveQL, Span, Table
from hive_io.dialect import literal


class Engine:
    """The query for each table, from the rules and features in force.

    Attributes:
        apis: the source tables, with the columns that a source file adds.
        tables: every table by name, with those of the rules.
    """

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        self.apis: Mapping[str, ApiTable] = book.apis
        self.tables: Mapping[str, Table] = book.tables()

    @cached_property
    def order(self) -> list[str]:
        """Tables that are computed by queries, each after the tables that it reads."""
        rules = [rule.name for rule in self.book.evaluated]
        after = [name for name in FEATURE_TABLES if name not in self.upstream_features]
        return [*self.upstream_features, *rules, FRAUD_ALERTS.name, *after]

    @cached_property
    def upstream_features(self) -> list[str]:
        """Feature tables that read no rule and no alert, each after the tables that it reads."""
        waiting = [*FEATURE_TABLES]
        ordered: list[str] = []
        downstream = {FRAUD_ALERTS.name, *self.book.rules}
        while ready := [t for t in waiting if not self.book.features[t].tables() & {*waiting, *downstream} - {t}]:
            ordered += ready
            waiting = [t for t in waiting if t not in ready]
        return ordered

    @property
    def per_transaction(self) -> list[Table]:
        """Tables whose rows each belong to a transaction of the same day: the hits of every rule, and the alerts."""
        return [*(self.tables[name] for name in self.book.rules), FRAUD_ALERTS]

    def reads(self, table: str) -> dict[str, dt.timedelta | None]:
        """Tables that a table's query reads, with the length of the history before the day; None for a read of the same day."""
        if table in self.book.features:
            feature = self.book.features[table]
            return {name: feature.meta.history.get(name) for name in sorted(feature.tables())}
        if table == FRAUD_ALERTS.name:
            return dict.fromkeys(["high_risk_customers", "transactions", *(rule.name for rule in self.book.alerting)])
        return dict.fromkeys(sorted(self.book.rules[table].file.tables()))

    def is_point_in_time(self, table: str) -> bool:
        """True if the table is as of the start of the day, and so does not change during the day."""
        return table in self.book.features and bool(self.book.features[table].meta.history)

    def query(self, table: str, span: Span) -> HiveQL:
        """The query whose result replaces the table's rows of the span.

        Args:
            span: for a table without a time column, whole days (`span.whole_days()`).
        """
        if table in self.book.features:
            feature = self.book.features[table]
            tree = window_query(feature, self.tables, span.whole_days(), feature.meta.history)
            return hiveql(_only_days(tree, span))
        if table == FRAUD_ALERTS.name:
            return alerts_query(self.book.alerting, self.tables, span)
        return hits_query(self.book.rules[table], self.tables, span)

    def is_per_customer(self, table: str) -> bool:
        """True if the result for a span depends only on the history of each customer with a transaction in the span."""
        rule = self.book.rules.get(table)
        return rule is None or not rule.file.meta.lookback or rule.file.meta.lookback_of == "customer"

    def lookback_rows(self, span: Span) -> HiveQL:
        """Transactions of the span's customers, extended back by the longest lookback: the input of rules `is_per_customer`."""
        lookback = max((rule.file.meta.lookback for rule in self.book.evaluated), default=dt.timedelta())
        transactions = self.tables["transactions"]
        return hiveql(of_customers_in(span, with_lookback(transactions, span, lookback), transactions))

    def counted_hits(self, rule: str, span: Span) -> CountedFilter:
        """`query` of a rule, with the number of transactions that it judged, both from one evaluation."""
        return counted_hits(self.book.rules[rule], self.tables, span)

    def coverage(self, rule: str, span: Span) -> HiveQL:
        """Query of the rule's coverage: for each day of the span, the transactions, those that it judged, and its hits."""
        return coverage_query(self.book.rules[rule], self.tables, span)


def _only_days(tree: exp.Query, span: Span) -> exp.Query:
    """The rows of the span's days; the query of a feature can return rows of the days before as well."""
    ctes, computed = as_cte(tree, "computed")
    in_span = exp.column(PARTITION).between(literal(span.first_ds), literal(span.last_ds))
    return with_ctes(exp.select("*").from_(computed).where(in_span), ctes)
