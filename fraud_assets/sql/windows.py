"""Queries for a span of time: params bound, and every table read only as far as needed."""

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
    """The file's SELECT for a span.

    `:window_start` and `:window_end` are the bounds of the span, `params.days` has a row for each of its days, and
    `params.<name>` a row for each amount of a param. A table is read for the days of the span, extended back by the
    lookback of the front matter. A table with a history is read for the days before each day of the span instead; the
    SELECT joins each day with the days before it.

    Args:
        history: how far back a table is read, by its name.
        select: another query made of parts of the file's SELECT, to run in its place.
    """
    params = {**file.scalars(), "window_start": span.start, "window_end": span.end}
    tree = bind(select or file.tree(), params)
    relations = file.relations()

    def bounded(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Table) or node.db not in (DATABASE, PARAMS_DATABASE):
            return node
        if node.db == PARAMS_DATABASE:
            rows = days_of(span) if node.name == DAYS else _amounts(relations[node.name])
        else:
            earlier = (history or {}).get(node.name)
            lookback = file.meta.lookback if earlier is None else earlier
            rows = with_lookback(tables[node.name], span, lookback, before_only=earlier is not None)
            if node.name == "transactions" and file.meta.lookback_of == "customer" and not span.is_whole_days:
                rows = of_customers_in(span, rows, tables[node.name])
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name))
        return exp.Subquery(this=rows, alias=alias, joins=node.args.get("joins"))

    return cast(exp.Query, tree.transform(bounded, copy=False))


def as_cte(tree: exp.Query, name: str) -> tuple[list[exp.CTE], exp.Table]:
    """A query as a common table expression, preceded by those it has, and the table to read it from.

    Hive allows WITH only at the top level. The tree is moved into the expression, not copied.
    """
    own = tree.ctes
    if own:
        tree.set("with_", None)
    return [*own, exp.CTE(this=tree, alias=exp.TableAlias(this=exp.to_identifier(name)))], exp.table_(name)


def with_ctes(tree: exp.Select, ctes: Iterable[exp.CTE]) -> exp.Select:
    """The query with common table expressions in front; changes the tree."""
    for cte in ctes:
        tree = tree.with_(cte.alias, as_=cte.this, copy=False)
    return tree


def table_node(table: Table) -> exp.Table:
    """The table in FROM of a query."""
    return exp.table_(table.name, db=table.database)


def hiveql(tree: exp.Query) -> HiveQL:
    """The tree as a query that a warehouse runs."""
    return HiveQL.of(tree)


def union_all(rows: Sequence[exp.Query]) -> exp.Query:
    """The rows of one or more queries, with UNION ALL."""
    # a balanced tree: a chain over the days of a year would exceed the recursion limit
    if len(rows) == 1:
        return rows[0]
    middle = len(rows) // 2
    return exp.union(union_all(rows[:middle]), union_all(rows[middle:]), distinct=False, copy=False)


def within(tree: exp.Select, table: Table, span: Span, source: str | None = None) -> exp.Select:
    """The query restricted to rows of the span: by day, and by time if the span is part of a day.

    Args:
        source: alias of the table in the query, if columns must be qualified.
    """
    ds = exp.column(PARTITION, table=source)
    tree = tree.where(ds >= literal(span.first_ds), ds <= literal(span.last_ds))
    if table.time_column is None or span.is_whole_days:
        return tree
    return tree.where(*between(exp.column(table.time_column, table=source), span.start, span.end))


def rows_within(table: Table, span: Span) -> exp.Select:
    """All columns of a table's rows of the span."""
    return within(exp.select("*").from_(table_node(table)), table, span)


def hits_within(tables: Mapping[str, Table], span: Span) -> exp.Query:
    """`rule`, `transaction_id` and day of the span's rows in several tables; `rule` is the name that each is given under."""
    return union_all(
        [
            within(exp.select(literal(name).as_("rule"), "transaction_id", PARTITION).from_(table_node(table)), table, span)
            for name, table in tables.items()
        ]
    )


def with_lookback(table: Table, span: Span, lookback: dt.timedelta, before_only: bool = False) -> exp.Select:
    """Rows of the span, extended back by the lookback window.

    Args:
        before_only: end at the day before the span's last, for queries that read only the days before each day.
    """
    start = span.start - lookback
    last = (span.last_day - dt.timedelta(days=1)).isoformat() if before_only else span.last_ds
    ds = exp.column(PARTITION)
    tree = exp.select("*").from_(table_node(table))
    tree = tree.where(ds >= literal(start.date().isoformat()), ds <= literal(last), copy=False)
    if table.time_column is not None and not before_only and not (span.is_whole_days and start.time() == dt.time.min):
        tree = tree.where(*between(exp.column(table.time_column), start, span.end), copy=False)
    return tree


def of_customers_in(span: Span, rows: exp.Select, transactions: Table) -> exp.Select:
    """The rows whose customer has a transaction in the span. A span of seconds has few customers, so few rows remain."""
    customers = within(exp.select("customer_id").distinct().from_(table_node(transactions)), transactions, span)
    same = exp.column("customer_id", table="w").eq(exp.column("customer_id", table="s"))
    return exp.select("w.*").from_(rows.subquery("w")).join(customers.subquery("s"), on=same, join_type="left semi", copy=False)


def double(value: float) -> exp.Expr:
    """A number as a DOUBLE; a literal with a point would be a DECIMAL."""
    return exp.cast(exp.Literal.number(repr(value)), "DOUBLE")


def between(column: exp.Column, start: dt.datetime, end: dt.datetime) -> list[exp.Expr]:
    """The two conditions that place a column in `[start, end)`."""
    return [column >= literal(start), column < literal(end)]


def days_of(span: Span) -> exp.Query:
    """A row, with its `ds`, for each day of the span."""
    return union_all([exp.select(literal(day.isoformat()).as_(PARTITION)) for day in span.each_day()])


def _amounts(amounts: Amounts) -> exp.Query:
    rows = [
        exp.select(
            exp.cast(literal(currency), "STRING", dialect="hive").as_("currency"),
            exp.cast(literal(str(Decimal(amount))), "DECIMAL(18,2)").as_("amount"),
        )
        for currency, amount in amounts.items()
    ]
    return union_all(rows)
