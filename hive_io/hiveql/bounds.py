"""Bounds of a query's form. Beyond them, parsing and translation take minutes or exhaust the stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from hive_io.errors import QueryError

MOST_LEVELS = 100
"""Levels of brackets, CASE and operators within each other."""
MOST_JOINS = 10
"""JOINs in a row without ON. sqlglot takes twice as long for each."""
MOST_TYPES = 5
"""Levels of types within each other."""

_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.CASE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.END}
_PREFIXES = {TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE}
_TYPES = {TokenType.ARRAY, TokenType.MAP, TokenType.STRUCT}
_TOO_DEEP = f"nested more than {MOST_LEVELS} levels deep; name the parts in WITH, and use IN for many values"


def check_tokens(tokens: Sequence[Token]) -> None:
    """Refuse what must not get to the parser.

    Raises:
        QueryError: with the line.
    """
    level = prefixes = joins = types = 0
    for token, following in zip_longest(tokens, tokens[1:]):
        kind = token.token_type
        level += (kind in _OPEN) - (kind in _CLOSE)
        prefixes = prefixes + 1 if kind in _PREFIXES else 0
        joins = 0 if kind == TokenType.ON else joins + (kind == TokenType.JOIN)
        if kind in _TYPES and following is not None and following.token_type == TokenType.LT:
            types += 1
        elif kind != TokenType.LT:
            types = 0
        if max(level, prefixes) > MOST_LEVELS:
            raise QueryError(_TOO_DEEP, token.line)
        if joins > MOST_JOINS:
            raise QueryError(f"more than {MOST_JOINS} JOINs in a row without ON; say ON what rows are joined", token.line)
        if types > MOST_TYPES:
            raise QueryError(f"a type of more than {MOST_TYPES} types within each other", token.line)


def check_depth(tree: exp.Expr) -> None:
    """Refuse a chain of operators, such as `a OR b OR c …` or SELECT UNION ALL SELECT …, each of which is within the next.

    Raises:
        QueryError: with the line.
    """
    waiting = [(tree, 0)]
    while waiting:
        node, level = waiting.pop()
        if level > 2 * MOST_LEVELS:
            raise QueryError(_TOO_DEEP, node.meta.get("line"))
        waiting += [(child, level + 1) for child in node.iter_expressions()]


@contextmanager
def within_the_stack() -> Iterator[None]:
    """Report a tree that is too deep to be written as text: a few levels of a query can become many of another dialect."""
    try:
        yield
    except RecursionError:
        raise QueryError(_TOO_DEEP) from None
