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
from fraud_assets.detection.thresholds_query import BUDGET_MEMORY, thresholds_query
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS, SCORECARDS, TRANSACTION_SCORES
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.schemas.sources import ApiTable
from fraud_assets.scoring.in_force import LEARNED_FROM, cards_in_force, learn_cards
from fraud_assets.scoring.learn import Edges
from fraud_assets.scoring.queries import scores_query
from fraud_assets.sql.windows import as_cte, hiveql, of_customers_in, window_query, with_ctes, with_lookback, within
from hive_io import CountedFilter, HiveQL, Span, Table, Warehouse
from hive_io.warehouse import Data


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
        after = [name for name in FEATURE_TABLES if name not in {*self.upstream_features, TRANSACTION_FEATURES.name}]
        scoring = [SCORECARDS.name, TRANSACTION_SCORES.name, *([ALERT_THRESHOLDS.name] if self.book.alerts_a_day else [])]
        return [*self.upstream_features, TRANSACTION_FEATURES.name, *rules, *scoring, FRAUD_ALERTS.name, *after]

    @cached_property
    def upstream_features(self) -> list[str]:
        """Feature tables of customers and merchants, by day, that read no rule and no alert, each after the tables it reads."""
        waiting = [name for name in FEATURE_TABLES if name != TRANSACTION_FEATURES.name]
        ordered: list[str] = []
        downstream = {FRAUD_ALERTS.name, *self.book.rules}
        while ready := [t for t in waiting if not self.book.features[t].tables() & {*waiting, *downstream} - {t}]:
            ordered += ready
            waiting = [t for t in waiting if t not in ready]
        return ordered

    @property
    def due_at_start(self) -> list[str]:
        """Tables that are computed when a day begins: the upstream features, and the score that a budget of alerts needs."""
        return [*self.upstream_features, *([ALERT_THRESHOLDS.name] if self.book.alerts_a_day else [])]

    @property
    def per_transaction(self) -> list[Table]:
        """Tables whose rows each belong to a transaction of the same day: features, hits of evaluated rules, scores, alerts."""
        hits = [rule.table for rule in self.book.evaluated]
        return [TRANSACTION_FEATURES, *hits, TRANSACTION_SCORES, FRAUD_ALERTS]

    def reads(self, table: str) -> dict[str, dt.timedelta | None]:
        """Tables that a table's query reads, with the length of the history before the day; None for a read of the same day."""
        if table in self.book.features:
            feature = self.book.features[table]
            return {name: feature.meta.history.get(name) for name in sorted(feature.tables())}
        rules = [rule.name for rule in self.book.evaluated]
        if table == SCORECARDS.name:
            return dict.fromkeys([LABELS.name, TRANSACTION_FEATURES.name, *rules], LEARNED_FROM)
        if table == TRANSACTION_SCORES.name:
            return dict.fromkeys([SCORECARDS.name, TRANSACTION_FEATURES.name, *rules])
        alerting = [rule.name for rule in self.book.alerting]
        if table == ALERT_THRESHOLDS.name:
            return dict.fromkeys([TRANSACTION_SCORES.name, *alerting], BUDGET_MEMORY)
        if table == FRAUD_ALERTS.name:
            thresholds = [ALERT_THRESHOLDS.name] if self.book.alerts_a_day else []
            return dict.fromkeys(["high_risk_customers", TRANSACTION_SCORES.name, "transactions", *thresholds, *alerting])
        return dict.fromkeys(sorted(self.book.rules[table].file.tables()))

    def is_point_in_time(self, table: str) -> bool:
        """True if the table is as of the start of the day, and so does not change during the day."""
        if table in self.book.features:
            return bool(self.book.features[table].meta.history)
        return table in (SCORECARDS.name, ALERT_THRESHOLDS.name)

    def data(self, table: str, span: Span, warehouse: Warehouse) -> Data:
        """What replaces the table's rows of the span: the rows of `scorecards`, for every other table a query.

        Args:
            warehouse: where scorecards, and what they are learned from, are read.
        """
        if table == SCORECARDS.name:
            return learn_cards(warehouse, span, self._edges, self._rule_tables)
        if table == TRANSACTION_SCORES.name:
            return scores_query(cards_in_force(warehouse, span, self.book.scorecard), self._rule_tables)
        if table == ALERT_THRESHOLDS.name:
            # a rule that is new has no hits of the days before, nor a table on the first of them
            for name in self.reads(table):
                warehouse.ensure_table(self.tables[name])
        return self.query(table, span)

    @property
    def _edges(self) -> Edges:
        return self.book.features[TRANSACTION_FEATURES.name].meta.edges

    @property
    def _rule_tables(self) -> list[Table]:
        return [rule.table for rule in self.book.evaluated]

    def query(self, table: str, span: Span) -> HiveQL:
        """The query whose result replaces the table's rows of the span; `data` has those of the scorecard.

        Args:
            span: for a table without a time column, whole days (`span.whole_days()`).
        """
        if table in self.book.features:
            feature = self.book.features[table]
            computed = span if self.tables[table].time_column else span.whole_days()
            tree = window_query(feature, self.tables, computed, feature.meta.history)
            return hiveql(_only(tree, self.tables[table], span))
        if table == FRAUD_ALERTS.name:
            return alerts_query(self.book.alerting, self.tables, span, self.book.alert_score, bool(self.book.alerts_a_day))
        if table == ALERT_THRESHOLDS.name:
            alerting = [rule.table for rule in self.book.alerting]
            return thresholds_query(alerting, span, self.book.alerts_a_day or 0, self.book.alert_score)
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


def _only(tree: exp.Query, table: Table, span: Span) -> exp.Query:
    """The table's rows of the span; the query of a feature can return rows of the time before as well."""
    ctes, computed = as_cte(tree, "computed")
    return with_ctes(within(exp.select("*").from_(computed), table, span), ctes)
