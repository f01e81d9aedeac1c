"""Turns pages of raw rows into typed columns of a table, as a source file says; whole pages at once, by in-process DuckDB.

A value that cannot be read breaks the claim `<column>_is_readable`, as it does for the APIs. No row disappears.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.base import FILE, KEY, LINE, OWN, ROW, TIMESTAMP, RawPage
from fraud_assets.ingestion.own_data.source_file import (
    AmountColumn,
    BooleanColumn,
    ColumnSource,
    ListColumn,
    NumberColumn,
    SourceFileError,
    TableSource,
    TextColumn,
    TimeColumn,
)
from fraud_assets.ingestion.validate import ROW_CLAIM
from fraud_assets.schemas.sources import ApiTable

DIRECTION = "_direction"
"""Field that is `debit` or `credit`, by the sign of an amount whose signs have a meaning."""
CHOOSE = "CHOOSE"
"""Stands in a proposed source file where a person must decide; no field has this name."""
MASK = "***"
"""Replaces personal data in a rejected row."""
MASK_KEY = "FRAUD_MASK_KEY"

_NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?)?"
_OFFSET = r"(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)"
_BOOLEANS = "'true', 'false', 'yes', 'no', 't', 'f', 'y', 'n', '1', '0'"
_UNIT_MICROS = {"seconds": 10**6, "minutes": 60 * 10**6, "hours": 3600 * 10**6, "days": 86400 * 10**6}
_EPOCH_MICROS = {"epoch_s": 10**6, "epoch_ms": 10**3, "epoch_us": 1}
_MOST_MICROS = 253_402_300_799_999_999
"""Microseconds from 1970 to the end of the year 9999."""


@dataclass(frozen=True)
class Mapped:
    """Rows of a page as columns of a table.

    Attributes:
        frame: the table's columns, NULL where a value is missing or unreadable.
        broken: for each row that cannot be read entirely, the claims that it breaks.
        raw: the raw rows, in the same order.
        left_out: raw rows for which `where` does not hold; they belong to no table.
        rounded: for each row, True if its amount has more digits than the table.
    """

    frame: pa.Table
    broken: dict[int, set[str]]
    raw: pa.Table
    day: dt.date | None
    left_out: int
    rounded: pa.Array

    def rows_where(self, chosen: pa.Array) -> Mapped:
        """Only the rows that are chosen."""
        places = pc.indices_nonzero(chosen)
        at = {old: new for new, old in enumerate(places.to_pylist())} if self.broken else {}
        broken = {at[index]: claims for index, claims in self.broken.items() if index in at}
        frame, raw, rounded = (part.take(places) for part in (self.frame, self.raw, self.rounded))
        return Mapped(frame, broken, raw, self.day, self.left_out, rounded)


@dataclass(frozen=True)
class _Plan:
    """A query for pages with the same fields.

    Attributes:
        missing: fields that a page may lack, which are NULL then.
    """

    sql: str
    missing: Sequence[str]
    keyed: bool


class TableMapping:
    """The mapping of one table.

    Args:
        mask_key: secret of the keyed hash; needed if a column says `mask: hash`.

    Raises:
        SourceFileError: an expression cannot be parsed, or the key is missing.
    """

    def __init__(self, source: TableSource, mask_key: str | None = None) -> None:
        self._source = source
        self._api = source.api
        self._key = mask_key
        self._plans: dict[tuple[tuple[str, ...], bool], _Plan] = {}
        self._duckdb = duckdb.connect(config={"enable_external_access": "false"})
        # TRY must not share an expression that fails with a place outside of it
        self._duckdb.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        self._duckdb.execute("SET disabled_optimizers = 'common_subexpressions'; SET lock_configuration = true")
        self._expressions = self._parsed_expressions()
        for name, column in source.columns.items():
            if isinstance(column, TextColumn) and column.mask == "hash" and not mask_key:
                raise SourceFileError(
                    f"{source.file}:{source.lines[name]}: {name} is masked by a keyed hash; set {MASK_KEY} to a long random "
                    "text, and keep it: another key gives other hashes"
                )
        self.masked_fields = source.personal | {
            column.field.split(".")[0]
            for column in source.columns.values()
            if isinstance(column, TextColumn) and column.mask and column.field
        }

    @property
    def used_fields(self) -> set[str]:
        """Names, or first parts of paths, of the fields that the mapping reads."""
        used = {column.field for column in self._source.columns.values() if column.field}
        for tree in self._expressions.values():
            used |= {column.name for column in tree.find_all(exp.Column)}
        return {name for field in used for name in (field, field.split(".")[0])}

    def fields_of(self, column: str | None) -> list[str]:
        """Fields that a column is made from."""
        spec = self._source.columns.get(str(column))
        if spec is None:
            return []
        if spec.field is not None:
            return [spec.field.split(".")[0] if "." in spec.field else spec.field]
        tree = self._expressions.get(str(column))
        return [] if tree is None else list(dict.fromkeys(found.name for found in tree.find_all(exp.Column)))

    def apply(self, page: RawPage) -> Mapped:
        """Map a page.

        Raises:
            SourceError: the page lacks a field that the mapping reads.
            SourceFileError: an expression is wrong.
        """
        key = (tuple(page.fields), page.optional)
        if key not in self._plans:
            self._plans[key] = self._plan(page)
        plan = self._plans[key]
        rows = page.rows
        for name in plan.missing:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
        rows = rows.append_column("_n", pa.array(np.arange(rows.num_rows)))
        self._duckdb.register("raw", rows)
        try:
            relation = self._duckdb.sql(plan.sql, params={"mask_key": self._key} if plan.keyed else None)
            result = relation.to_arrow_table()
        except duckdb.Error as error:
            raise self._wrong_expression(rows) from error
        finally:
            self._duckdb.unregister("raw")
        return self._collected(page, result)

    # --- results ------------------------------------------------------------------------------------------------------

    def _collected(self, page: RawPage, result: pa.Table) -> Mapped:
        raw = page.rows.take(result.column("_n"))
        broken: dict[int, set[str]] = {}
        unreadable = result.column("_bad")
        for index in pc.indices_nonzero(unreadable).to_pylist():
            broken[int(index)] = {ROW_CLAIM}
        columns: dict[str, Any] = {}
        rounded = pa.array(np.zeros(result.num_rows, bool))
        for column in self._api.read_columns:
            spec = self._source.columns.get(column.name)
            if spec is None:
                columns[column.name] = pa.nulls(result.num_rows, column.arrow_type)
                continue
            values = result.column(f"v:{column.name}")
            if isinstance(spec, TimeColumn):
                values = _instants(values, result.column(f"l:{column.name}"), spec)
            values = values.cast(column.arrow_type)
            columns[column.name] = values
            if isinstance(spec, AmountColumn):
                rounded = pc.or_(rounded, pc.fill_null(result.column(f"r:{column.name}").combine_chunks(), False))
            wrong = pc.or_(
                result.column(f"b:{column.name}"), pc.and_(pc.is_valid(result.column(f"t:{column.name}")), pc.is_null(values))
            )
            claim = self._api.readable_claim(column.name)
            for index in pc.indices_nonzero(wrong).to_pylist():
                # of a row that is no row, nothing else is said
                if broken.get(int(index)) != {ROW_CLAIM}:
                    broken.setdefault(int(index), set()).add(claim)
        return Mapped(pa.table(columns), broken, raw, page.day, page.rows.num_rows - result.num_rows, rounded)

    def served(self, raw: pa.Table, index: int) -> dict[str, Any]:
        """A raw row as it is kept in quarantine: as it stood in the source, but for personal data."""
        row = raw.slice(index, 1).to_pylist()[0]
        line = row.pop(LINE)
        if line is not None:
            return {FILE: row[FILE], ROW: row[ROW], LINE: MASK if self.masked_fields else line}
        return {name: MASK if name in self.masked_fields and value is not None else value for name, value in row.items()}

    # --- the query ----------------------------------------------------------------------------------------------------

    def _plan(self, page: RawPage) -> _Plan:
        fields = page.fields
        missing = self._missing(page)
        known = {*fields, *missing, FILE, ROW}
        first, second = [], []
        made = [
            f"{_tried(tree)} AS {_name('e:' + name)}"
            for name, tree in self._expressions.items()
            if name in self._source.columns
        ]
        for name, column in self._source.columns.items():
            text, failed = self._text(name, column, known)
            first += [f"{text} AS {_name('t:' + name)}", f"{failed} AS {_name('f:' + name)}"]
        for name, column in self._source.columns.items():
            second += self._typed(name, column)
        where = self._expressions.get("where")
        keep = _tried(where, "BOOLEAN") if where is not None else "struct_pack(v := TRUE)"
        amount = self._source.columns.get("amount")
        direction = "NULL::VARCHAR"
        if isinstance(amount, AmountColumn) and amount.sign != "none":
            tree = self._expressions.get("amount")
            text = self._text("amount", amount, known)[0] if tree is None else f"{_tried(tree)}.v"
            negative, other = ("debit", "credit") if amount.sign == "debits_negative" else ("credit", "debit")
            number = _number(f"({text})", amount)
            direction = f"CASE WHEN starts_with({number}, '-') THEN '{negative}' WHEN {number} IS NOT NULL THEN '{other}' END"
        sql = f"""
            WITH kept AS (SELECT *, {keep} AS _keep FROM raw),
            directed AS (
              SELECT *, {direction} AS {DIRECTION} FROM kept
              WHERE {LINE} IS NOT NULL OR _keep IS NULL OR COALESCE(_keep.v, FALSE)
            ),
            made AS (SELECT *{_list(made)} FROM directed),
            texts AS (SELECT _n, {LINE} IS NOT NULL OR _keep IS NULL AS _bad{_list(first)} FROM made)
            SELECT _n, _bad{_list(second)} FROM texts
        """
        keyed = any(isinstance(column, TextColumn) and column.mask == "hash" for column in self._source.columns.values())
        return _Plan(sql, missing, keyed)

    def _missing(self, page: RawPage) -> list[str]:
        """Fields that the mapping reads and the page lacks, if a page may lack fields.

        Raises:
            SourceError: it may not.
        """
        have = {*page.fields, FILE, ROW, DIRECTION}
        missing: dict[str, str] = {}
        for name, column in self._source.columns.items():
            if column.field and _resolved(column.field, have) is None:
                missing.setdefault(column.field.split(".")[0] if page.optional else column.field, name)
        for name, tree in self._expressions.items():
            for used in tree.find_all(exp.Column):
                if used.name not in have:
                    missing.setdefault(used.name, name)
        if missing and not page.optional:
            place = page.rows.column(FILE)[0].as_py() if page.rows.num_rows else page.place
            lacks = [self._lacks(place, field, column, page.fields) for field, column in missing.items()]
            raise SourceError("\n".join([*lacks, *_header_hint(page.fields, self.used_fields)]))
        return list(missing)

    def _lacks(self, place: str, field: str, column: str, fields: Sequence[str]) -> str:
        at = f"{self._source.file}:{self._source.lines.get(column, 1)}"
        # a field that another column is made from is rarely meant
        free = [name for name in fields if name not in self.used_fields]
        if field == CHOOSE:
            return f"{at}: {column} is still to be chosen: write the name of a field; those of {place} are {', '.join(fields)}"
        close = [f for f in free if f.lower() == field.lower()] or difflib.get_close_matches(field, free, n=1)
        found = f"did you mean {close[0]!r}?" if close else f"its fields are {', '.join(fields)}"
        hint = " Check `delimiter`." if len(fields) == 1 else ""
        return f"{place} has no field {field!r}, which {column} is made from ({at}); {found}{hint}"

    def _text(self, name: str, column: ColumnSource, known: set[str]) -> tuple[str, str]:
        """SQL for the text that a column is made from, and for whether making it failed."""
        failed = "FALSE"
        if column.expression is not None:
            made = _name(f"e:{name}")
            text, failed = f"{made}.v", f"{made} IS NULL"
        elif column.constant is not None:
            text = _literal(column.constant)
        else:
            text = f"CAST({_resolved(str(column.field), {*known, DIRECTION})} AS VARCHAR)"
        text = f"CASE WHEN trim({text}) <> '' THEN {text} END"
        if column.empty:
            text = f"CASE WHEN trim({text}) NOT IN ({', '.join(map(_literal, column.empty))}) THEN {text} END"
        return text, failed

    def _typed(self, name: str, column: ColumnSource) -> list[str]:
        """SQL of stage two for a column: text, value, local time, and whether it is unreadable."""
        text, failed = _name(f"t:{name}"), _name(f"f:{name}")
        raw = text
        if column.values:
            cases = " ".join(f"WHEN {_literal(given)} THEN {_literal(made)}" for given, made in column.values.items())
            text = f"(CASE trim({raw}) {cases} {'ELSE ' + raw if column.unmapped == 'keep' else ''} END)"
            if column.unmapped == "reject":
                failed = f"({failed} OR {raw} IS NOT NULL AND {text} IS NULL)"
        local, rounded = "NULL::TIMESTAMP", "FALSE"
        if isinstance(column, TimeColumn):
            value, local = _time(f"trim({text})", column)
        elif isinstance(column, AmountColumn):
            value, rounded = self._amount(text, column)
        elif isinstance(column, NumberColumn):
            number = _number(text, column)
            wide = f"TRY_CAST({number} AS DECIMAL(38,12))"
            kind = _type_of(self._api, name)
            whole = "BIGINT" if pa.types.is_int64(kind) else "INTEGER"
            value = (
                f"CASE WHEN {wide} = TRY_CAST({wide} AS BIGINT) THEN TRY_CAST({wide} AS {whole}) END"
                if pa.types.is_integer(kind)
                else f"TRY_CAST({number} AS DOUBLE)"
            )
        elif isinstance(column, BooleanColumn):
            value = f"TRY_CAST(CASE WHEN lower(trim({text})) IN ({_BOOLEANS}) THEN trim({text}) END AS BOOLEAN)"
        elif isinstance(column, ListColumn):
            value = (
                f"COALESCE(TRY_CAST(TRY_CAST({text} AS JSON) AS VARCHAR[]), "
                f"list_transform(string_split({text}, {_literal(column.separator)}), lambda x: trim(x)))"
            )
        else:
            value = self._masked(text, column)
        # a value that is meant to be empty is not unreadable
        shown = f"CASE WHEN {text} IS NOT NULL THEN {raw} END" if column.values else raw
        return [
            f"{shown} AS {_name('t:' + name)}",
            f"{value} AS {_name('v:' + name)}",
            f"{local} AS {_name('l:' + name)}",
            f"{failed} AS {_name('b:' + name)}",
            *([f"{rounded} AS {_name('r:' + name)}"] if isinstance(column, AmountColumn) else []),
        ]

    def _masked(self, text: str, column: ColumnSource) -> str:
        mask = column.mask if isinstance(column, TextColumn) else None
        if mask == "hash":
            return (
                f"sha256(concat($mask_key, {text}))"
                if column.constant is not None
                else (f"CASE WHEN {text} IS NOT NULL THEN sha256(concat($mask_key, {text})) END")
            )
        if mask == "last4":
            return f"CASE WHEN length({text}) > 4 THEN concat('****', right({text}, 4)) WHEN {text} IS NOT NULL THEN '****' END"
        return text

    def _amount(self, text: str, column: AmountColumn) -> tuple[str, str]:
        """SQL for an amount, and for whether it was rounded. As for the APIs, it has at most the digits of its currency."""
        number = _number(text, column)
        if column.sign != "none":
            number = f"ltrim({number}, '+-')"
        exact = f"TRY_CAST({number} AS DECIMAL(38,12))"
        # of digits that DECIMAL(38,12) has no room for, none may be lost
        lossless = f"NOT regexp_matches({number}, '\\.[0-9]{{12}}0*[1-9]')"
        if column.minor_units:
            whole = f"TRY_CAST({number} AS DECIMAL(30,0))"
            lossless = f"({lossless} AND {exact} = {whole})"
            exact = f"({whole} * {self._by_currency(column, _power)})"
        amount = f"TRY_CAST({exact} AS DECIMAL(18,2))"
        # more than two digits are left to currencies that have them
        most = self._by_currency(column, lambda digits: f"TRY_CAST(round({exact}, {max(digits, 2)}) AS DECIMAL(38,12))")
        condition = "TRUE" if column.round else f"({lossless} AND {exact} = {most})"
        value = f"CASE WHEN {condition} THEN {amount} END"
        return value, f"COALESCE({exact} <> {amount}, FALSE)"

    def _by_currency(self, column: AmountColumn, sql: Callable[[int], str]) -> str:
        """SQL that depends on the digits of the row's currency."""
        digits, default = column.digits_by_currency()
        if "currency" not in self._source.columns:
            return sql(default)
        currency = self._source.columns["currency"]
        text = _name("t:currency")
        if currency.values:
            known = " ".join(f"WHEN {_literal(given)} THEN {_literal(made)}" for given, made in currency.values.items())
            text = f"(CASE trim({text}) {known} ELSE {text} END)"
        if currency.constant is not None:
            return sql(digits.get(currency.constant, default))
        groups: dict[int, list[str]] = {}
        for code, count in digits.items():
            groups.setdefault(count, []).append(_literal(code))
        cases = " ".join(
            f"WHEN upper(trim({text})) IN ({', '.join(codes)}) THEN {sql(count)}"
            for count, codes in groups.items()
            if sql(count) != sql(default)
        )
        return f"(CASE {cases} ELSE {sql(default)} END)" if cases else sql(default)

    # --- expressions --------------------------------------------------------------------------------------------------

    def _parsed_expressions(self) -> dict[str, exp.Expr]:
        written = {name: column.expression for name, column in self._source.columns.items()}
        written["where"] = self._source.where
        return {name: self._parsed(name, text) for name, text in written.items() if text is not None}

    def _parsed(self, name: str, text: str) -> exp.Expr:
        at = f"{self._source.file}:{self._source.lines.get(name, 1)}"
        try:
            tree = sqlglot.parse_one(f"SELECT {text}", dialect="duckdb")
        except sqlglot.errors.SqlglotError as error:
            raise SourceFileError(f"{at}: {name}: {text!r} is not an SQL expression: {str(error).splitlines()[0]}") from None
        extra = [
            key
            for key, value in tree.args.items()
            if value and key not in ("expressions", "kind", "hint", "operation_modifiers")
        ]
        if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or extra or tree.expressions[0].find(exp.Query):
            raise SourceFileError(
                f"{at}: {name}: expected one SQL expression over the fields of a row, without a query; found {text!r}"
            )
        found = tree.expressions[0]
        return found.this if isinstance(found, exp.Alias) else found

    def _wrong_expression(self, rows: pa.Table) -> SourceFileError:
        """The error of the first expression that fails alone."""
        self._duckdb.register("raw", rows)
        try:
            for name, tree in self._expressions.items():
                sql = tree.sql("duckdb")
                direction = f"NULL::VARCHAR AS {DIRECTION}"
                try:
                    self._duckdb.sql(
                        f"SELECT TRY(struct_pack(v := ({sql}))) FROM (SELECT *, {direction} FROM raw)"
                    ).to_arrow_table()
                except duckdb.Error as error:
                    at = f"{self._source.file}:{self._source.lines.get(name, 1)}"
                    reason = str(error).splitlines()[0]
                    return SourceFileError(
                        f"{at}: {name}: {sql!r} cannot be evaluated: {reason}. Every field is a text; use TRY_CAST"
                    )
        finally:
            self._duckdb.unregister("raw")
        raise


def _header_hint(fields: Sequence[str], used: set[str]) -> list[str]:
    """What to write if the first row of a file was taken for what it is not."""
    if used & {*fields} or len(fields) == 1:
        return []
    if all(name == f"column{number}" for number, name in enumerate(fields, start=1)):
        return ["If its first row has the names of the fields, leave out `header: false`"]
    return ["If its first row has no names but data, write `header: false`: the fields are then column1, column2 and so on"]


def _type_of(api: ApiTable, name: str) -> pa.DataType:
    return next(column.arrow_type for column in api.table.columns if column.name == name)


def _resolved(field: str, known: Iterable[str]) -> str | None:
    """SQL for a field, or for a path into the JSON of one; None if there is no such field."""
    known = set(known)
    if field in known:
        return _name(field)
    parts = field.split(".")
    for end in range(len(parts) - 1, 0, -1):
        head = ".".join(parts[:end])
        if head in known:
            steps = "".join(f"[{part}]" if part.isdigit() else '."' + part.replace('"', '""') + '"' for part in parts[end:])
            return f"(TRY_CAST({_name(head)} AS JSON) ->> {_literal('$' + steps)})"
    return None


def _number(text: str, column: NumberColumn) -> str:
    """SQL for a number in plain notation, NULL if the text is none."""
    number = f"replace(trim({text}), '−', '-')"
    # 12,00- is how some banks write a debit
    number = f"regexp_replace({number}, '^([^-].*)-$', '-\\1')"
    if column.thousands is not None:
        mark = column.thousands
        if mark == " ":
            number = f"regexp_replace({number}, '[\u00a0\u202f]', ' ', 'g')"
        escaped = "\\" + mark if mark == "." else mark.replace("'", "''")
        decimal = "\\" + column.decimal
        grouped = f"[+-]?[0-9]{{1,3}}({escaped}[0-9]{{3}})*({decimal}[0-9]*)?"
        plain = f"[+-]?[0-9]+({decimal}[0-9]*)?"
        whole = f"regexp_full_match({number}, '{grouped}|{plain}')"
        number = f"CASE WHEN {whole} THEN replace({number}, {_literal(mark)}, '') END"
    if column.decimal == ",":
        # 1.5 is not 15, and not 1,5
        number = f"CASE WHEN NOT contains({number}, '.') THEN replace({number}, ',', '.') END"
    return f"(CASE WHEN regexp_full_match({number}, '{_NUMBER}') THEN {number} END)"


def _time(text: str, column: TimeColumn) -> tuple[str, str]:
    """SQL for an instant (UTC), and for a local time without a zone; one of them is NULL."""
    none = "NULL::TIMESTAMP"
    if column.format == "iso":
        instant = (
            f"CASE WHEN regexp_full_match({text}, '{_ISO} ?{_OFFSET}') "
            f"THEN TRY_CAST(replace({text}, ',', '.') AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
        )
        return (
            instant,
            f"CASE WHEN regexp_full_match({text}, '{_ISO}') THEN TRY_CAST(replace({text}, ',', '.') AS TIMESTAMP) END",
        )
    if column.patterns:
        instants = [
            f"TRY_CAST(try_strptime({text}, {_literal(p)}) AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
            for p in column.patterns
            if "%z" in p
        ]
        locals_ = [f"TRY_CAST(try_strptime({text}, {_literal(p)}) AS TIMESTAMP)" for p in column.patterns if "%z" not in p]
        return (_coalesce(instants) or none), (_coalesce(locals_) or none)
    counter = column.format == "counter"
    micros = _UNIT_MICROS[str(column.unit)] if counter else _EPOCH_MICROS[str(column.format)]
    number = f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN TRY_CAST({text} AS DECIMAL(24,6)) END"
    since = (column.origin - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1) if counter else 0
    count = f"TRY_CAST(round(TRY_CAST({number} AS DECIMAL(24,6)) * {micros}::DECIMAL(12,0), 0) AS BIGINT)"
    total = f"TRY_CAST({count}::HUGEINT + {since} AS BIGINT)"
    # a number before 1970 or after 9999 is no time of a transaction
    return f"CASE WHEN {total} BETWEEN 0 AND {_MOST_MICROS} THEN make_timestamp({total}) END", none


def _instants(instants: pa.ChunkedArray, local: pa.ChunkedArray, column: TimeColumn) -> Any:
    """The instants, UTC without a zone, with local times read in the column's zone; NULL where a reading is refused."""
    kind = pa.timestamp("us")
    instants = instants.cast(kind)
    local = local.cast(kind)
    if local.null_count < len(local):
        instants = pc.coalesce(instants, local if column.zone == "UTC" else _from_zone(local, column))
    if column.plus:
        instants = pc.add(instants, pa.scalar(column.plus, pa.duration("us"))).cast(kind)
    earliest, latest = (pa.scalar(value, kind) for value in (dt.datetime.min, dt.datetime.max))
    outside = pc.or_(pc.less(instants, earliest), pc.greater(instants, latest))
    return pc.if_else(pc.fill_null(outside, False), pa.scalar(None, kind), instants)


def _from_zone(local: Any, column: TimeColumn) -> Any:
    """Local times as instants."""
    naive = pa.timestamp("us")
    earlier = pc.assume_timezone(local, column.zone, ambiguous="earliest", nonexistent="earliest")
    later = pc.assume_timezone(local, column.zone, ambiguous="latest", nonexistent="latest")
    skipped = pc.not_equal(pc.local_timestamp(earlier), local)
    twice = pc.and_(pc.not_equal(earlier, later), pc.invert(skipped))
    utc = pa.timestamp("us", "UTC")
    early, late = earlier.cast(utc).cast(naive), later.cast(utc).cast(naive)
    nothing = pa.scalar(None, naive)
    read_twice = {"earlier": early, "later": late, "reject": nothing}[column.ambiguous]
    # read with the offset from before the gap, of which `early` is the last microsecond
    offset = pc.subtract(pc.local_timestamp(earlier), early)
    read_skipped = pc.subtract(local, offset).cast(naive) if column.nonexistent == "shift" else nothing
    return pc.if_else(skipped, read_skipped, pc.if_else(twice, read_twice, early))


def _coalesce(parts: Sequence[str]) -> str:
    return f"COALESCE({', '.join(parts)})" if parts else ""


def _power(digits: int) -> str:
    """SQL for one minor unit."""
    return f"{10.0**-digits:.{digits}f}::DECIMAL(8,6)" if digits else "1::DECIMAL(8,6)"


def _tried(tree: exp.Expr, kind: str = "VARCHAR") -> str:
    """SQL for a struct with the value of an expression, NULL if evaluating it failed."""
    return f"TRY(struct_pack(v := CAST(({tree.sql('duckdb')}) AS {kind})))"


def _list(columns: Sequence[str]) -> str:
    return "".join(f",\n{column}" for column in columns)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def unmapped_fields(mapping: TableMapping, source: TableSource, fields: Iterable[str]) -> list[str]:
    """Fields that are there, but neither read nor named as unused or personal."""
    known: set[str] = {*mapping.used_fields, *source.personal, *OWN, KEY, TIMESTAMP, DIRECTION}
    return [field for field in fields if field not in known and not any(fnmatchcase(field, name) for name in source.unused)]
