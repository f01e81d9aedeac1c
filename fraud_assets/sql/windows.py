"""From a SQL file and a span of time to the query that runs: params bound, every table read only as far as needed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import cast

from sqlglot import exp

from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.files import DAYS, PARAMS_DATABASE, FrontMatter, SqlFile
from fraud_assets.sql.params import Amounts
from hive_io import PARTITION, HiveQL, Span, Table
from hive_io.dialect import bind, literal


def window_query(
    file: SqlFile[FrontMatter],
    tables: Mapping[str, Table],
    span: Span,
    history: Mapping[str, dt.timedelta] | None = None,
    select: exp.Query | None = None,
) -> exp.Query:
    """The file's SELECT for a span; or another one that is made of its parts.

    `:window_start` and `:window_end` are the span. `params.days` has a row for each day of it, `params.<name>` a row for
    each amount of a param. A table is read by its days: those of the span and of the look-back that the front matter
    states; one with a history, those before each day of the span, and the SELECT says which day sees which.
    """
    params = {**file.scalars(), "window_start": span.start, "window_end": span.end}
    tree = bind(select or file.tree(), params)
    relations = file.relations()

    def bounded(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Table) or node.db not in (DATABASE, PARAMS_DATABASE):
            return node
        if node.db == PARAMS_DATABASE:
            rows = _days(span) if node.name == DAYS else _amounts(relations[node.name])
        else:
            reach = (history or {}).get(node.name)
            rows = with_lookback(tables[node.name], span, file.meta.lookback if reach is None else reach, reach is not None)
            if node.name == "transactions" and file.meta.lookback_of == "customer" and not span.is_whole_days:
                rows = of_customers_in(span, rows, tables[node.name])
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name))
        return exp.Subquery(this=rows, alias=alias, joins=node.args.get("joins"))

    return cast(exp.Query, tree.transform(bounded, copy=False))


def as_cte(tree: exp.Query, name: str) -> tuple[list[exp.CTE], exp.Table]:
    """A query as a common table expression, after its own: Hive allows WITH only at the top. The tree becomes a part of it."""
    own = tree.ctes
    if own:
        tree.set("with_", None)
    return [*own, exp.CTE(this=tree, alias=exp.TableAlias(this=exp.to_identifier(name)))], exp.table_(name)


def with_ctes(tree: exp.Select, ctes: Iterable[exp.CTE]) -> exp.Select:
    """The query with those common table expressions in front."""
    for cte in ctes:
        tree = tree.with_(cte.alias, as_=cte.this, copy=False)
    return tree


def hiveql(tree: exp.Query) -> HiveQL:
    return HiveQL.of(tree)


def union_all(rows: Sequence[exp.Query]) -> exp.Query:
    """The rows of one or more queries, one after the other."""
    # a balanced tree: a chain of a year's days would be too deep to walk
    if len(rows) == 1:
        return rows[0]
    middle = len(rows) // 2
    return exp.union(union_all(rows[:middle]), union_all(rows[middle:]), distinct=False, copy=False)


def within(tree: exp.Select, table: Table, span: Span, source: str | None = None) -> exp.Select:
    """Only rows of the span: by day, and by time where the span is a part of a day."""
    ds = exp.column(PARTITION, table=source)
    tree = tree.where(_at_least(ds, span.first_ds), _at_most(ds, span.last_ds))
    if table.time_column is None or span.is_whole_days:
        return tree
    return tree.where(*between(exp.column(table.time_column, table=source), span.start, span.end))


def with_lookback(table: Table, span: Span, reach: dt.timedelta, before_only: bool = False) -> exp.Select:
    """The table's rows of a span and of so long before it; or only those of the days before each day of it."""
    start = span.start - reach
    last = (span.last_day - dt.timedelta(days=1)).isoformat() if before_only else span.last_ds
    ds = exp.column(PARTITION)
    tree = exp.select("*").from_(exp.table_(table.name, db=table.database))
    tree = tree.where(_at_least(ds, start.date().isoformat()), _at_most(ds, last), copy=False)
    if table.time_column is not None and not before_only and not (span.is_whole_days and start.time() == dt.time.min):
        tree = tree.where(*between(exp.column(table.time_column), start, span.end), copy=False)
    return tree


def of_customers_in(span: Span, rows: exp.Select, transactions: Table) -> exp.Select:
    """Of rows that reach further back, those of customers who are in the span: a few seconds have few of them."""
    there = within(
        exp.select("customer_id").distinct().from_(exp.table_(transactions.name, db=transactions.database)), transactions, span
    )
    mine = exp.EQ(this=exp.column("customer_id", table="w"), expression=exp.column("customer_id", table="s"))
    return exp.select("w.*").from_(rows.subquery("w")).join(there.subquery("s"), on=mine, join_type="left semi", copy=False)


def between(column: exp.Column, start: dt.datetime, end: dt.datetime) -> list[exp.Expr]:
    """The column is in `[start, end)`."""
    return [exp.GTE(this=column, expression=literal(start)), exp.LT(this=column.copy(), expression=literal(end))]


def _at_least(column: exp.Column, value: str) -> exp.Expr:
    return exp.GTE(this=column.copy(), expression=literal(value))


def _at_most(column: exp.Column, value: str) -> exp.Expr:
    return exp.LTE(this=column.copy(), expression=literal(value))


def _days(span: Span) -> exp.Query:
    return union_all([exp.select(exp.alias_(literal(day.isoformat()), PARTITION)) for day in span.each_day()])


def _amounts(amounts: Amounts) -> exp.Query:
    rows = [
        exp.select(
            exp.alias_(exp.cast(literal(currency), "STRING", dialect="hive"), "currency"),
            exp.alias_(exp.cast(literal(str(Decimal(amount))), "DECIMAL(18,2)"), "amount"),
        )
        for currency, amount in amounts.items()
    ]
    return union_all(rows)
