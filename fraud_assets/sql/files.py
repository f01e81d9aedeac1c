"""SQL files with YAML front matter: reading and checking rules and features. Nothing is executed here.

The front matter is the leading block of `--` lines. One HiveQL SELECT follows.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from fraud_assets.errors import RuleError
from fraud_assets.schemas.names import DATABASE, MONEY
from fraud_assets.sql import bounded_yaml
from fraud_assets.sql.params import Amounts, Lookback, Param
from hive_io import PARTITION, Column, QueryError, Table
from hive_io.dialect import Value, bind, check, parse

PARAMS_DATABASE = "params"
"""Database of the relations `params.<name>`, which the query itself provides."""

DAYS = "days"
"""Name of the relation `params.days`: one row per day of the span, with the column `ds`."""

WINDOW_PARAMS = ("window_start", "window_end")
"""Params that every file may use without declaring them: the bounds of the span."""

_ANY_WINDOW = dict.fromkeys(WINDOW_PARAMS, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

_MOST_SHOWN = 1000
"""Characters of a message; names that an author made up can have thousands."""


class FrontMatter(BaseModel):
    """Front matter that all SQL files share.

    Attributes:
        lookback: how far back `transactions` is read, before the span.
        lookback_of: whose rows in the lookback matter. With `customer`, the result for a transaction depends only on its
            customer's own history, so a part of a day is computed from the rows of the customers in it.
    """

    model_config = ConfigDict(extra="forbid")

    title: str
    description: str
    lookback: Lookback = dt.timedelta(0)
    lookback_of: Literal["everybody", "customer"] = "everybody"
    params: dict[str, Param] = {}


M = TypeVar("M", bound=FrontMatter)
M_co = TypeVar("M_co", bound=FrontMatter, covariant=True)


@dataclass(frozen=True)
class SqlFile(Generic[M_co]):
    """A SQL file that has been read.

    Attributes:
        meta: its front matter.
        text: the SELECT, preceded by a blank line per line of front matter, so that line numbers are those of the file.
        values: the params in force.
    """

    path: Path
    meta: M_co
    text: str
    values: Mapping[str, Decimal | int | Amounts]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def select_line(self) -> int:
        """Number of the first line after the front matter that has text."""
        return len(self.text) - len(self.text.lstrip("\n")) + 1

    def line_of_key(self, *keys: str) -> int:
        """Number of the line with a key of the front matter."""
        return line_of_key(_split(self.path.read_text(encoding="utf-8"))[0], keys)

    def with_values(self, values: Mapping[str, Decimal | int | Amounts]) -> SqlFile[M_co]:
        """The file with other values for some params."""
        other = replace(self, values={**self.values, **values})
        if "_tree" in vars(self):
            vars(other)["_tree"] = self._tree  # no value changes it, and parsing takes most of the time of reading a file
        return other

    def error(self, message: str, line: int | None = None) -> RuleError:
        """An error that names the file and the line."""
        cut = message if len(message) <= _MOST_SHOWN else f"{message[:_MOST_SHOWN]}…"
        return RuleError(f"{self.path}:{line or 1}: {cut}")

    def tree(self) -> exp.Query:
        """The syntax tree, in which every table has a database. Callers must not change it.

        Raises:
            RuleError: the SELECT cannot be parsed or is not in the allow-list; with file and line.
        """
        return self._tree

    @cached_property
    def _tree(self) -> exp.Query:
        try:
            tree = parse(self.text)
        except QueryError as error:
            raise self.error(str(error), max(error.line or 1, self.select_line)) from None
        ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            if not table.db and table.name not in ctes:
                table.set("db", exp.to_identifier(DATABASE))
        return tree

    def tables(self) -> set[str]:
        """Names of the warehouse tables that the SELECT reads."""
        return {t.name for t in self.tree().find_all(exp.Table) if t.db == DATABASE}

    def scalars(self) -> dict[str, Value]:
        """Values of the params that bind to `:name`."""
        return {name: value for name, value in self.values.items() if not isinstance(value, dict)}

    def relations(self) -> dict[str, Amounts]:
        """Values of the params that bind to `params.name`."""
        return {name: value for name, value in self.values.items() if isinstance(value, dict)}

    def check(self, tables: Mapping[str, Table]) -> None:
        """Check the SELECT against the known tables and the declared params.

        Raises:
            RuleError: an unknown table, column or param, or an unused param; with file and line.
        """
        tree = self.tree()
        used = {p.name: self._line_with(f":{p.name}") for p in tree.find_all(exp.Placeholder)}
        used |= {t.name: line_of(t) or self.select_line for t in tree.find_all(exp.Table) if t.db == PARAMS_DATABASE}
        for name in sorted(used.keys() - self.values.keys() - {*WINDOW_PARAMS, DAYS}):
            known = ", ".join(sorted(self.values)) or "none"
            raise self.error(f"param {name} is used but not declared; declared params: {known}", used[name])
        for param in sorted(self.values.keys() - used.keys()):
            raise self.error(f"param {param} is declared but not used", self.line_of_key("params", param))
        for table in tree.find_all(exp.Table):
            if table.db not in ("", DATABASE, PARAMS_DATABASE) or (table.db == DATABASE and table.name not in tables):
                known = ", ".join(sorted(tables))
                raise self.error(f"unknown table {table.db}.{table.name}; known tables: {known}", line_of(table))
        for scope in traverse_scope(tree):
            self._check_columns(scope, tables)
        for problem in check(bind(tree, {**self.scalars(), **_ANY_WINDOW}), self._typed_tables(tables)):
            raise self.error(str(problem), max(problem.line or 1, self.select_line))

    def _typed_tables(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """The tables that the SELECT can read, by `database.name`, the relations of params among them."""
        amounts = (Column("currency", "STRING"), Column("amount", MONEY))
        relations = {name: Table(PARAMS_DATABASE, name, amounts) for name in self.relations()}
        known = [*tables.values(), *relations.values(), Table(PARAMS_DATABASE, DAYS, ())]
        return {table.full_name: table for table in known}

    def _check_columns(self, scope: Scope, tables: Mapping[str, Table]) -> None:
        have = {name: self._columns_of(source, tables) for name, source in scope.sources.items()}
        selects = scope.expression.selects if isinstance(scope.expression, exp.Select) else []
        aliases = {select.alias for select in selects if select.alias}
        for column in scope.columns:
            if isinstance(column.this, exp.Star):
                continue
            # a correlated column belongs to an outer query, and is checked there
            if column.table and column.table not in have:
                if scope.parent is None:
                    known = ", ".join(sorted(have))
                    raise self.error(f"unknown alias {column.table} in {column.sql('hive')}; FROM has {known}", line_of(column))
                continue
            candidates = [have[column.table]] if column.table else [*have.values(), aliases]
            if column.name not in set().union(*candidates) and not (not column.table and scope.is_subquery):
                known = ", ".join(sorted(set().union(*candidates)))
                what = f"{column.table} has no column {column.name}" if column.table else f"no column {column.name} in FROM"
                raise self.error(f"{what}; known columns: {known}", line_of(column))

    def _columns_of(self, source: Any, tables: Mapping[str, Table]) -> set[str]:
        if isinstance(source, Scope):
            return set(cast(exp.Query, source.expression).named_selects)
        if source.db == PARAMS_DATABASE:
            return {PARTITION} if source.name == DAYS else {"currency", "amount"}
        return set(tables[source.name].column_types) if source.name in tables else set()

    def _line_with(self, text: str) -> int:
        lines = enumerate(self.text.splitlines(), 1)
        return next((number for number, line in lines if re.search(rf"{re.escape(text)}\b", line)), self.select_line)


def read_file(path: Path, model: type[M]) -> SqlFile[M]:
    """Read a file, with the default values of its params.

    Raises:
        RuleError: there is no front matter, or keys in it are missing, unknown or out of bounds; with file and line, one
            line of text per problem.
    """
    try:
        header, text = _split(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}:1: the file is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        data = bounded_yaml.load(header)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RuleError(f"{path}:{line}: the front matter is not valid YAML: {bounded_yaml.problem(error)}") from None
    if not isinstance(data, dict):
        raise RuleError(f"{path}:1: no front matter; begin the file with lines such as `-- title: …`")
    try:
        meta = model.model_validate(data)
    except ValidationError as error:
        problems = [([str(part) for part in each["loc"]], validation_message(each)) for each in error.errors()]
        found = sorted((line_of_key(header, keys), ".".join(keys), message) for keys, message in problems)
        raise RuleError("\n".join(f"{path}:{line}: {key}: {message}" for line, key, message in found)) from None
    values = {name: param.default for name, param in meta.params.items()}
    return SqlFile(path, meta, text, values)


def _split(text: str) -> tuple[str, str]:
    """The front matter without its dashes, and the SELECT after as many blank lines, which keep its line numbers."""
    lines = text.splitlines()
    count = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines[:count])
    return header, "\n" * count + "\n".join(lines[count:])


def validation_message(error: ErrorDetails) -> str:
    """What pydantic expected and found, in words that fit after the key."""
    if error["type"] == "missing":
        return "required, but missing"
    if error["type"] == "extra_forbidden":
        # `{description: Hour, in UTC}` has the key `in UTC`
        return "unknown key" + ("; put a text with a comma into quotes" if error["input"] is None else "")
    expected = "expected a number" if error["type"] in ("less_than", "greater_than") else "expected"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", expected)
    # the messages of params name the value; their input is the whole param
    return message if isinstance(error["input"], Mapping) else f"{message}, found {bounded_yaml.shown(error['input'])}"


def line_of_key(header: str, keys: Iterable[str]) -> int:
    """Number of the line with the innermost of the nested keys that exists."""
    node = bounded_yaml.compose(header)
    line = 1
    for name in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def line_of(node: exp.Expr) -> int | None:
    """Number of the first line of a syntax tree, if the parser recorded one."""
    lines: Iterator[int] = (n.meta["line"] for n in node.walk() if "line" in n.meta)
    return next(lines, None)
