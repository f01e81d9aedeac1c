"""A HiveQL query: its text, its parameters, and the syntax tree that is made of both."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import cast

import sqlglot
from sqlglot import exp
from sqlglot.dialects.hive import Hive
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from hive_io.errors import QueryError
from hive_io.hiveql.annotate import Annotator, ColumnsOf, list_problems
from hive_io.hiveql.bounds import check_depth, check_tokens
from hive_io.hiveql.calls import FORMAT, WRITTEN
from hive_io.hiveql.syntax import problems
from hive_io.hiveql.types import Columns, parse_type
from hive_io.table import Table

Value = str | int | bool | Decimal | dt.datetime | None
"""Type of a parameter. Numbers with decimals are Decimal, so that nothing is rounded."""


class HiveQL:
    """One SELECT in HiveQL, with named parameters (`:name`) that are bound as literals, never pasted.

    An asset may return it instead of rows: it then runs in the warehouse, and nothing travels through Python.
    """

    def __init__(self, text: str, params: Mapping[str, Value] | None = None) -> None:
        self._text: str | None = text
        self._written = bool(text)
        self._params = dict(params or {})
        self._bound: exp.Query | None = None

    @classmethod
    def of(cls, tree: exp.Query) -> HiveQL:
        """A query built as a syntax tree, from parts that `parse` accepted; without parameters."""
        query = cls("")
        query._text, query._bound, query._written = None, tree, False
        return query

    @property
    def text(self) -> str:
        """The query's text; generated if the query was built as a tree."""
        if self._text is None:
            self._text = self.bound().sql(dialect="hive")
        return self._text

    @property
    def is_text(self) -> bool:
        """True if it was given as text, and so is held against the types of its tables when it runs."""
        return self._written

    def bound(self) -> exp.Query:
        """The syntax tree with literals for parameters; not to be changed.

        Raises:
            QueryError: not one SELECT, outside the allow-list, or a parameter without a value.
        """
        if self._bound is None:
            self._bound = bind(parse(self.text), self._params)
        return self._bound

    def __str__(self) -> str:
        return self.bound().sql(dialect="hive", pretty=True)


def parse(text: str) -> exp.Query:
    """Parse one SELECT and check its form against the allow-list; names become lower case, as in Hive.

    Raises:
        QueryError: with the line.
    """
    try:
        tokens = list(Hive().tokenize(text))
        check_tokens(tokens)
        trees = [tree for tree in sqlglot.parse(text, read="hive") if tree is not None]
    except ParseError as error:
        first = error.errors[0]
        where = f"{first['start_context'][-30:]}>>{first['highlight'][:60]}<<".strip()
        raise QueryError(f"{first['description']} near {where!r}", first["line"]) from None
    except TokenError as error:
        raise QueryError(f"The text cannot be read as SQL: {str(error)[:200]}") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise QueryError("A query is one SELECT; statements that write are built by the warehouse", 1)
    tree = trees[0]
    check_depth(tree)
    _remember_spelling(tree, text, tokens)
    for problem in _problems_of_tokens(text, tokens):
        raise problem
    for problem in problems(tree):
        raise problem
    _normalize(tree)
    copy = tree.copy()
    annotator = Annotator(lambda name: None, names=False)
    annotator.query(copy)
    for problem in annotator.problems:
        raise problem
    return tree


def check(tree: exp.Query, tables: Mapping[str, Table]) -> list[QueryError]:
    """Return what the types of a query's parts forbid, with lines.

    Args:
        tree: what `parse` gave; literals may stand for its parameters.
        tables: by `database.name`; a table that is not among them forbids nothing.
    """
    copy = tree.copy()
    annotator = Annotator(columns_in(tables))
    annotator.query(copy)
    return [*annotator.problems, *list_problems(copy)]


def columns_in(tables: Mapping[str, Table]) -> ColumnsOf:
    """The columns of tables by `database.name`."""

    def columns_of(name: str) -> Columns | None:
        return {c: parse_type(kind) for c, kind in tables[name].column_types.items()} if name in tables else None

    return columns_of


def _remember_spelling(tree: exp.Query, text: str, tokens: Sequence[Token]) -> None:
    """Keep the author's name of each function, and the patterns of dates: sqlglot's tree has neither."""
    places = {token.start: number for number, token in enumerate(tokens)}
    calls: dict[str, int] = {}
    for place, (token, following) in enumerate(pairwise(tokens)):
        if following.token_type == TokenType.L_PAREN:
            calls.setdefault(token.text.lower(), place)
    for node in tree.find_all(exp.Func, exp.Anonymous):
        number = places.get(node.meta.get("start", -1), _place_by_name(node, calls))
        if number is None:
            continue
        node.meta[WRITTEN] = tokens[number].text
        if isinstance(node, (exp.TimeToStr, exp.UnixToStr, exp.StrToUnix)):
            pattern = _last_argument(tokens, number)
            if pattern is not None:
                node.meta[FORMAT] = pattern


def _place_by_name(node: exp.Expr, calls: Mapping[str, int]) -> int | None:
    """The token of a function that sqlglot gives no place: the first call of one of its names.

    Args:
        calls: the first call of each name.
    """
    if not isinstance(node, exp.Func):
        return None
    return min((calls[name] for name in map(str.lower, node.sql_names()) if name in calls), default=None)


def _last_argument(tokens: Sequence[Token], number: int) -> str | None:
    """The second argument of the call that starts at a token, if it is a text."""
    depth, comma = 0, False
    for token, following in zip(tokens[number + 1 :], tokens[number + 2 :], strict=False):
        if token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET):
            depth += 1
        elif token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET):
            depth -= 1
            if depth == 0:
                return None
        elif token.token_type == TokenType.COMMA and depth == 1:
            comma = True
            if following.token_type == TokenType.STRING:
                return following.text
    return "" if comma else None


def _problems_of_tokens(text: str, tokens: Sequence[Token]) -> Iterator[QueryError]:
    """What sqlglot reads and leaves no trace of."""
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.token_type == TokenType.DCOLON and text[token.start : token.end + 1] == "::":
            yield QueryError("'::' is not HiveQL; write CAST(x AS type)", token.line)
        elif (
            before is not None
            and before.token_type == TokenType.ALIAS
            and token.text.upper() in ("VARCHAR", "CHAR", "NCHAR", "NVARCHAR")
        ):
            yield QueryError(
                f"{token.text.upper()}(n) cuts text on Apache Hive only; write SUBSTR(x, 1, n), or CAST(x AS STRING)",
                token.line,
            )


def _normalize(tree: exp.Query) -> None:
    """Lower case for names, upper case for the words of a frame: the rest of the project compares them as text."""
    for node in tree.walk():
        if isinstance(node, exp.Identifier):
            node.set("this", node.name.lower())
        elif isinstance(node, exp.WindowSpec):
            for key, value in node.args.items():
                if isinstance(value, str):
                    node.set(key, value.upper())


def bind(tree: exp.Query, params: Mapping[str, Value]) -> exp.Query:
    """Put literals in the place of `:name`.

    Raises:
        QueryError: a placeholder that `params` does not name.
    """

    def replace(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        if node.name not in params:
            known = ", ".join(f":{name}" for name in sorted(params)) or "none"
            raise QueryError(f":{node.name} has no value; known parameters: {known}")
        return literal(params[node.name])

    return cast(exp.Query, tree.transform(replace))


def literal(value: Value) -> exp.Expr:
    """A literal with exactly this value in HiveQL; a datetime becomes its UTC time, in microseconds."""
    if value is None:
        return exp.null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, Decimal):
        digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
        if not isinstance(exponent, int):
            raise QueryError(f"{value} is not a finite number")
        scale = max(-exponent, 0)
        precision = max(len(digits) + max(exponent, 0), scale + 1)
        return exp.cast(exp.Literal.string(f"{value:f}"), f"DECIMAL({precision},{scale})")
    if isinstance(value, int):
        return exp.Literal.number(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise QueryError(f"{value} has no time zone; pass an aware datetime")
        return exp.cast(exp.Literal.string(f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"), "TIMESTAMP")
    return exp.Literal.string(value)
