"""Queries of a rule: its hits with reason and evidence, and how many transactions it could judge."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
from sqlglot import exp

from fraud_assets.detection.rule import JUDGED, SPECIAL_COLUMNS, Rule
from fraud_assets.sql.windows import as_cte, between, double, hiveql, table_node, window_query, with_ctes, within
from hive_io import PARTITION, CountedFilter, HiveQL, Span, Table
from hive_io.dialect import literal

LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.01, 0.99
"""Bounds of a weight that a rule computes per hit: no hit is worthless, and none is proof. A NULL becomes the weight in the
front matter."""


def hits_query(rule: Rule, tables: Mapping[str, Table], span: Span) -> HiveQL:
    """Rows of the rule's table for a span: its hits, each with reason and evidence."""
    return HiveQL.of(counted_hits(rule, tables, span).bound())


def counted_hits(rule: Rule, tables: Mapping[str, Table], span: Span) -> CountedFilter:
    """The rows of `hits_query` and, per day, how many transactions the rule could judge; used to compute whole days."""
    ctes, judged = as_cte(window_query(rule.file, tables, span), JUDGED)
    rows = exp.select("*").from_(judged)
    if not span.is_whole_days or rule.file.meta.lookback:
        # only here were rows outside the span read; a needless filter makes engines expect few rows and misorder joins
        rows = _timed(rows, span)
    rows = with_ctes(rows, ctes)
    projection = [
        exp.column("transaction_id"),
        exp.column("customer_id"),
        exp.column("event_time"),
        literal(rule.name).as_("rule"),
        literal(rule.version).as_("rule_version"),
        literal(rule.severity).as_("severity"),
        _weight(rule).as_("weight"),
        _reason(rule).as_("reason"),
        _evidence(rule).as_("evidence"),
        _day().as_(PARTITION),
    ]
    return CountedFilter(rows, "hit" if "hit" in rule.returns else None, "event_time", projection)


def judged_query(rule: Rule, tables: Mapping[str, Table], span: Span, select: exp.Query | None = None) -> HiveQL:
    """Every transaction of a span that the rule judged: `transaction_id`, `hit`, `weight`, `reason`, `evidence`.

    Args:
        select: another SELECT with the same columns, to run in place of the rule's.
    """
    ctes, judged = as_cte(window_query(rule.file, tables, span, select=select), JUDGED)
    hit = exp.column("hit") if "hit" in rule.returns else exp.true()
    columns = [hit.as_("hit"), _weight(rule).as_("weight"), _reason(rule).as_("reason"), _evidence(rule).as_("evidence")]
    return hiveql(with_ctes(_timed(exp.select("transaction_id", *columns).from_(judged), span), ctes))


def coverage_query(rule: Rule, tables: Mapping[str, Table], span: Span) -> HiveQL:
    """One row per day with transactions: `ds`, `transactions`, how many of them the rule could judge (`judged`), `hits`."""
    ctes, judged = as_cte(window_query(rule.file, tables, span), JUDGED)
    hit = exp.column("hit") if "hit" in rule.returns else exp.true()
    rows = exp.select(
        _day().as_(PARTITION),
        literal(0).as_("transactions"),
        literal(1).as_("judged"),
        exp.If(this=hit, true=literal(1), false=literal(0)).as_("hits"),
    )
    transactions = tables["transactions"]
    everything = exp.select(PARTITION, literal(1).as_("transactions"), literal(0).as_("judged"), literal(0).as_("hits")).from_(
        table_node(transactions)
    )
    union = exp.union(_timed(rows.from_(judged), span), within(everything, transactions, span), distinct=False)
    sums = [exp.func("SUM", exp.column(name)).as_(name) for name in ("transactions", "judged", "hits")]
    return hiveql(with_ctes(exp.select(PARTITION, *sums).from_(union.subquery("counted")).group_by(PARTITION), ctes))


def _timed(tree: exp.Select, span: Span) -> exp.Select:
    return tree.where(*between(exp.column("event_time"), span.start, span.end), copy=False)


def _day() -> exp.Expr:
    return exp.TimeToStr(this=exp.column("event_time"), format=exp.Literal.string("%Y-%m-%d"))


def _weight(rule: Rule) -> exp.Expr:
    constant = double(rule.weight)
    if "weight" not in rule.returns:
        return constant
    computed = exp.func("COALESCE", exp.column("weight"), constant)
    case = exp.Case().when(computed <= LOWEST_WEIGHT, exp.Literal.number(LOWEST_WEIGHT))
    case = case.when(computed >= HIGHEST_WEIGHT, exp.Literal.number(HIGHEST_WEIGHT)).else_(computed)
    return exp.cast(case, "DOUBLE")


def _reason(rule: Rule) -> exp.Expr:
    """The reason template with values filled in; NULL reads "unknown"."""
    parts: list[exp.Expr] = []
    scalars = rule.file.scalars()
    for number, piece in enumerate(re.split(r"\{([^{}]*)\}", rule.file.meta.reason)):
        if number % 2 == 0:
            parts += [literal(piece)] if piece else []
        elif piece in rule.evidence:
            parts.append(exp.func("COALESCE", _as_text(piece, rule.evidence[piece]), literal("unknown")))
        else:
            parts.append(literal(str(scalars[piece])))
    return exp.func("CONCAT", *parts, literal("")) if len(parts) > 1 else parts[0]


def _evidence(rule: Rule) -> exp.Expr:
    """The evidence as a JSON object. It is built in SQL, so that every engine writes the same text."""
    parts: list[exp.Expr] = [literal("{")]
    for number, (name, kind) in enumerate(n for n in rule.evidence.items() if n[0] not in SPECIAL_COLUMNS):
        parts.append(literal(f'{", " if number else ""}"{name}": '))
        text = _as_text(name, kind)
        value = text if pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) else _quoted(text)
        parts.append(exp.func("COALESCE", value, literal("null")))
    return exp.func("CONCAT", *parts, literal("}"))


def _as_text(name: str, kind: pa.DataType) -> exp.Expr:
    column = exp.column(name)
    if pa.types.is_string(kind):
        return column
    if pa.types.is_timestamp(kind):
        return exp.TimeToStr(this=column, format=exp.Literal.string("%Y-%m-%d %H:%M:%S"))
    if pa.types.is_boolean(kind):
        return exp.Case().when(column, literal("true")).when(exp.not_(column.copy()), literal("false"))
    return exp.cast(column, "STRING", dialect="hive")


def _quoted(text: exp.Expr) -> exp.Expr:
    """A text as a JSON string. Control characters without a short escape become spaces."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = exp.Replace(this=text, expression=literal(plain), replacement=literal(escaped))
    text = exp.RegexpReplace(this=text, expression=literal("[\\x00-\\x1f]"), replacement=literal(" "))
    return exp.func("CONCAT", literal('"'), text, literal('"'))
