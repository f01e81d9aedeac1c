"""Near misses: transactions that a rule judged without a hit and that came close to one; customers who come closer each time.

The distance of a comparison that does not hold is the gap between its two sides, as a share of the larger one: 90 against a
limit of 100 is 0.1 away. Of conditions that must all hold, the farthest counts; of alternatives, the nearest. A comparison that
is not of numbers has no distance: a transaction that fails one is no near miss.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from fraud_assets.detection.rule import JUDGED, Rule
from fraud_assets.errors import RuleError
from fraud_assets.explain.comparisons import Condition, Probed
from fraud_assets.explain.probed_select import PROBE, ProbedSelect
from fraud_assets.explain.query_tree import Scope
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.windows import as_cte, between, hiveql, window_query, with_ctes
from hive_io import Reader, Span, Table
from hive_io.dry_run import result_schema

CREEPING = 3
"""Near misses of a customer, each nearer than the one before, that are a finding of their own."""

_FAR = 2.0
"""Stands for a condition that has no distance; more than any share."""
_DISTANCE = f"{PROBE}distance"


class NoDistance(RuleError):
    """The rule compares no numbers for each transaction, so nothing is near to it."""


@dataclass(frozen=True)
class NearMiss:
    """A transaction that came close to a hit.

    Attributes:
        event_time: UTC, aware.
        distance: share by which it missed, above 0.
        condition: of a hit, with the values compared.
    """

    transaction_id: str
    customer_id: str
    event_time: dt.datetime
    distance: float
    condition: Condition

    @property
    def missed(self) -> list[str]:
        """The comparisons that do not hold."""
        return [*_missed(self.condition)]


def near_misses(rule: Rule, tables: Mapping[str, Table], reader: Reader, span: Span, within: float) -> list[NearMiss]:
    """Near misses of a rule in a span, the nearest first.

    Args:
        tables: described, by name.
        within: the largest distance, in (0, 1).

    Raises:
        NoDistance: its SELECT has no condition to be near to.
        RuleError: the rule reads a table that does not exist; `within` is none.
    """
    if not 0 < within < 1:
        raise RuleError(f"within is {within:g}; give a share above 0 and below 1")
    if missing := sorted(rule.file.tables() - {*reader.tables(DATABASE)}):
        raise RuleError(f"{rule.name} reads {', '.join(missing)}, which the warehouse does not have; fill it with `fraud run`")
    tree = rule.file.tree().copy()
    if not isinstance(tree, exp.Select) or "hit" not in rule.returns or not Scope(tree).keeps_rows:
        raise NoDistance(
            f"{rule.name} has no near misses: its SELECT returns no column hit with a condition of each transaction"
        )
    probed = ProbedSelect(tree, rule.file.scalars())
    condition = probed.condition(probed.scope.projection("hit"))
    query = window_query(rule.file, tables, span, select=tree)
    schema = result_schema(hiveql(query), {table.full_name: table for table in tables.values()})
    if not _compares_numbers(condition, schema):
        raise NoDistance(f"{rule.name} has no near misses: it compares no numbers")
    ctes, judged = as_cte(query, JUDGED)
    rows = exp.select("*", _distance(condition, schema).as_(_DISTANCE)).from_(judged)
    rows = rows.where(exp.not_(exp.func("COALESCE", exp.column("hit"), exp.false())))
    rows = rows.where(*between(exp.column("event_time"), span.start, span.end))
    near = exp.select("*").from_(rows.subquery("near")).where(exp.column(_DISTANCE) <= exp.Literal.number(repr(within)))
    found = [
        NearMiss(
            row["transaction_id"],
            row["customer_id"],
            row["event_time"].replace(tzinfo=dt.UTC),
            row[_DISTANCE],
            condition.answered(row),
        )
        for row in reader.query(hiveql(with_ctes(near, ctes))).to_pylist()
    ]
    return sorted(found, key=lambda each: (each.distance, each.event_time, each.transaction_id))


def creeping(misses: Iterable[NearMiss]) -> dict[str, Sequence[NearMiss]]:
    """Customers whose last near misses came closer each time, three at least, with these in order of time."""
    of_customers: dict[str, list[NearMiss]] = defaultdict(list)
    for each in sorted(misses, key=lambda each: (each.event_time, each.transaction_id)):
        run = of_customers[each.customer_id]
        if run and each.distance >= run[-1].distance:
            run.clear()
        run.append(each)
    return {customer: run for customer, run in sorted(of_customers.items()) if len(run) >= CREEPING}


def _missed(condition: Condition) -> Iterable[str]:
    if condition.how is None:
        if condition.holds is not True:
            yield condition.text + (f", by {condition.off}" if condition.off else "")
        return
    for part in condition.parts:
        if part.holds is not True:
            yield from _missed(part)


def _compares_numbers(condition: Probed, schema: pa.Schema) -> bool:
    return any(_compares_numbers(part, schema) for part in condition.parts) or _are_numbers(condition, schema)


def _are_numbers(condition: Probed, schema: pa.Schema) -> bool:
    if condition.sides is None:
        return False
    kinds = [schema.field(side.column).type for side in condition.sides]
    return all(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind) for kind in kinds)


def _distance(condition: Probed, schema: pa.Schema) -> exp.Expr:
    """The distance of a condition, in columns of the probed query: 0 where it holds."""
    if condition.how:
        sign = exp.GTE if condition.how == "all" else exp.LTE
        first, *others = [_distance(part, schema) for part in condition.parts]
        for other in others:
            # no engine agrees with another on GREATEST of NULLs; no distance is NULL here
            chosen = sign(this=first.copy(), expression=other.copy())
            first = exp.Case().when(chosen, first).else_(other)
        return first
    holds = exp.func("COALESCE", exp.column(condition.holds.column), exp.false())
    zero, far = exp.cast(exp.Literal.number(0), "DOUBLE"), exp.cast(exp.Literal.number(_FAR), "DOUBLE")
    if not _are_numbers(condition, schema) or condition.sides is None:
        return exp.Case().when(holds, zero).else_(far)
    left, right = (exp.cast(exp.column(side.column), "DOUBLE") for side in condition.sides)
    sizes = [exp.func("ABS", side.copy()) for side in (left, right)]
    larger = exp.Case().when(sizes[0].copy() >= sizes[1].copy(), sizes[0]).else_(sizes[1])
    # two equal numbers, which a strict comparison tells apart, are as near as can be
    gap = exp.func("ABS", exp.paren(left - right)) / exp.func("NULLIF", larger, zero.copy())
    equal = exp.EQ(this=left.copy(), expression=right.copy())
    return exp.Case().when(holds, zero).when(equal, zero.copy()).else_(exp.func("COALESCE", gap, far))
