"""SQL files with YAML front matter: how rules and features are read and checked. Nothing runs here.

The front matter is the leading block of `--` lines; what follows is one HiveQL SELECT.
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
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from fraud_assets.errors import RuleError
from fraud_assets.schemas.names import DATABASE
from fraud_assets.sql.params import Amounts, Lookback, Param
from hive_io import PARTITION, QueryError, Table
from hive_io.dialect import Value, parse

PARAMS_DATABASE = "params"


DAYS = "days"


WINDOW_PARAMS = ("window_start", "window_end")


class FrontMatter(BaseModel):
    """What every SQL file states about itself.

    Attributes:
        lookback: how far back `transactions` is read.
        lookback_of: whose rows of the look-back matter: with `customer`, what is said of a transaction depends on no other
            customer's, and a part of a day is computed from the rows of those customers that are in it.
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
    """A parsed file.

    Attributes:
        meta: its front matter.
        text: the SELECT, with blank lines for the front matter, so that lines are those of the file.
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
        """The line after the front matter."""
        return len(self.text) - len(self.text.lstrip("\n")) + 1

    def line_of_key(self, *keys: str) -> int:
        """The line of a key of the front matter."""
        return line_of_key(_split(self.path.read_text(encoding="utf-8"))[0], keys)

    def with_values(self, values: Mapping[str, Decimal | int | Amounts]) -> SqlFile[M_co]:
        """The same file with other values of some params in force."""
        return replace(self, values={**self.values, **values})

    def error(self, message: str, line: int | None = None) -> RuleError:
        return RuleError(f"{self.path}:{line or 1}: {message}")

    def tree(self) -> exp.Query:
        """The syntax tree, tables of the lake with their database; not to be changed.

        Raises:
            RuleError: with file and line.
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
        """Names of the tables of the lake that it reads."""
        return {t.name for t in self.tree().find_all(exp.Table) if t.db == DATABASE}

    def scalars(self) -> dict[str, Value]:
        """The params that bind to `:name`."""
        return {name: value for name, value in self.values.items() if not isinstance(value, dict)}

    def relations(self) -> dict[str, Amounts]:
        """The params that bind to `params.name`."""
        return {name: value for name, value in self.values.items() if isinstance(value, dict)}

    def check(self, tables: Mapping[str, Table]) -> None:
        """Hold the SELECT against the tables that exist and the params that are stated.

        Raises:
            RuleError: an unknown table, column or param, a param that nothing uses; with file and line.
        """
        tree = self.tree()
        used = {p.name: self._line_with(f":{p.name}") for p in tree.find_all(exp.Placeholder)}
        used |= {t.name: line_of(t) or self.select_line for t in tree.find_all(exp.Table) if t.db == PARAMS_DATABASE}
        for name in sorted(used.keys() - self.values.keys() - {*WINDOW_PARAMS, DAYS}):
            raise self.error(f":{name} is not among the params", used[name])
        for param in sorted(self.values.keys() - used.keys()):
            raise self.error(f"param {param} is stated and never used", self.line_of_key("params", param))
        for table in tree.find_all(exp.Table):
            if table.db not in ("", DATABASE, PARAMS_DATABASE) or (table.db == DATABASE and table.name not in tables):
                known = ", ".join(sorted(tables))
                raise self.error(f"there is no table {table.db}.{table.name}; there are {known}", line_of(table))
        for scope in traverse_scope(tree):
            self._check_columns(scope, tables)

    def _check_columns(self, scope: Scope, tables: Mapping[str, Table]) -> None:
        have = {name: self._columns_of(source, tables) for name, source in scope.sources.items()}
        aliases = {select.alias for select in scope.expression.selects} if isinstance(scope.expression, exp.Select) else set()
        for column in scope.columns:
            if isinstance(column.this, exp.Star):
                continue
            # a column of the query around this one is checked there
            if column.table and column.table not in have:
                if scope.parent is None:
                    raise self.error(f"there is no {column.table} in FROM", line_of(column))
                continue
            candidates = [have[column.table]] if column.table else [*have.values(), aliases]
            if column.name not in set().union(*candidates) and not (not column.table and scope.is_subquery):
                known = ", ".join(sorted(set().union(*candidates)))
                where = column.table or "the tables read here"
                raise self.error(f"{where} has no column {column.name}; it has {known}", line_of(column))

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
    """Read a file, with the defaults of its params.

    Raises:
        RuleError: no front matter, or all that is missing, unknown or out of bounds in it; with file and line.
    """
    try:
        header, text = _split(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}:1: is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        data = yaml.safe_load(header)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RuleError(f"{path}:{line}: the front matter is not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict):
        raise RuleError(f"{path}:1: starts with no front matter; its first lines are `-- title: …`, `-- severity: …`")
    try:
        meta = model.model_validate(data)
    except ValidationError as error:
        wrong = [([str(part) for part in each["loc"]], _said(each)) for each in error.errors()]
        found = sorted((line_of_key(header, where), ".".join(where), said) for where, said in wrong)
        raise RuleError("\n".join(f"{path}:{line}: {where}: {said}" for line, where, said in found)) from None
    values = {name: param.default for name, param in meta.params.items()}
    return SqlFile(path, meta, text, values)


def _split(text: str) -> tuple[str, str]:
    """The front matter without its dashes; the SELECT, after as many blank lines, so that lines are those of the file."""
    lines = text.splitlines()
    count = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines[:count])
    return header, "\n" * count + "\n".join(lines[count:])


def _said(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    return f"{message} (given: {error['input']!r})" if error["type"] != "missing" else "is missing"


def line_of_key(header: str, keys: Iterable[str]) -> int:
    """The line of the innermost of nested keys that is there."""
    node = yaml.compose(header, Loader=yaml.SafeLoader)
    line = 1
    for name in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def line_of(node: exp.Expr) -> int | None:
    lines: Iterator[int] = (n.meta["line"] for n in node.walk() if "line" in n.meta)
    return next(lines, None)
