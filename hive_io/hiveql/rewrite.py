"""Rewriting a tree from the inside out: also what is within a replaced node, unlike sqlglot's `transform`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import cast

import sqlglot
from sqlglot import exp

from hive_io.errors import QueryError
from hive_io.hiveql.types import mark, type_of

_PLAIN = (
    exp.Column,
    exp.Literal,
    exp.Paren,
    exp.Cast,
    exp.TryCast,
    exp.Subquery,
    exp.Null,
    exp.Boolean,
    exp.Anonymous,
    exp.Case,
)
MOST_REPEATED = 10_000
"""Nodes of an argument that a template has more than once. Each function around another multiplies them."""
_AS_DAY, _AS_TIME = re.compile(r"@D(\d)"), re.compile(r"@T(\d)")


def rewrite(tree: exp.Query, step: Callable[[exp.Expr], exp.Expr | None]) -> exp.Query:
    """Apply a step to each node, children first; the tree is changed.

    Args:
        step: gives a new node, which may hold the given one's children (not the node itself), or None to leave it.
    """
    root: exp.Expr = tree
    for node in reversed(list(tree.walk(bfs=False))):
        parent, key, index = node.parent, node.arg_key, node.index
        new = step(node)
        if new is None or new is node:
            continue
        if "hive_type" not in new.meta:
            mark(new, type_of(node))
        if isinstance(new, (exp.Binary, exp.Not, exp.Neg)) and type(new) is not type(node) and isinstance(parent, exp.Expr):
            # an operator in the place of a call
            new = bracketed(new)
        if parent is None:
            root = new
            new.parent = None
        else:
            parent.set(key or "", new, index)
    assert isinstance(root, exp.Query)
    return root


def bracketed(node: exp.Expr) -> exp.Expr:
    """The node as an operand, in brackets where precedence asks for them."""
    if isinstance(node, _PLAIN) or (isinstance(node, exp.Func) and not isinstance(node, (exp.Binary, exp.Connector, exp.If))):
        return node
    return mark(exp.Paren(this=node), type_of(node))


@cache
def _parsed(text: str, dialect: str) -> exp.Expr:
    return cast(exp.Select, sqlglot.parse_one(f"SELECT {text}", read=dialect)).selects[0]


def fill(
    template: str, args: Sequence[exp.Expr], dialect: str, day: Callable[[exp.Expr], str], time: Callable[[exp.Expr], str]
) -> exp.Expr:
    """A template with arguments in the place of `_0`, `_1` …

    Args:
        day: how an argument becomes a DATE, as a template with `#` for it: what `@D0` stands for.
        time: the same for a TIMESTAMP, `@T0`.
    """

    def converted(how: Callable[[exp.Expr], str]) -> Callable[[re.Match[str]], str]:
        return lambda found: how(args[int(found[1])]).replace("#", f"_{found[1]}")

    text = _AS_TIME.sub(converted(time), _AS_DAY.sub(converted(day), template))
    root = exp.Paren(this=_parsed(text, dialect).copy())
    columns = list(root.find_all(exp.Column))
    for number, times in Counter(column.name[1:] for column in columns).items():
        if times > 1 and number.isdigit() and sum(1 for _ in islice(args[int(number)].walk(), MOST_REPEATED)) == MOST_REPEATED:
            raise QueryError("too many functions within each other; name the inner ones in WITH")
    for column in columns:
        number = column.name[1:]
        if not column.table and column.name[:1] == "_" and number.isdigit():
            alone = isinstance(column.parent, (exp.Func, exp.Paren)) and not isinstance(
                column.parent, (exp.Binary, exp.Cast, exp.TryCast)
            )
            arg = args[int(number)].copy()
            column.replace(arg if alone and not isinstance(arg, exp.Query) else bracketed(arg))
    new = root.this
    new.pop()
    return new
