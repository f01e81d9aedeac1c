"""Relations in FROM of a query that stay the same while some of its tables change, and those of which few rows are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from sqlglot import exp

CONSTANTS = "constants"
"""The database of the tables that stand for constant relations."""
NARROWED = "narrowed"
"""The database of the same tables with the rows that a join can find."""


def extract_constants(tree: exp.Query, is_constant: Callable[[exp.Query], bool]) -> dict[str, exp.Query]:
    """Replace the constant subqueries in FROM and JOIN, and the constant expressions of WITH, by tables; change the tree.

    Args:
        is_constant: whether a relation stays the same. It names its tables, and in place of earlier constants their tables.

    Returns:
        The query of each table, by its name; each is in the database `CONSTANTS`. Equal relations share a table.
    """
    constants: dict[str, exp.Query] = {}
    of_ctes: dict[str, str] = {}

    def table_of(query: exp.Query) -> str:
        name = "c" + hashlib.sha256(query.sql("hive").encode()).hexdigest()[:16]
        constants[name] = query
        return name

    with_ = tree.args.get("with_")
    for cte in list(with_.expressions) if with_ else ():
        _replace_ctes(cte.this, of_ctes)
        if is_constant(cte.this):
            of_ctes[cte.alias.lower()] = table_of(cte.this.copy())
            cte.pop()
    if with_ is not None and not with_.expressions:
        tree.set("with_", None)
    _replace_ctes(tree, of_ctes)
    for subquery in [found for found in tree.find_all(exp.Subquery) if isinstance(found.parent, (exp.From, exp.Join))]:
        # a part of one that was replaced is not a part of the tree any more
        if subquery.root() is tree and _is_plain(subquery) and is_constant(subquery.this):
            table = exp.table_(table_of(subquery.this.copy()), db=CONSTANTS)
            table.set("alias", subquery.args["alias"].copy())
            subquery.replace(table)
    return constants


def narrow(tree: exp.Query, table: str, by: str) -> set[str]:
    """Read fewer rows of the constants that are joined by a value of a table: those with one of the table's values.

    A join narrows what it adds if it keeps only pairs of equal values: it is an inner, left, semi or anti join, and one of the
    conditions that must all hold equates the constant's column with a column that has its values from the table's.

    Args:
        table: as `database.name`.
        by: the column of the table, and of the constants.

    Returns:
        The names of the constants that are read from the database `NARROWED` now; the tree is changed.
    """
    origin = _Origin(table, by, {cte.alias.lower(): cte.this for cte in tree.ctes})
    narrowed = set()
    for join in tree.find_all(exp.Join):
        constant, select = join.this, join.find_ancestor(exp.Select)
        if not isinstance(constant, exp.Table) or constant.db != CONSTANTS or select is None or not _is_narrowing(join):
            continue
        for condition in join.args["on"].flatten() if isinstance(join.args["on"], exp.And) else [join.args["on"]]:
            if not isinstance(condition, exp.EQ):
                continue
            sides = (condition.left, condition.right)
            for own, other in (sides, sides[::-1]):
                if (
                    isinstance(own, exp.Column)
                    and isinstance(other, exp.Column)
                    and (own.table.lower(), own.name.lower()) == (constant.alias_or_name.lower(), by)
                    and other.table.lower() != constant.alias_or_name.lower()
                    and origin.has(select, other)
                ):
                    narrowed.add(constant.name)
                    constant.set("db", exp.to_identifier(NARROWED))
    return narrowed


def _replace_ctes(tree: exp.Expr, tables: Mapping[str, str]) -> None:
    for node in list(tree.find_all(exp.Table)):
        if not node.db and node.name.lower() in tables:
            alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name))
            node.set("alias", alias.copy())
            node.set("this", exp.to_identifier(tables[node.name.lower()]))
            node.set("db", exp.to_identifier(CONSTANTS))


def _is_plain(subquery: exp.Subquery) -> bool:
    given = {name for name, value in subquery.args.items() if value}
    return given == {"this", "alias"} and not subquery.args["alias"].args.get("columns")


def _is_narrowing(join: exp.Join) -> bool:
    side, kind = str(join.side or "").upper(), str(join.kind or "").upper()
    return (
        bool(join.args.get("on"))
        and not join.args.get("method")
        and side in ("", "LEFT")
        and kind in ("", "INNER", "OUTER", "SEMI", "ANTI")
    )


class _Origin:
    """Finds out whether a column has all its values from a column of a table."""

    def __init__(self, table: str, column: str, ctes: Mapping[str, exp.Expr]) -> None:
        self._table = table
        self._column = column
        self._ctes = ctes

    def has(self, select: exp.Select, column: exp.Column) -> bool:
        """Whether a column in a SELECT, other than one of its results, has."""
        from_ = select.args.get("from_")
        sources = [from_.this, *(join.this for join in select.args.get("joins") or ())] if from_ else []
        named = [source for source in sources if source.alias_or_name.lower() == column.table.lower()]
        if not column.table and len(sources) == 1:
            named = sources
        if len(named) != 1 or named[0].args.get("joins"):
            return False
        source = named[0]
        if isinstance(source, exp.Table) and source.db:
            return f"{source.db}.{source.name}".lower() == self._table and column.name.lower() == self._column
        query = self._ctes.get(source.name.lower()) if isinstance(source, exp.Table) else source.this
        return query is not None and self._gives(query, column.name.lower())

    def _gives(self, query: exp.Expr, name: str) -> bool:
        """Whether a column of a query's result has."""
        query = query.unnest()
        if isinstance(query, exp.Union):
            return self._gives(query.this, name) and self._gives(query.expression, name)
        if not isinstance(query, exp.Select):
            return False
        for selected in query.expressions:
            if selected.alias_or_name.lower() == name:
                column = selected.unalias()
                return isinstance(column, exp.Column) and self.has(query, column)
        stars = [selected for selected in query.expressions if selected.is_star]
        if len(stars) != 1:
            return False
        of = stars[0].table if isinstance(stars[0], exp.Column) else ""
        return self.has(query, exp.column(name, table=of or None))
