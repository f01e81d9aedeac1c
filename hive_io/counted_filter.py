"""A query that reads many rows and keeps few. All rows are counted by day, in the same pass where the warehouse can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from sqlglot import exp

from hive_io.dialect import HiveQL
from hive_io.table import PARTITION

Counts: TypeAlias = Mapping[str, int]
"""Rows by day."""
KEPT = "counted_filter.kept"
"""Table that `CountedFilter.projected` reads: the kept rows, before the projection."""
_DAY = "looked_at_on"


class CountedFilter(HiveQL):
    """The SELECT of the kept rows, which any warehouse can run, together with its parts, for a warehouse that can do better.

    Attributes:
        rows: SELECT of all rows, with its common table expressions.
        keep: BOOLEAN column of `rows` that is true for kept rows; None to keep all.
        time: TIMESTAMP column of `rows` that gives a row's day.
        counted: number of `rows` on each day that has any, from the last computation; empty before the first.
        then: callback of the IO manager after the write, with the rows written by day and with `counted`.
    """

    def __init__(self, rows: exp.Select, keep: str | None, time: str, projection: Sequence[exp.Expr]) -> None:
        """Build the query from syntax trees that `parse` accepted.

        Args:
            projection: columns to write, computed from a kept row; includes `ds`, the day of `time`.
        """
        super().__init__("")
        self.rows, self.keep, self.time, self._projection = rows, keep, time, projection
        self._text = None
        self.counted: Counts = {}
        self.then: Callable[[Counts, Counts], None] = lambda written, counted: None

    def bound(self) -> exp.Query:
        if self._bound is None:
            kept = _select_over(self.rows, *self._projected)
            self._bound = kept if self.keep is None else kept.where(exp.column(self.keep), copy=False)
        return self._bound

    @property
    def _projected(self) -> list[exp.Expr]:
        return [expression.copy() for expression in self._projection]

    @property
    def projected(self) -> exp.Select:
        """SELECT of the columns to write, from the table `KEPT`."""
        return exp.select(*self._projected).from_(KEPT)

    @property
    def counts(self) -> HiveQL:
        """Query with a row for each day that has rows: `ds` and `counted`."""
        # grouped by a date and formatted per group: formatting ten million rows takes a second
        day = exp.TsOrDsToDate(this=exp.column(self.time))
        days = _select_over(self.rows, day.as_(_DAY), exp.Count(this=exp.Star()).as_("counted")).group_by(day)
        ds = exp.TimeToStr(this=exp.column(_DAY), format=exp.Literal.string("%Y-%m-%d"))
        return HiveQL.of(_select_over(days, ds.as_(PARTITION), exp.column("counted")))


def _select_over(rows: exp.Select, *selected: exp.Expr) -> exp.Select:
    """A SELECT from another SELECT. The common table expressions stay in front, the only place where Hive allows them."""
    inner = rows.copy()
    ctes = inner.ctes
    inner.set("with_", None)
    tree = exp.select(*selected).from_(inner.subquery("looked_at", copy=False), copy=False)
    for cte in ctes:
        tree = tree.with_(cte.alias, as_=cte.this, copy=False)
    return tree
