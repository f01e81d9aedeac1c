"""Queries of the scorecard: the score of every transaction, and the labelled transactions that a card is learned from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.scoring.card import MOST_POINTS, POINTS_TO_DOUBLE, UNNAMED, Card, Part
from fraud_assets.sql.known_labels import known_labels
from fraud_assets.sql.windows import double, hits_within, hiveql, rows_within, union_all
from hive_io import PARTITION, HiveQL, Span, Table
from hive_io.dialect import literal

FRAUD = "known_fraud"
"""Column of the training rows: 1 for a known fraud, else 0."""

HIT = "hit_"
"""Prefix of the training rows' columns that are 1 where a rule hit."""


@dataclass(frozen=True)
class InForce:
    """A card with the version under which it is in force, and the time in which it is."""

    card: Card
    version: str
    span: Span


def scores_query(cards: Sequence[InForce], rules: Sequence[Table]) -> HiveQL:
    """Rows of `transaction_scores` for the spans of the cards.

    Args:
        rules: the tables of the rules whose hits have points. A card's points for another rule are not used.
    """
    return hiveql(union_all([_scores(each, rules) for each in cards]))


def training_query(span: Span, features: Iterable[str], rules: Sequence[Table], known: Span) -> HiveQL:
    """One row for each transaction of the span: features, `hit_<rule>`, and whether it is a known fraud.

    Args:
        known: days whose labels count.
    """
    rows = _features_and_hits(span, rules)
    label = exp.func("COALESCE", exp.column("is_fraud", table="l"), literal(0))
    columns = [exp.column(name, table="f") for name in features]
    labels = known_labels(known).subquery("k")
    frauds = exp.select("k.transaction_id", literal(1).as_("is_fraud")).from_(labels).where("k.is_fraud")
    rows = rows.select(*columns, *(_hit(rule).as_(HIT + rule.name) for rule in rules), label.as_(FRAUD))
    return hiveql(rows.join(frauds.subquery("l"), on="l.transaction_id = f.transaction_id", join_type="left"))


def moves_query(card: Card, before: Card, span: Span, rules: Sequence[Table]) -> tuple[list[str], HiveQL]:
    """How two cards differ in each feature and rule: the names of these, and a query for one row: the number of transactions in
    the span, then for each name the sum of the differences of its points, and the sum of their squares.

    Args:
        rules: as for `scores_query`.
    """
    with_points = [rule for rule in rules if card.rules.get(rule.name) or before.rules.get(rule.name)]
    after, earlier = (dict(_parts_of(each, with_points)) for each in (card, before))
    names = list(dict.fromkeys([*after, *earlier]))
    differences = [exp.Sub(this=after.get(name, literal(0)), expression=earlier.get(name, literal(0))) for name in names]
    columns = [f"d{number}" for number in range(len(names))]
    each = _features_and_hits(span, with_points).select(
        literal(0).as_("none"), *(difference.as_(column) for column, difference in zip(columns, differences, strict=True))
    )
    sums = []
    for column in map(exp.column, columns):
        square = exp.Mul(this=column.copy(), expression=column.copy())
        sums += [exp.func("SUM", column).as_(f"{column.name}_sum"), exp.func("SUM", square).as_(f"{column.name}_squares")]
    return names, hiveql(exp.select(exp.Count(this=exp.Star()).as_("transactions"), *sums).from_(each.subquery("each")))


def _scores(each: InForce, rules: Sequence[Table]) -> exp.Select:
    with_points = [rule for rule in rules if each.card.rules.get(rule.name)]
    parts = {f"p{number}": part for number, part in enumerate(_parts_of(each.card, with_points))}
    keys = ("transaction_id", "customer_id", "event_time", PARTITION)
    pointed = _features_and_hits(each.span, with_points).select(
        *(exp.column(name, table="f") for name in keys), *(value.as_(name) for name, (_, value) in parts.items())
    )
    # a sum of small integers is exact in DOUBLE, and not cut to 32 bits at each step, which takes DuckDB long to plan
    total: exp.Expr = double(each.card.base)
    for name in parts:
        total = exp.Add(this=total, expression=exp.cast(exp.column(name), "DOUBLE"))
    contributions = _contributions(each.card.base, {n: p[0] for n, p in parts.items()})
    summed = exp.select(*keys, total.as_("points"), contributions).from_(pointed.subquery("pointed"))
    kept = ("points", "contributions")
    bounded = exp.select(*keys, *kept, _bounded().as_("bounded")).from_(summed.subquery("summed"))
    scaled = exp.select(*keys, *kept, _millionths().as_("millionths")).from_(bounded.subquery("bounded"))
    rounded = exp.Div(this=exp.func("FLOOR", exp.column("millionths")), expression=exp.Literal.number(1000000))
    return exp.select(
        "transaction_id",
        "customer_id",
        "event_time",
        exp.cast(rounded, "DOUBLE").as_("score"),
        exp.cast(exp.column("points"), "INT").as_("points"),
        literal(each.version).as_("card_version"),
        "contributions",
        PARTITION,
    ).from_(scaled.subquery("scaled"))


def _parts_of(card: Card, rules: Sequence[Table]) -> list[tuple[str, exp.Expr]]:
    """The name of each contribution, and its points; in the rows of `_features_and_hits` for these rules."""
    parts = [(part.label, _part(part)) for part in card.features]
    for rule in rules:
        hit = exp.Case().when(exp.column(rule.name, table="h").eq(literal(1)), literal(card.rules.get(rule.name, 0)))
        parts.append((rule.name, hit.else_(literal(0))))
    return parts


def _features_and_hits(span: Span, rules: Sequence[Table]) -> exp.Select:
    """Transactions of the span as `f`, with the hits of the rules as `h`."""
    rows = exp.select().from_(rows_within(TRANSACTION_FEATURES, span).subquery("f"))
    if not rules:
        return rows
    hits = hits_within({rule.name: rule for rule in rules}, span)
    hit_by = [
        exp.func("MAX", exp.Case().when(exp.column("rule").eq(literal(rule.name)), literal(1)).else_(literal(0))).as_(rule.name)
        for rule in rules
    ]
    together = exp.select("transaction_id", PARTITION, *hit_by).from_(hits.subquery("u")).group_by("transaction_id", PARTITION)
    return rows.join(
        together.subquery("h"),
        on=f"h.transaction_id = f.transaction_id AND h.{PARTITION} = f.{PARTITION}",
        join_type="left",
    )


def _hit(rule: Table) -> exp.Expr:
    return exp.func("COALESCE", exp.column(rule.name, table="h"), literal(0))


def _part(part: Part) -> exp.Expr:
    value = exp.column(part.feature, table="f")
    case = exp.Case()
    if part.currency is not None:
        named = exp.func("COALESCE", exp.column("currency", table="f"), literal(UNNAMED))
        case = case.when(exp.NEQ(this=named, expression=literal(part.currency)), literal(0))
    case = case.when(value.is_(exp.null()), literal(part.missing))
    for edge, points in zip(part.edges, part.points, strict=False):
        case = case.when(value < literal(edge), literal(points))
    return case.else_(literal(part.points[-1]))


def _bounded() -> exp.Expr:
    points, most = exp.column("points"), double(MOST_POINTS)
    least = exp.Neg(this=double(MOST_POINTS))
    return exp.Case().when(points > most, most).when(points < least, least).else_(points)


def _millionths() -> exp.Expr:
    """1 / (1 + 2^(−points / 20)) in millionths, plus a half: rounded down, every engine writes the same six digits."""
    power = exp.Mul(this=exp.column("bounded"), expression=double(math.log(2) / POINTS_TO_DOUBLE))
    odds = exp.func("EXP", exp.Neg(this=exp.paren(power)))
    return exp.Div(this=double(1000000), expression=exp.paren(double(1) + odds)) + double(0.5)


def _contributions(base: int, names: Mapping[str, str]) -> exp.Expr:
    """A JSON object of the points that are not 0."""
    pieces = [
        exp.Case()
        .when(
            exp.NEQ(this=exp.column(column), expression=literal(0)),
            exp.func("CONCAT", literal(f', "{label}": '), exp.cast(exp.column(column), "STRING", dialect="hive")),
        )
        .else_(literal(""))
        for column, label in names.items()
    ]
    return exp.func("CONCAT", literal(f'{{"base": {base}'), *pieces, literal("}")).as_("contributions")
