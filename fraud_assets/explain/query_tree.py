"""The syntax tree of a rule's SELECT: its scopes, the definitions of their columns, and the rows that their joins look up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.files import PARAMS_DATABASE
from hive_io import PARTITION


@dataclass(frozen=True)
class Scope:
    """A SELECT within a query.

    Attributes:
        select: the query itself, a subquery in FROM, or a common table expression.
        parent: the scope that reads it under the name `alias`; None for the query itself.
    """

    select: exp.Select
    parent: Scope | None = None
    alias: str = ""

    @property
    def root(self) -> exp.Select:
        """The query itself, which holds the common table expressions."""
        return self.parent.root if self.parent else self.select

    @property
    def joins(self) -> Sequence[exp.Join]:
        return self.select.args.get("joins") or []

    @property
    def sources(self) -> Mapping[str, exp.Expr]:
        """Tables and subqueries in FROM and JOIN, by alias."""
        clauses = [clause for clause in (self.select.args.get("from_"), *self.joins) if clause]
        return {clause.this.alias_or_name: clause.this for clause in clauses}

    @property
    def keeps_rows(self) -> bool:
        """True if each row below appears once in the result, so that a column added below can be read through this SELECT."""
        if self.select.args.get("group") or self.select.args.get("distinct"):
            return False
        return all(call.find_ancestor(exp.Window) for made in self.select.selects for call in made.find_all(exp.AggFunc))

    def projection(self, name: str) -> Term:
        """The expression behind a column of the result."""
        return Term(self, next(made.unalias() for made in self.select.selects if made.alias_or_name == name))

    def source_of(self, column: exp.Column) -> tuple[str, exp.Expr] | None:
        """Alias and source of a column; None for an unqualified column of a SELECT with several sources."""
        sources = self.sources
        alias = column.table or (next(iter(sources)) if len(sources) == 1 else "")
        return (alias, sources[alias]) if alias in sources else None

    def lookup_of(self, column: exp.Column) -> Lookup | None:
        """The join that a column comes from; None for a column of the source in FROM."""
        found = self.source_of(column)
        return next((Lookup(self, join) for join in self.joins if found and join.this is found[1]), None)

    def add_column(self, expression: exp.Expr, name: str) -> None:
        """Compute an expression in this SELECT, and pass it up through the SELECTs that read this one."""
        self.select.append("expressions", exp.alias_(expression.copy(), name))
        if self.parent:
            self.parent.add_column(exp.column(name, table=self.alias), name)


@dataclass(frozen=True)
class Term:
    """An expression, and the scope in which its columns are read."""

    scope: Scope
    node: exp.Expr

    def sibling(self, node: exp.Expr) -> Term:
        """Another expression in the same scope."""
        return Term(self.scope, node)

    @property
    def definition(self) -> Term | None:
        """The expression in the SELECT below that defines this column; None for a table's column, and for other expressions."""
        found = self.scope.source_of(self.node) if isinstance(self.node, exp.Column) else None
        if found is None:
            return None
        alias, source = found
        body: exp.Expr | None = source.this if isinstance(source, exp.Subquery) else None
        if isinstance(source, exp.Table) and not source.db:
            body = next((cte.this for cte in self.scope.root.ctes if cte.alias == source.name), None)
        if not isinstance(body, exp.Select):
            return None
        below = Scope(body, self.scope, alias)
        for made in body.selects:
            if made.alias_or_name == self.node.name:
                return Term(below, made.unalias())
            if made.is_star and len(below.sources) == 1:
                return Term(below, exp.column(self.node.name, table=next(iter(below.sources))))
        return None

    @property
    def origin(self) -> Term | None:
        """The definition behind any number of SELECTs that pass the column on, as far down as columns can be added."""
        found = self._readable_definition
        while found and (further := found._readable_definition):
            found = further
        return found

    @property
    def _readable_definition(self) -> Term | None:
        """The definition, if a column added beside it can be read here."""
        found = self.definition
        return found if found and self.scope.keeps_rows and not found.scope.select.args.get("distinct") else None


@dataclass(frozen=True)
class Lookup:
    """A join, read as the lookup of a row by key."""

    scope: Scope
    join: exp.Join

    @property
    def alias(self) -> str:
        return self.join.this.alias_or_name

    @property
    def is_optional(self) -> bool:
        """True for an outer join, which drops no row."""
        return bool(self.join.side) and self.join.kind != "SEMI"

    @property
    def tables(self) -> list[str]:
        """Names of the lake's tables that it reads, common table expressions resolved."""
        return [table.name for table in _tables_in(self.join.this, self.scope.root) if table.db == DATABASE]

    @property
    def params(self) -> list[str]:
        """Names of the params with amounts that it reads."""
        return [table.name for table in _tables_in(self.join.this, self.scope.root) if is_params(table)]

    @property
    def keys(self) -> list[tuple[str, Term]]:
        """Columns of the key, the partition first, each with the expression that it must equal."""
        keys = [key for part in self._conditions if (key := self._key_in(part))]
        return sorted(keys, key=lambda key: key[0] != PARTITION)

    @property
    def others(self) -> list[exp.Expr]:
        """Conditions of ON that are not part of the key."""
        return [part for part in self._conditions if not self._key_in(part)]

    @property
    def reads_by_day(self) -> bool:
        return PARTITION in dict(self.keys)

    @property
    def needs(self) -> frozenset[str]:
        """Aliases of the sources that its conditions read, without its own."""
        nodes = [*(term.node for _, term in self.keys), *self.others]
        return frozenset().union(*map(aliases_in, nodes)) - {self.alias}

    @property
    def _conditions(self) -> Iterator[exp.Expr]:
        return conjuncts(self.join.args.get("on"))

    def _key_in(self, condition: exp.Expr) -> tuple[str, Term] | None:
        """Column and expression of `alias.column = expression`; None for any other condition."""
        if not isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
            return None
        sides = [condition.this.unnest(), condition.expression.unnest()]
        own = next((side for side in sides if isinstance(side, exp.Column) and side.table == self.alias), None)
        other = next((side for side in sides if side is not own), None)
        if own is None or other is None or self.alias in aliases_in(other):
            return None
        return own.name, Term(self.scope, other)


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """The parts of a condition that must all hold; none for None."""
    if condition is not None:
        inner = condition.unnest()
        if isinstance(inner, exp.And):
            yield from conjuncts(inner.this)
            yield from conjuncts(inner.expression)
        else:
            yield inner


def aliases_in(expression: exp.Expr) -> set[str]:
    """Aliases of the sources that an expression reads."""
    return {column.table for column in expression.find_all(exp.Column)}


def is_params(table: exp.Table) -> bool:
    """True for `params.name`, the relation of a param with an amount for each currency."""
    return table.db == PARAMS_DATABASE


def plain_sql(expression: exp.Expr) -> str:
    """An expression as HiveQL, with columns unqualified and params by name."""

    def bare(node: exp.Expr) -> Any:
        if isinstance(node, exp.Column):
            return exp.column(node.name)
        return exp.to_identifier(node.name) if isinstance(node, exp.Placeholder) else node

    return expression.transform(bare).sql(dialect="hive", comments=False)


def _tables_in(source: exp.Expr, root: exp.Select) -> list[exp.Table]:
    found: dict[str, exp.Table] = {}
    for table in source.find_all(exp.Table):
        body = next((cte.this for cte in root.ctes if not table.db and cte.alias == table.name), None)
        for inner in _tables_in(body, root) if body is not None else [table]:
            found[f"{inner.db}.{inner.name}"] = inner
    return list(found.values())
