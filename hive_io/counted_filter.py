"""A query that looks at many rows and keeps few: all are counted, in the same pass where a warehouse can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from sqlglot import exp

from hive_io.dialect import HiveQL
from hive_io.table import PARTITION

Counts: TypeAlias = Mapping[str, int]
KEPT = "sift.kept"
"""The table that `CountedFilter.projected` reads: the rows that are kept, before they are put into the form that is written."""
_DAY = "looked_at_on"


class CountedFilter(HiveQL):
    """The SELECT of the rows that are kept, which any warehouse can run; and its parts, for one that can do better.

    Attributes:
        rows: what is looked at, a SELECT with its common table expressions.
        keep: the BOOLEAN column of `rows` that is true for what is kept; None if everything is.
        time: the TIMESTAMP column of `rows` of whose days the rows are.
        counted: rows that were looked at on each day that has some, when a warehouse computed it last; empty before.
        then: told how many rows each day has, and `counted`, when the IO manager has written.
    """

    def __init__(self, rows: exp.Select, keep: str | None, time: str, projection: Sequence[exp.Expr]) -> None:
        """Take the parts, syntax trees that `parse` let through.

        Args:
            projection: what is made of a row that is kept; `ds`, the day of `time`, is among it.
        """
        super().__init__("")
        self.rows, self.keep, self.time, self._projection = rows, keep, time, projection
        self._text = None
        self.counted: Counts = {}
        self.then: Callable[[Counts, Counts], None] = lambda written, counted: None

    def bound(self) -> exp.Query:
        if self._bound is None:
            kept = _over(self.rows, *self._projected)
            self._bound = kept if self.keep is None else kept.where(exp.column(self.keep), copy=False)
        return self._bound

    @property
    def _projected(self) -> list[exp.Expr]:
        return [expression.copy() for expression in self._projection]

    @property
    def projected(self) -> exp.Select:
        """What is written, of `KEPT`."""
        return exp.select(*self._projected).from_(KEPT)

    @property
    def counts(self) -> HiveQL:
        """A row for each day that has rows: `ds` and `counted`."""
        # a date to group by, a text of each group only: texts of ten million rows take a second
        day = exp.TsOrDsToDate(this=exp.column(self.time))
        days = _over(self.rows, exp.alias_(day, _DAY), exp.alias_(exp.Count(this=exp.Star()), "counted")).group_by(day)
        ds = exp.TimeToStr(this=exp.column(_DAY), format=exp.Literal.string("%Y-%m-%d"))
        return HiveQL.of(_over(days, exp.alias_(ds, PARTITION), exp.column("counted")))


def _over(rows: exp.Select, *selected: exp.Expr) -> exp.Select:
    """A SELECT of the rows of another, whose common table expressions stay in front: Hive allows them there only."""
    inner = rows.copy()
    ctes = inner.ctes
    inner.set("with_", None)
    tree = exp.select(*selected).from_(inner.subquery("looked_at", copy=False), copy=False)
    for cte in ctes:
        tree = tree.with_(cte.alias, as_=cte.this, copy=False)
    return tree
