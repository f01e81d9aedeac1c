"""A rule's SELECT, taken apart: where a column comes from, and columns added so that an engine computes them along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.files import PARAMS_DATABASE
from hive_io import PARTITION


@dataclass(frozen=True)
class Place:
    """A SELECT within a query.

    Attributes:
        select: it, or one below it in FROM, or a common table expression.
        parent: the place that reads it, under the name `alias`; None at the top.
    """

    select: exp.Select
    parent: Place | None = None
    alias: str = ""

    @property
    def top(self) -> exp.Select:
        return self.parent.top if self.parent else self.select

    @property
    def sources(self) -> Mapping[str, exp.Expr]:
        """What it reads, by alias."""
        clauses = [clause for clause in (self.select.args.get("from_"), *self.select.args.get("joins", [])) if clause]
        return {clause.this.alias_or_name: clause.this for clause in clauses}

    def source_of(self, column: exp.Column) -> tuple[str, exp.Expr] | None:
        """The alias that a column is read from, and what it stands for; None where only an engine could tell."""
        sources = self.sources
        alias = column.table or (next(iter(sources)) if len(sources) == 1 else "")
        return (alias, sources[alias]) if alias in sources else None

    def join_of(self, column: exp.Column) -> exp.Join | None:
        """The join that a column comes from; None for one of the first source."""
        found = self.source_of(column)
        joins: list[exp.Join] = self.select.args.get("joins", [])
        return next((join for join in joins if found and join.this is found[1]), None)

    def definition(self, column: exp.Column) -> tuple[Place, exp.Expr] | None:
        """The SELECT below that makes a column, and how; None for a column of a table."""
        found = self.source_of(column)
        if found is None:
            return None
        alias, source = found
        body: exp.Expr | None = source.this if isinstance(source, exp.Subquery) else None
        if isinstance(source, exp.Table) and not source.db:
            body = next((cte.this for cte in self.top.ctes if cte.alias == source.name), None)
        if not isinstance(body, exp.Select):
            return None
        below = Place(body, self, alias)
        for made in body.selects:
            if made.alias_or_name == column.name:
                return below, made.unalias()
            if made.is_star and len(below.sources) == 1:
                return below, exp.column(column.name, table=next(iter(below.sources)))
        return None

    @property
    def passes_rows_on(self) -> bool:
        """Whether a column added below can be read through it: it gives each row that it has as it is."""
        if self.select.args.get("group") or self.select.args.get("distinct"):
            return False
        return all(call.find_ancestor(exp.Window) for made in self.select.selects for call in made.find_all(exp.AggFunc))

    def computed_below(self, column: exp.Column) -> tuple[Place, exp.Expr] | None:
        """As `definition`, where more can be asked of the SELECT below, and be read from here."""
        found = self.definition(column)
        return found if found and self.passes_rows_on and not found[0].select.args.get("distinct") else None


def add_column(place: Place, expression: exp.Expr, name: str) -> None:
    """Let a SELECT compute an expression, and those above it hand it on."""
    place.select.append("expressions", exp.alias_(expression.copy(), name))
    if place.parent:
        add_column(place.parent, exp.column(name, table=place.alias), name)


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """The parts of a condition that must all hold."""
    if condition is not None:
        inner = condition.unnest()
        if isinstance(inner, exp.And):
            yield from conjuncts(inner.this)
            yield from conjuncts(inner.expression)
        else:
            yield inner


def tables_in(source: exp.Expr, top: exp.Select) -> list[exp.Table]:
    """The tables and params that a source is made of."""
    found: dict[str, exp.Table] = {}
    for table in source.find_all(exp.Table):
        body = next((cte.this for cte in top.ctes if not table.db and cte.alias == table.name), None)
        for inner in tables_in(body, top) if body is not None else [table]:
            found[f"{inner.db}.{inner.name}"] = inner
    return list(found.values())


def key_of(join: exp.Join) -> tuple[list[tuple[str, exp.Expr]], list[exp.Expr]]:
    """What a join looks a row up by, column and expression; and its other conditions."""
    alias = join.this.alias_or_name
    keys: list[tuple[str, exp.Expr]] = []
    others: list[exp.Expr] = []
    for part in conjuncts(join.args.get("on")):
        sides = [part.this.unnest(), part.expression.unnest()] if isinstance(part, (exp.EQ, exp.NullSafeEQ)) else []
        own = next((s for s in sides if isinstance(s, exp.Column) and s.table == alias), None)
        other = next((s for s in sides if s is not own), None)
        if own is not None and other is not None and alias not in aliases_in(other):
            keys.append((own.name, other))
        else:
            others.append(part)
    return sorted(keys, key=lambda key: key[0] != PARTITION), others


def aliases_in(expression: exp.Expr) -> set[str]:
    return {column.table for column in expression.find_all(exp.Column)}


def is_params(table: exp.Table) -> bool:
    return table.db == PARAMS_DATABASE


def is_of_the_lake(table: exp.Table) -> bool:
    return table.db == DATABASE


def plain_sql(expression: exp.Expr) -> str:
    """An expression as HiveQL, columns without what they are read from, params by their names."""

    def bare(node: exp.Expr) -> Any:
        if isinstance(node, exp.Column):
            return exp.column(node.name)
        return exp.to_identifier(node.name) if isinstance(node, exp.Placeholder) else node

    return expression.transform(bare).sql(dialect="hive", comments=False)
