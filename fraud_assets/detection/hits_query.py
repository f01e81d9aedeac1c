"""From a rule to the query that fills its table, and to the one that counts what it could judge."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
from sqlglot import exp

from fraud_assets.detection.rule import JUDGED, SPECIAL_COLUMNS, Rule
from fraud_assets.sql.windows import as_cte, between, hiveql, window_query, with_ctes, within
from hive_io import PARTITION, CountedFilter, HiveQL, Span, Table
from hive_io.dialect import literal

LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.01, 0.99
"""A rule's own weight per hit is brought into these bounds: no hit says nothing, none is a proof. A NULL is the weight
that the front matter states."""


def hits_query(rule: Rule, tables: Mapping[str, Table], span: Span) -> HiveQL:
    """The rows of the rule's table for a span: its hits, each with reason and evidence."""
    return HiveQL.of(counted_hits(rule, tables, span).bound())


def counted_hits(rule: Rule, tables: Mapping[str, Table], span: Span) -> CountedFilter:
    """The same rows, and for each day how many transactions the rule could judge: what a whole day is computed by."""
    ctes, judged = as_cte(window_query(rule.file, tables, span), JUDGED)
    rows = exp.select("*").from_(judged)
    if not span.is_whole_days or rule.file.meta.lookback:
        # else no other rows were read; and an engine that thinks few rows are left joins them the wrong way round
        rows = _timed(rows, span)
    rows = with_ctes(rows, ctes)
    projection = [
        exp.column("transaction_id"),
        exp.column("customer_id"),
        exp.column("event_time"),
        exp.alias_(literal(rule.name), "rule"),
        exp.alias_(literal(rule.version), "rule_version"),
        exp.alias_(literal(rule.severity), "severity"),
        exp.alias_(_weight(rule), "weight"),
        exp.alias_(_reason(rule), "reason"),
        exp.alias_(_evidence(rule), "evidence"),
        exp.alias_(_day(), PARTITION),
    ]
    return CountedFilter(rows, "hit" if "hit" in rule.returns else None, "event_time", projection)


def coverage_query(rule: Rule, tables: Mapping[str, Table], span: Span) -> HiveQL:
    """A row for each day with transactions: `ds`, `transactions`, how many the rule could judge (`judged`), `hits`."""
    ctes, judged = as_cte(window_query(rule.file, tables, span), JUDGED)
    hit = exp.column("hit") if "hit" in rule.returns else exp.true()
    rows = exp.select(
        exp.alias_(_day(), PARTITION),
        exp.alias_(literal(0), "transactions"),
        exp.alias_(literal(1), "judged"),
        exp.alias_(exp.If(this=hit, true=literal(1), false=literal(0)), "hits"),
    )
    transactions = tables["transactions"]
    everything = exp.select(
        PARTITION, exp.alias_(literal(1), "transactions"), exp.alias_(literal(0), "judged"), exp.alias_(literal(0), "hits")
    ).from_(exp.table_(transactions.name, db=transactions.database))
    union = exp.union(_timed(rows.from_(judged), span), within(everything, transactions, span), distinct=False)
    sums = [exp.alias_(exp.func("SUM", exp.column(name)), name) for name in ("transactions", "judged", "hits")]
    return hiveql(with_ctes(exp.select(PARTITION, *sums).from_(union.subquery("counted")).group_by(PARTITION), ctes))


def _timed(tree: exp.Select, span: Span) -> exp.Select:
    return tree.where(*between(exp.column("event_time"), span.start, span.end), copy=False)


def _day() -> exp.Expr:
    return exp.TimeToStr(this=exp.column("event_time"), format=exp.Literal.string("%Y-%m-%d"))


def _weight(rule: Rule) -> exp.Expr:
    stated = exp.cast(exp.Literal.number(repr(rule.weight)), "DOUBLE")
    if "weight" not in rule.returns:
        return stated
    own = exp.func("COALESCE", exp.column("weight"), stated)
    case = exp.Case().when(own <= LOWEST_WEIGHT, exp.Literal.number(LOWEST_WEIGHT))
    case = case.when(own.copy() >= HIGHEST_WEIGHT, exp.Literal.number(HIGHEST_WEIGHT)).else_(own.copy())
    return exp.cast(case, "DOUBLE")


def _reason(rule: Rule) -> exp.Expr:
    """The template with the values in it; a NULL is "unknown"."""
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
    """A JSON object of the evidence, put together in SQL, so that every engine writes the same."""
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
    """A JSON string of a text: what JSON does not allow inside is escaped, or a space where it has no short escape."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = exp.Replace(this=text, expression=literal(plain), replacement=literal(escaped))
    text = exp.RegexpReplace(this=text, expression=literal("[\\x00-\\x1f]"), replacement=literal(" "))
    return exp.func("CONCAT", literal('"'), text, literal('"'))
