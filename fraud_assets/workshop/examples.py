"""Examples of a rule: a few rows, and what the rule must say of each transaction. They stand beside the rule file.

`high_value.examples.yaml` has the examples of `high_value.sql`. They run on rows in memory; on a HiveServer2 as one SELECT
with the rows written into it, so that nothing is created there.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlglot import exp

from fraud_assets.detection.hits_query import judged_query
from fraud_assets.detection.rule import Rule
from fraud_assets.errors import RuleError
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql import bounded_yaml
from fraud_assets.sql.files import line_of_key, validation_message
from fraud_assets.sql.windows import hiveql, union_all
from hive_io import PARTITION, HiveQL, Reader, Span, Table
from hive_io.dialect import literal
from hive_io.dry_run import results_on

SUFFIX = ".examples.yaml"
"""Ending of the file with the examples of a rule."""

DEFAULT_DAY = dt.date(2026, 1, 5)
"""Day of the rows that name no other: a Monday."""

HIT, NO_HIT, NOT_JUDGED = "hit", "no hit", "not judged"
_OTHER = "no hit, or not judged"

_NOON = dt.time(12)
_AFTER, _TIMES, _EVERY = "after", "times", "every"
"""Keys of a transaction that are not columns: seconds after noon; how many alike, and seconds from one to the next."""

_MOST_ALIKE = 10_000

Row = dict[str, Any]


class ExpectedHit(BaseModel):
    """A hit with its reason, its weight or both.

    Attributes:
        hit: the reason.
    """

    model_config = ConfigDict(extra="forbid")

    hit: str
    weight: Annotated[float, Field(gt=0, lt=1)] | None = None


class Boundary(BaseModel):
    """The example lies at the boundary of a param: transactions that hit with its value miss with a tighter one.

    Attributes:
        param: its name.
        looser: a value with which the transactions that miss hit as well.
        tighter: a value with which none hits.
    """

    model_config = ConfigDict(extra="forbid")

    param: str
    looser: Any
    tighter: Any


class _Example(BaseModel):
    """An example as written. `rows` has rows by table."""

    model_config = ConfigDict(extra="forbid")

    example: str
    params: dict[str, Any] = {}
    boundary: Boundary | None = None
    rows: dict[str, list[Row]]
    expect: Annotated[dict[str, Literal["hit", "no hit", "not judged"] | ExpectedHit], Field(min_length=1)]


class Equivalent(BaseModel):
    """A mistake in the rule that changes no result, so that no example can notice it.

    Attributes:
        change: as `fraud rules test --mutate` names it.
        line: of the rule file; None for every place of this change.
        why: the reason why it changes nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    change: str
    line: int | None = None
    why: Annotated[str, Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    day: dt.date = DEFAULT_DAY
    equivalent: tuple[Equivalent, ...] = ()
    defaults: dict[str, Row] = {}
    examples: Annotated[list[_Example], Field(min_length=1)]


@dataclass(frozen=True)
class Example:
    """An example of a rule, ready to run.

    Attributes:
        name: what it shows.
        line: of the file.
        rule: with the params of the example.
        rows: by table.
        expect: what the rule must say, by transaction_id.
    """

    name: str
    line: int
    rule: Rule
    day: dt.date
    rows: Mapping[str, pa.Table]
    expect: Mapping[str, str | ExpectedHit]

    @property
    def span(self) -> Span:
        return Span.days(self.day, self.day)


@dataclass(frozen=True)
class Examples:
    """The examples of a rule.

    Attributes:
        path: their file.
        rule: with the params of its file, on which examples build.
        bounded: params that an example has the boundary of.
        equivalent: mistakes that change no result.
    """

    path: Path
    rule: Rule
    examples: Sequence[Example]
    bounded: frozenset[str]
    equivalent: Sequence[Equivalent] = ()

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {table.full_name: table for table in fixed_tables(self.rule.apis).values()}

    def failures(self, select: exp.Query | None = None, on: Reader | None = None) -> list[str]:
        """Run the examples; a message with file and line for each transaction of which the rule says something else.

        Args:
            select: another SELECT to run in place of the rule's.
            on: a warehouse that runs the queries; by default they run on rows in memory.

        Raises:
            QueryError: the engine rejects the query.
        """
        return [*self._failures(select, on)]

    def _failures(self, select: exp.Query | None, on: Reader | None) -> Iterator[str]:
        alike: dict[tuple[str, dt.date], list[Example]] = defaultdict(list)
        for example in self.examples:
            alike[example.rule.version, example.day].append(example)
        tables = {table.name: table for table in self._tables.values()}
        for group in alike.values():
            query = judged_query(group[0].rule, tables, group[0].span, select)
            if on is None:
                named = [{f"{DATABASE}.{name}": rows for name, rows in example.rows.items()} for example in group]
                answers = results_on(query, self._tables, named)
            else:
                answers = [on.query(with_rows(query, self._tables, example.rows)) for example in group]
            for example, answer in zip(group, answers, strict=True):
                said: dict[str, list[Row]] = defaultdict(list)
                for row in answer.to_pylist():
                    said[row["transaction_id"]].append(row)
                for transaction, expected in example.expect.items():
                    if found := _difference(expected, said.get(transaction, [])):
                        yield f"{self.path}:{example.line}: {example.name}: {transaction}: {found}"


def _difference(expected: str | ExpectedHit, said: Sequence[Row]) -> str | None:
    """What was expected and found; None if the rule says what it must."""
    if len(said) > 1:
        return f"expected one row of the rule at most, found {len(said)}"
    found = NOT_JUDGED if not said else HIT if said[0]["hit"] else NO_HIT
    if isinstance(expected, str):
        fits = found != HIT if expected == _OTHER else found == expected
        return None if fits else f"expected {expected}, found {found}"
    if found != HIT:
        return f"expected a hit, found {found}"
    if said[0]["reason"] != expected.hit:
        return f"expected the reason {expected.hit!r}, found {said[0]['reason']!r}"
    if expected.weight is not None and abs(said[0]["weight"] - expected.weight) > 1e-9:
        return f"expected the weight {expected.weight}, found {said[0]['weight']}"
    return None


def examples_file(rule: Rule) -> Path:
    """The file with the examples of a rule, whether it exists or not."""
    return rule.file.path.with_name(rule.name + SUFFIX)


def read_examples(rule: Rule) -> Examples | None:
    """Read the examples of a rule; None if it has no file with examples.

    They are of the rule file, not of what a rules file sets: they hold for the file's own params, severity and weight.

    Raises:
        RuleError: mistakes in the file, each with file and line.
    """
    path = examples_file(rule)
    try:
        text = path.read_text(encoding="utf-8")
        data = bounded_yaml.load(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RuleError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}:1: the file is not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RuleError(f"{path}:{line}: the file is not valid YAML: {bounded_yaml.problem(error)}") from None
    lines = _lines(text)
    try:
        file = _File.model_validate(data)
    except ValidationError as error:
        problems = [f"{path}:{_line(text, lines, e['loc'])}: {'.'.join(map(str, e['loc']))}: {validation_message(e)}"
                    for e in error.errors()]  # fmt: skip
        raise RuleError("\n".join(dict.fromkeys(problems))) from None
    stated = rule.as_written
    vars(stated)["types"] = rule.types
    examples: list[Example] = []
    for written, line in zip(file.examples, lines, strict=True):
        try:
            examples += _made(written, line, stated, file)
        except ValueError as error:
            raise RuleError(f"{path}:{line}: {written.example}: {error}") from None
    bounded = frozenset(each.boundary.param for each in file.examples if each.boundary)
    return Examples(path, stated, examples, bounded, file.equivalent)


def _lines(text: str) -> list[int]:
    """The line of each example."""
    node = bounded_yaml.compose(text)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    listed = next((value for key, value in pairs if key.value == "examples"), None)
    return [item.start_mark.line + 1 for item in listed.value] if isinstance(listed, yaml.SequenceNode) else []


def _line(text: str, lines: Sequence[int], place: Sequence[str | int]) -> int:
    if len(place) > 1 and place[0] == "examples" and isinstance(place[1], int) and place[1] < len(lines):
        return lines[place[1]]
    return line_of_key(text, map(str, place))


def _made(written: _Example, line: int, rule: Rule, file: _File) -> Iterator[Example]:
    """The example, and those of its boundary.

    Raises:
        ValueError: an unknown table, column or param, or a value of another type.
    """
    tables = fixed_tables(rule.apis)
    reads = rule.file.tables()
    if unknown := sorted({*written.rows, *file.defaults} - reads):
        raise ValueError(f"the rule does not read {', '.join(unknown)}; it reads {', '.join(sorted(reads))}")
    rows = {
        name: _rows(tables[name], file.defaults.get(name, {}), written.rows.get(name, []), file.day) for name in sorted(reads)
    }
    there = rows[TRANSACTIONS.table.name].column("transaction_id").to_pylist()
    if missing := sorted(written.expect.keys() - {*there}):
        raise ValueError(f"expect names {', '.join(missing)}, which is no transaction_id of the example")
    boundary = written.boundary
    own = _with_values(rule, written.params)
    yield Example(written.example, line, own, file.day, rows, written.expect)
    if boundary is not None:
        if len({said in (NO_HIT, NOT_JUDGED) for said in written.expect.values()}) != 2:
            raise ValueError("the example of a boundary needs transactions that hit, and transactions that do not")
        for which, value, said in (("looser", boundary.looser, HIT), ("tighter", boundary.tighter, _OTHER)):
            moved = _with_values(rule, {**written.params, boundary.param: value})
            if moved.version == own.version:
                raise ValueError(f"boundary: {which} is the value of the example; write another")
            name = f"{written.example}, with {boundary.param} {which}"
            yield Example(name, line, moved, file.day, rows, dict.fromkeys(written.expect, said))


def _with_values(rule: Rule, params: Mapping[str, Any]) -> Rule:
    values = {}
    for name, value in params.items():
        if name not in rule.file.meta.params:
            raise ValueError(f"unknown param {name}; known params: {', '.join(rule.file.meta.params) or 'none'}")
        values[name] = rule.file.meta.params[name].read(value)
    return rule.with_values(values)


def _rows(table: Table, defaults: Row, written: Iterable[Row], day: dt.date) -> pa.Table:
    """The rows of a table, complete and of its types."""
    schema = table.arrow_schema
    complete = [_typed(schema, table, row, day) for each in written for row in _repeated(table, {**defaults, **each})]
    return pa.Table.from_pylist(complete, schema=schema)


def _repeated(table: Table, row: Row) -> Iterator[Row]:
    """A row, or as many alike as it says; the last has its transaction_id, those before it are `<id>, 1 of 6` and so on."""
    times, every = row.pop(_TIMES, 1), row.pop(_EVERY, 60)
    if not isinstance(times, int) or not 1 <= times <= _MOST_ALIKE or not isinstance(every, (int, float)):
        raise ValueError(f"{table.name}: times is a whole number up to {_MOST_ALIKE:,}, every a number of seconds")
    for number in range(times):
        alike = {**row, _AFTER: row.get(_AFTER, 0) + number * every} if times > 1 else {**row}
        if number < times - 1:
            alike["transaction_id"] = f"{row.get('transaction_id')}, {number + 1} of {times}"
        yield alike


def _typed(schema: pa.Schema, table: Table, row: Row, day: dt.date) -> Row:
    after = row.pop(_AFTER, None)
    if after is not None and table.time_column:
        row[table.time_column] = dt.datetime.combine(day, _NOON) + dt.timedelta(seconds=after)
    if unknown := sorted(row.keys() - {*schema.names}):
        raise ValueError(f"{table.name} has no column {', '.join(map(str, unknown))}; known columns: {', '.join(schema.names)}")
    typed = {field.name: _value(table, field, row.get(field.name)) for field in schema}
    if table.time_column and typed[table.time_column] is None:
        typed[table.time_column] = dt.datetime.combine(day, _NOON)
    time = typed[table.time_column] if table.time_column else None
    typed[PARTITION] = typed[PARTITION] or (time.date() if time else day).isoformat()
    return typed


def _value(table: Table, field: pa.Field, value: Any) -> Any:
    if value is None:
        return None
    kind = field.type
    try:
        if pa.types.is_decimal(kind):
            value = Decimal(str(value))
        elif pa.types.is_string(kind):
            if isinstance(value, (dt.date, dt.datetime)):
                value = value.isoformat()
            elif not isinstance(value, str):
                raise ValueError
        elif pa.types.is_timestamp(kind) and isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            value = dt.datetime.combine(value, dt.time())
        return pa.scalar(value, kind).as_py()
    except (ArithmeticError, ValueError, TypeError, pa.ArrowException):
        shown = bounded_yaml.shown(value)
        raise ValueError(f"{table.name}.{field.name}: expected a {table.column_types[field.name]}, found {shown}") from None


def with_rows(query: HiveQL, tables: Mapping[str, Table], rows: Mapping[str, pa.Table]) -> HiveQL:
    """The query with the rows of each table in its place, so that it reads no table. They have the columns that it names."""
    named = {column.name for column in query.bound().find_all(exp.Column)}

    def in_place(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Table) or node.db != DATABASE:
            return node
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name))
        types = tables[f"{DATABASE}.{node.name}"].column_types
        rows_here = _literal_rows({name: kind for name, kind in types.items() if name in named}, rows[node.name])
        return exp.Subquery(this=rows_here, alias=alias, joins=node.args.get("joins"))

    return hiveql(cast(exp.Query, query.bound().transform(in_place)))


def _literal_rows(types: Mapping[str, str], rows: pa.Table) -> exp.Query:
    def value(row: Row, name: str) -> exp.Expr:
        # Apache Hive folds constants into joins and then fails, or answers otherwise than over a table (merchants on a list);
        # it folds nothing that depends on chance
        known = exp.cast(_literal(row[name]), types[name], dialect="hive")
        chance = exp.Rand() < exp.Literal.number(2)
        return exp.If(this=chance, true=known, false=exp.cast(exp.null(), types[name], dialect="hive")).as_(name)

    # a table without rows has one of no day, which no query reads
    return union_all([exp.select(*(value(row, name) for name in types)) for row in rows.to_pylist() or [dict.fromkeys(types)]])


def _literal(value: Any) -> exp.Expr:
    if value is None:
        return exp.null()
    if isinstance(value, float):
        return exp.Literal.number(repr(value))
    if isinstance(value, dt.datetime):
        return literal(value.replace(tzinfo=dt.UTC))
    return literal(value)
