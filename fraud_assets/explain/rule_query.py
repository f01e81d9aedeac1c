"""A rule's SELECT for one transaction: the row it returns, the values behind its hit, and the reasons for returning none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cached_property

from sqlglot import exp

from fraud_assets.detection.rule import JUDGED, SPECIAL_COLUMNS, Rule
from fraud_assets.explain.comparisons import Condition, Row
from fraud_assets.explain.not_judged import Filter, RelaxedSelect, steps_of
from fraud_assets.explain.probed_select import PROBE, ProbedSelect
from fraud_assets.explain.query_tree import Scope, plain_sql
from fraud_assets.explain.tolerant_reader import TolerantReader, rows_where
from fraud_assets.sql.windows import as_cte, between, window_query, with_ctes
from hive_io import PARTITION, Span, Table
from hive_io.dialect import literal

_SECOND = dt.timedelta(seconds=1)


class RuleQuery:
    """The query of one rule, restricted to one transaction. It runs when a result is first asked for.

    Args:
        rule: the rule with the params in force.
        tables: the tables of this version, by name.
        reader: reads their rows.
        transaction: a row of `transactions`.
    """

    def __init__(self, rule: Rule, tables: Mapping[str, Table], reader: TolerantReader, transaction: Row) -> None:
        self.rule = rule
        self._tree = rule.file.tree()
        self._params = rule.file.scalars()
        self._tables = tables
        self._reader = reader
        self._id: str = transaction["transaction_id"]
        # one second and the lookback before it: the result for a transaction is the same in every run that covers it
        second: dt.datetime = transaction["event_time"].replace(microsecond=0, tzinfo=dt.UTC)
        self._span = Span(second, second + _SECOND)

    @cached_property
    def missing_tables(self) -> list[str]:
        """Tables that the rule reads and the warehouse does not have yet."""
        return sorted(self.rule.file.tables() - self._reader.existing)

    @property
    def row(self) -> Row | None:
        """The row that the rule returns for the transaction; None if it did not judge it."""
        return self._result[0]

    @property
    def hit(self) -> Condition | None:
        """The condition behind the row's `hit`; None without a row, or if the SELECT cannot be probed."""
        return self._result[1]

    @property
    def evidence(self) -> Row:
        """The row's evidence columns; empty without a row."""
        row = self.row or {}
        return {name: value for name, value in row.items() if name not in SPECIAL_COLUMNS and not name.startswith(PROBE)}

    def reasons_not_judged(self) -> list[str]:
        """The filters that left the transaction out; empty if the syntax tree does not tell.

        From the innermost SELECT that the transaction comes through to the outermost, each is run with its joins and
        conditions reported instead of applied. The first whose filters drop the transaction gives the reasons.
        """
        if not isinstance(self._tree, exp.Select):
            return []
        for step in reversed(steps_of(self._tree)):
            relaxed = RelaxedSelect(step, self._params, self._tables)
            rows = self._run(relaxed.scope.select)
            if not rows:
                return []
            row = relaxed.nearest(rows)
            if relaxed.failing(row):
                return [cause.reason(row) + self._empty_day(cause) for cause in relaxed.causes(row)]
            having = step.scope.select.args.get("having")
            if having is not None and not self._run(step.keyed()):
                return [f"condition not met: HAVING {plain_sql(having.this)}"]
        return []

    @cached_property
    def _result(self) -> tuple[Row | None, Condition | None]:
        if self.missing_tables:
            return None, None
        tree = self._tree.copy()
        hit = None
        if isinstance(tree, exp.Select) and "hit" in self.rule.returns and Scope(tree).keeps_rows:
            probed = ProbedSelect(tree, self._params)
            hit = probed.condition(probed.scope.projection("hit"))
        rows = self._run(tree)
        if not rows:
            return None, None
        return rows[0], hit.answered(rows[0]) if hit else None

    def _run(self, tree: exp.Query) -> Sequence[Row]:
        """The rows of a SELECT for the transaction; it returns `transaction_id` and `event_time`."""
        ctes, judged = as_cte(window_query(self.rule.file, self._tables, self._span, select=tree), JUDGED)
        at_its_time = between(exp.column("event_time"), self._span.start, self._span.end)
        rows = exp.select("*").from_(judged).where(exp.column("transaction_id").eq(literal(self._id)), *at_its_time)
        return self._reader.rows(with_ctes(rows, ctes))

    def _empty_day(self, cause: Filter) -> str:
        """Addition to a reason: which of its tables have no rows at all for the transaction's day."""
        empty = [
            name
            for name in cause.by_day
            if not self._reader.rows(rows_where(name, **{PARTITION: self._span.first_ds}).limit(1))
        ]
        return f"; {' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no rows at all for that day" if empty else ""
