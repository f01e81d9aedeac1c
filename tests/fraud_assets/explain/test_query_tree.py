"""Scopes, terms and lookups of a SELECT: where columns are defined, where columns can be added, what a join looks up."""

from __future__ import annotations

import pytest
from sqlglot import exp

from fraud_assets.explain.query_tree import Lookup, Scope, Term, conjuncts, plain_sql
from hive_io.dialect import parse


def scope_of(text: str) -> Scope:
    tree = parse(text)
    assert isinstance(tree, exp.Select)
    return Scope(tree)


def sql(node: exp.Expr) -> str:
    return node.sql(dialect="hive")


@pytest.mark.parametrize(
    ("text", "defined"),
    [
        ("SELECT a FROM (SELECT x + 1 AS a FROM fintech.t) s", "x + 1"),
        ("SELECT s.a FROM (SELECT x + 1 AS a FROM fintech.t) s JOIN fintech.u ON u.x = s.a", "x + 1"),
        ("WITH c AS (SELECT x + 1 AS a FROM fintech.t) SELECT d.a FROM c d", "x + 1"),
        ("SELECT s.a FROM (SELECT * FROM fintech.t) s", "t.a"),
        ("SELECT a FROM fintech.t", None),
        ("SELECT a FROM (SELECT 1 AS a) s CROSS JOIN (SELECT 2 AS b) u", None),
        ("SELECT a + 1 AS a FROM (SELECT x AS a FROM fintech.t) s", None),
        ("SELECT a FROM (SELECT x AS b FROM fintech.t) s", None),
    ],
    ids=["subquery", "qualified", "common table expression", "star", "table", "ambiguous", "no column", "unknown column"],
)
def test_a_column_is_defined_in_the_select_below(text: str, defined: str | None) -> None:
    definition = scope_of(text).projection("a").definition
    assert (definition and sql(definition.node)) == defined


@pytest.mark.parametrize(
    ("middle", "defined"),
    [
        ("SELECT m.a FROM ({}) m", "x > 1"),
        ("SELECT * FROM ({}) m", "x > 1"),
        ("SELECT m.a, COUNT(*) OVER (PARTITION BY m.a) AS n FROM ({}) m", "x > 1"),
        ("SELECT DISTINCT m.a FROM ({}) m", None),
        ("SELECT m.a FROM ({}) m GROUP BY m.a", "m.a"),
        ("SELECT m.a, COUNT(*) AS n FROM ({}) m", "m.a"),
    ],
)
def test_the_origin_of_a_column_is_sought_as_far_down_as_columns_can_be_added(middle: str, defined: str | None) -> None:
    innermost = "SELECT t.x > 1 AS a FROM fintech.t"
    origin = scope_of(f"SELECT o.a FROM ({middle.format(innermost)}) o").projection("a").origin
    assert (origin and sql(origin.node).replace("t.x", "x")) == defined


def test_an_added_column_is_passed_up_to_the_result() -> None:
    scope = scope_of("WITH c AS (SELECT x + 1 AS a, y FROM fintech.t) SELECT o.a FROM (SELECT c.a FROM c) o")
    origin = scope.projection("a").origin
    assert origin is not None
    origin.scope.add_column(exp.column("y"), "probe")
    assert sql(scope.select) == (
        "WITH c AS (SELECT x + 1 AS a, y, y AS probe FROM fintech.t) "
        "SELECT o.a, o.probe AS probe FROM (SELECT c.a, c.probe AS probe FROM c) AS o"
    )


def lookup_in(join: str, with_: str = "") -> Lookup:
    scope = scope_of(f"{with_} SELECT t.a FROM fintech.t t {join}")
    return Lookup(scope, scope.joins[0])


def test_the_key_of_a_lookup_has_the_partition_first() -> None:
    lookup = lookup_in("JOIN fintech.p p ON t.c <=> p.c AND p.ds = t.ds AND p.n > 3 AND p.x = p.y")
    assert [(column, sql(term.node)) for column, term in lookup.keys] == [("ds", "t.ds"), ("c", "t.c")]
    assert [sql(other) for other in lookup.others] == ["p.n > 3", "p.x = p.y"]
    assert lookup.needs == {"t"}
    assert lookup.reads_by_day and not lookup.is_optional
    assert (lookup.alias, lookup.tables, lookup.params) == ("p", ["p"], [])


@pytest.mark.parametrize(
    ("kind", "optional"), [("JOIN", False), ("LEFT SEMI JOIN", False), ("LEFT JOIN", True), ("FULL OUTER JOIN", True)]
)
def test_an_outer_join_is_an_optional_lookup(kind: str, optional: bool) -> None:
    assert lookup_in(f"{kind} fintech.p p ON p.c = t.c").is_optional == optional


def test_tables_and_params_of_a_lookup_are_found_through_common_table_expressions() -> None:
    with_ = "WITH c AS (SELECT p.x, l.amount FROM fintech.p p JOIN params.limits l ON l.currency <=> p.currency)"
    lookup = lookup_in("JOIN c ON c.x = t.x", with_)
    assert (lookup.tables, lookup.params, lookup.reads_by_day) == (["p"], ["limits"], False)


def test_a_column_of_a_join_has_its_lookup() -> None:
    scope = scope_of("SELECT t.a, p.b FROM fintech.t t LEFT JOIN fintech.p p ON p.c = t.c")
    lookup = scope.lookup_of(exp.column("b", table="p"))
    assert lookup is not None and lookup.alias == "p"
    assert scope.lookup_of(exp.column("a", table="t")) is None
    assert Term(scope, exp.column("b", table="p")).definition is None


def test_conjuncts_are_the_parts_that_must_all_hold() -> None:
    condition = scope_of("SELECT 1 AS a FROM fintech.t WHERE (a AND (b AND c)) AND (d OR e)").select.args["where"].this
    assert [sql(part) for part in conjuncts(condition)] == ["a", "b", "c", "d OR e"]
    assert list(conjuncts(None)) == []


def test_plain_sql_has_neither_aliases_nor_colons() -> None:
    scope = scope_of("SELECT t.amount * :times > p.mean AS a FROM fintech.t t JOIN fintech.p p ON p.c = t.c")
    assert plain_sql(scope.projection("a").node) == "amount * times > mean"
