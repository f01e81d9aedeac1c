"""Mutants of a rule: its SELECT with one small mistake each. A mutant that no example notices shows what the examples lack.

The mistakes are those of a slip: a comparison turned or moved to the other side of its bound, AND for OR, a number one off, a
frame one longer or without end, another kind of join. See R. A. DeMillo, R. J. Lipton, F. G. Sayward, "Hints on test data
selection: help for the practicing programmer" (1978).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fraud_assets.sql.files import line_of
from fraud_assets.workshop.examples import Equivalent, Examples
from hive_io import QueryError

_COMPARISONS: dict[type[exp.Binary], type[exp.Binary]] = {
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.And: exp.Or,
    exp.Or: exp.And,
}
"""Operators, and what stands in their place in a mutant."""

_SIGNS: dict[type[exp.Binary], str] = {
    exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.EQ: "=", exp.NEQ: "<>", exp.And: "AND", exp.Or: "OR",
}  # fmt: skip

_SHOWN = 100
"""Characters of SQL that a mutant shows."""

Change = Callable[[exp.Expr], str | None]
"""Changes a node of a tree in place, and says how; None if it is not of its kind."""


@dataclass(frozen=True)
class Mutant:
    """A changed SELECT.

    Attributes:
        line: of the rule file.
        change: what stands there, and what the mutant has instead.
        select: the mutant.
    """

    line: int
    change: str
    select: exp.Query


@dataclass(frozen=True)
class Mutation:
    """Result of running the examples on every mutant of a rule.

    Attributes:
        rule: its name.
        mutants: how many the engine could run, without equivalent ones.
        unnoticed: those with which every example still passes.
        equivalent: how many others the file with the examples says change no result.
        stale: changes that it says so of, although there is no such mutant, or an example notices it.
    """

    rule: str
    mutants: int
    unnoticed: Sequence[Mutant]
    equivalent: int = 0
    stale: Sequence[str] = ()

    @property
    def share(self) -> float | None:
        """Share of the mutants that an example notices; None without mutants."""
        return 1 - len(self.unnoticed) / self.mutants if self.mutants else None


def mutate(examples: Examples) -> Mutation:
    """Run the examples on each mutant of their rule. They must pass on the rule itself."""
    ran, unnoticed, equivalent = 0, [], []
    used: set[Equivalent] = set()
    for mutant in mutants(examples.rule.file.tree(), examples.rule.file.select_line):
        try:
            failed = examples.failures(mutant.select)
        except QueryError:
            continue  # the mistake gives no valid query, so nobody can make it
        known = [each for each in examples.equivalent if each.change == mutant.change and each.line in (None, mutant.line)]
        if known and not failed:
            equivalent.append(mutant)
            used.update(known)
            continue
        ran += 1
        if not failed:
            unnoticed.append(mutant)
    stale = [each.change for each in examples.equivalent if each not in used]
    return Mutation(examples.rule.name, ran, unnoticed, len(equivalent), stale)


def mutants(tree: exp.Query, first_line: int = 1) -> Iterator[Mutant]:
    """Every mutant of a SELECT.

    Args:
        first_line: line of a part of which the parser recorded none.
    """
    for place, node in enumerate(tree.walk()):
        for change in _changes_of(node):
            copy = tree.copy()
            line = next((n for n in map(line_of, _outwards(node)) if n), None) or first_line
            said = change(_at(copy, place))
            if said:
                yield Mutant(line, said, copy)


def _at(tree: exp.Query, place: int) -> exp.Expr:
    return next(node for number, node in enumerate(tree.walk()) if number == place)


def _outwards(node: exp.Expr) -> Iterator[exp.Expr]:
    """A node and the nodes around it, up to its SELECT."""
    found: exp.Expr | None = node
    while found is not None and not isinstance(found, exp.Query):
        yield found
        found = found.parent


def _changes_of(node: exp.Expr) -> Iterator[Change]:
    if type(node) in _COMPARISONS:
        yield _turned
    elif isinstance(node, (exp.Is, exp.In)):
        yield _negated
    elif isinstance(node, exp.Join):
        yield _joined
    elif isinstance(node, exp.WindowSpec):
        yield _endless
        yield _longer
    elif isinstance(node, exp.Literal) and not node.is_string and _is_compared(node):
        yield _one_more


def _is_compared(node: exp.Expr) -> bool:
    """True if a number is a part of a comparison, and not of a type such as DECIMAL(18,2)."""
    if node.find_ancestor(exp.DataType) is not None:
        return False
    around = node.find_ancestor(exp.Query, *_COMPARISONS)
    return around is not None and not isinstance(around, exp.Query)


def _turned(node: exp.Expr) -> str | None:
    if not isinstance(node, exp.Binary):
        return None
    other = _COMPARISONS[type(node)]
    sign = _SIGNS[type(node)]
    before = _sql(node)
    node.replace(other(this=node.this, expression=node.expression))
    return f"{_SIGNS[other]} for {sign} in {before}"


def _negated(node: exp.Expr) -> str:
    if isinstance(node.parent, exp.Not):
        said = f"without NOT: {_sql(node.parent)}"
        node.parent.replace(node.copy())
        return said
    said = f"NOT before {_sql(node)}"
    node.replace(exp.Not(this=exp.paren(node.copy())))
    return said


def _joined(node: exp.Expr) -> str | None:
    if not isinstance(node, exp.Join) or not node.args.get("on"):
        return None
    side, kind = str(node.args.get("side") or "").upper(), str(node.args.get("kind") or "").upper()
    name = node.this.alias_or_name
    if kind in ("SEMI", "ANTI"):
        other = "ANTI" if kind == "SEMI" else "SEMI"
        node.set("kind", other)
        return f"LEFT {other} JOIN for LEFT {kind} JOIN {name}"
    if side == "LEFT":
        node.set("side", None)
        return f"JOIN for LEFT JOIN {name}"
    if not side:
        node.set("side", "LEFT")
        node.set("kind", None)
        return f"LEFT JOIN for JOIN {name}"
    return None


def _endless(node: exp.Expr) -> str | None:
    if str(node.args.get("start")).upper() == "UNBOUNDED":
        return None
    before = _sql(node)
    node.set("start", "UNBOUNDED")
    node.set("start_side", "PRECEDING")
    return f"UNBOUNDED PRECEDING for the start of {before}"


def _longer(node: exp.Expr) -> str | None:
    start = node.args.get("start")
    if not isinstance(start, exp.Literal):
        return None
    before = _sql(node)
    node.set("start", exp.Literal.number(int(start.name) + 1))
    return f"one more for the start of {before}"


def _one_more(node: exp.Expr) -> str | None:
    around = _sql(node.parent or node)
    if not node.name.isdigit():
        return None
    more = exp.Literal.number(int(node.name) + 1)
    said = f"{more.name} for {node.name} in {around}"
    node.replace(more)
    return said


def _sql(node: exp.Expr) -> str:
    text = node.sql(dialect="hive", comments=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
