"""Loads a table of the warehouse's own server by queries: the mapping and the claims of a source file in HiveQL.

A row means the same as through the `sql` connector. Only names that are not ASCII pass through Python, each once, for their
normal forms, and numbers of rows.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

import pyarrow as pa

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Batch, Counts, QueriedBatch
from fraud_assets.ingestion.normal_form import normal
from fraud_assets.ingestion.own_data.connectors.base import FILE, ROW
from fraud_assets.ingestion.own_data.connectors.hive import HiveLayout, quoted
from fraud_assets.ingestion.own_data.mapping import DIRECTION
from fraud_assets.ingestion.own_data.source_file import (
    IN_PLACE,
    AmountColumn,
    BooleanColumn,
    ColumnSource,
    NumberColumn,
    TableSource,
    TextColumn,
    TimeColumn,
)
from fraud_assets.ingestion.stages import drop_abandoned, dropped_if_failed, stage_name
from fraud_assets.schemas.names import DATABASE
from hive_io import PARTITION, Column, HiveQL, QueryError, Span, Table, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY

NORMAL_FORMS = Table(
    DATABASE,
    "normal_forms",
    (Column("text", "STRING"), Column("normal_form", "STRING")),
    key=("text",),
    description="Normal forms of the names that are not ASCII, for sources that are read in place.",
)
_ALL = "2000-01-01"
"""The one day of `NORMAL_FORMS`, which hold for every day."""
_DIRECTIVES = {name: "([0-9]{4})" if name == "%Y" else "([0-9]{1,2})" for name in IN_PLACE}
"""Regular expressions of the directives of patterns of times."""
EPOCHS = {"epoch_s": 0, "epoch_ms": 3, "epoch_us": 6}
"""Digits of a second in each format."""
_EXACT = "DECIMAL(30,12)"
"""Holds every amount that a table can hold, with the digits by which it is judged."""
_WHOLE = "DECIMAL(26,0)"
_MOST_SECONDS = 253_402_300_799
_BLANK = "\\x09-\\x0d\\x1c-\\x20"
_SPACE = _BLANK + "\\x85\\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NOT_BLANK = f"[^{_SPACE}]"
_NOT_ASCII = r"[^\x01-\x7f]"
_CONTROL = r"[\x01-\x1f]"
_MORE_DIGITS = r"\.[0-9]{12}0*[1-9]"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$"
_TIME = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(?:([.,][0-9]{1,6})[0-9]{0,3})?)?)?"
    r"(?: ?(Z|z|([+-][0-9]{2})(?::([0-9]{2}))?))?$"
)
_BOOLEANS = {True: ("true", "yes", "t", "y", "1"), False: ("false", "no", "f", "n", "0")}
_KINDS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_string, pa.types.is_boolean, pa.types.is_signed_integer, pa.types.is_decimal, pa.types.is_float64,
    pa.types.is_date32, pa.types.is_timestamp,
)  # fmt: skip
_ZONE_YEARS = dt.datetime(1999, 12, 1, tzinfo=dt.UTC), dt.datetime(2100, 2, 1, tzinfo=dt.UTC)
_NEAR = dt.timedelta(days=3)
_PAYLOAD = ("before", "after")
_JUDGED = ("day", "broken", *_PAYLOAD, "served_as")
"""Columns of a stage, besides values: day of the row, claims that it breaks, its JSON around the number, order of versions."""


def readable(kind: pa.DataType) -> bool:
    """True if a field of this type can be read in place."""
    return any(is_kind(kind) for is_kind in _KINDS)


def batch_in_place(
    source: TableSource, warehouse: Warehouse, span: Span, ahead: dt.timedelta, clock: Clock = SYSTEM_CLOCK
) -> Batch | QueriedBatch:
    """Count a table's rows of a span, and return the queries that select the valid and the rejected ones.

    They read a stage, which the caller drops. Stages that earlier loads have left behind are dropped first.

    Args:
        ahead: time by which an event may be later than its arrival, as for `validate`.
        clock: for the ages of stages.

    Raises:
        SourceError: the table cannot be read, lacks a field, or has one of a type that the mapping cannot read in place.
    """
    api, layout = source.api, source.origin
    assert isinstance(layout, HiveLayout)
    days = [day.isoformat() for day in span.each_day() if layout.valid_from is None or day >= layout.valid_from]
    counts = {day.isoformat(): Counts(0, 0, 0) for day in span.each_day()}
    if not days:
        return Batch(api.table.arrow_schema.empty_table(), api.rejected.arrow_schema.empty_table(), counts)
    drop_abandoned(warehouse, clock.now())
    queries = InPlace(source, layout.fields(warehouse), span, ahead, days, clock)
    with dropped_if_failed(warehouse, queries.stage.full_name):
        return _staged(warehouse, queries, span, counts)


def _staged(warehouse: Warehouse, queries: InPlace, span: Span, counts: dict[str, Counts]) -> QueriedBatch:
    """Stage the rows of a span and count them."""
    warehouse.replace(queries.stage, HiveQL(queries.judged()), span.whole_days())
    if queries.named:
        _learn_normal_forms(warehouse, queries)
    claims: Counter[str] = Counter()
    for row in warehouse.query(HiveQL(queries.counts())).to_pylist():
        day, n = row[PARTITION], row["n"]
        if row["broken"]:
            claims.update(dict.fromkeys(row["broken"].split(","), n))
            counts[day] = replace(counts[day], rejected=counts[day].rejected + n)
        else:
            counts[day] = replace(counts[day], loaded=row["last"], superseded=n - row["last"], rounded=row["rounded"])
    return QueriedBatch(HiveQL(queries.rows()), HiveQL(queries.rejected()), counts, claims, queries.stage.full_name)


def explain_in_place(source: TableSource, warehouse: Warehouse, span: Span) -> None:
    """Let the warehouse plan the mapping of a span, without running it.

    Raises:
        SourceError: as for `batch_in_place`; or the warehouse refuses the query.
    """
    assert isinstance(source.origin, HiveLayout)
    queries = InPlace(source, source.origin.fields(warehouse), span, dt.timedelta())
    try:
        warehouse.explain(HiveQL(queries.judged()))
    except QueryError as error:
        raise SourceError(f"{source.origin.place} cannot be read in place: {error}") from error


def _learn_normal_forms(warehouse: Warehouse, queries: InPlace) -> None:
    """Write the normal forms of names that are not ASCII and not known yet."""
    warehouse.ensure_table(NORMAL_FORMS)
    names = warehouse.query(HiveQL(queries.unknown_names())).column("text").to_pylist()
    if names:
        rows = [{"text": name, "normal_form": normal(name), PARTITION: _ALL} for name in names]
        warehouse.upsert(NORMAL_FORMS, pa.Table.from_pylist(rows, schema=NORMAL_FORMS.arrow_schema))


class InPlace:
    """The queries for a table and a span.

    Args:
        fields: types of the fields; those of a type that cannot be read in place are left out of rejected rows.
        days: days of snapshots.
        clock: when the load begins, for the name of its stage.

    Raises:
        SourceError: a field is missing, or of a type that its column cannot be made from.
    """

    def __init__(
        self,
        source: TableSource,
        fields: Mapping[str, pa.DataType],
        span: Span,
        ahead: dt.timedelta,
        days: Sequence[str] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        assert isinstance(source.origin, HiveLayout)
        self._source, self._api, self._layout = source, source.api, source.origin
        self._span, self._ahead, self._days = span, ahead, days or [day.isoformat() for day in span.each_day()]
        near = self._layout.spill * DAY
        self._wide = Span.days(span.first_day - near, span.last_day + near)
        self._all = dict(fields)
        self._fields = {name: kind for name, kind in fields.items() if readable(kind)}
        self._raw = {name: f"r{number}" for number, name in enumerate(self._fields)}
        self._kinds = {name: self._kind(name, column) for name, column in source.columns.items()}
        columns = [Column(f"v_{column.name}", column.type) for column in self._api.read_columns]
        columns += [Column("rounded", "INT"), *(Column(name, "STRING") for name in _JUDGED)]
        self.stage = Table(DATABASE, stage_name(self._api.table.name, clock.now()), tuple(columns))
        """Holds the mapped and judged rows until the load ends, each on a day of the span."""
        self.named = [name for parts in self._api.normal_forms.values() for name in parts if name in source.columns]
        """Columns of which normal forms are made."""

    # --- queries ------------------------------------------------------------------------------------------------------

    def counts(self) -> str:
        """Rows by day and by broken claims, in one text; with the number of last versions and of rounded amounts."""
        return (
            f"SELECT v.day AS {PARTITION}, v.broken, COUNT(*) AS n, SUM(IF(v.version = 1, 1, 0)) AS last, "
            f"SUM(v.rounded) AS rounded FROM ({self._versions()}) v GROUP BY v.day, v.broken"
        )

    def rows(self) -> str:
        """The valid rows, in their last versions, with all columns of the table."""
        joins = {name: f"n{number}" for number, name in enumerate(self.named)}
        made = {column: self._normal_form(parts, joins) for column, parts in self._api.normal_forms.items()}
        columns = [f"{made.get(c.name, f'v.v_{c.name}')} AS {quoted(c.name)}" for c in self._api.table.columns]
        known = "".join(
            f" LEFT JOIN {NORMAL_FORMS.full_name} {alias} ON v.v_{name} = {alias}.text AND {alias}.{PARTITION} = '{_ALL}'"
            for name, alias in joins.items()
        )
        return (
            f"SELECT {', '.join(columns)}, v.day AS {PARTITION} FROM ({self._versions()}) v{known} "
            "WHERE v.broken = '' AND v.version = 1"
        )

    def rejected(self) -> str:
        """The rejected rows, as the quarantine table has them. Rows that are equal are numbered, since they have no place."""
        arrival = "v.day"
        if "ingested_at" in self._source.columns:
            day = _day("v.v_ingested_at")
            arrival = (
                "CASE WHEN v.v_ingested_at IS NOT NULL AND INSTR(v.broken, 'ingested_at_is_plausible') = 0 "
                f"THEN {day} ELSE v.day END"
            )
        served = (
            f"SELECT {arrival} AS {PARTITION}, SPLIT(v.broken, ',') AS claims, v.before, v.after "
            f"FROM ({self._inside()}) v WHERE v.broken <> ''"
        )
        numbered = (
            f"SELECT s.{PARTITION}, s.claims, s.before, s.after, "
            f"ROW_NUMBER() OVER (PARTITION BY s.{PARTITION}, s.before, s.after ORDER BY s.before) AS n FROM ({served}) s"
        )
        served = f"SELECT {PARTITION}, claims, CONCAT(before, CAST(n AS STRING), after) AS served FROM ({numbered}) m"
        payload = f"SELECT {PARTITION}, claims, {_escaped('served')} AS payload FROM ({served}) t"
        return f"SELECT SHA2(payload, 256) AS row_id, payload, claims, {PARTITION} FROM ({payload}) p"

    def unknown_names(self) -> str:
        """The names that are not ASCII and have no normal form yet, each once."""
        names = " UNION ALL ".join(
            f"SELECT v_{name} AS text FROM ({self._inside()}) v WHERE v.broken = '' AND v.v_{name} RLIKE {_literal(_NOT_ASCII)}"
            for name in self.named
        )
        return (
            f"SELECT DISTINCT u.text FROM ({names}) u LEFT JOIN {NORMAL_FORMS.full_name} k "
            f"ON u.text = k.text AND k.{PARTITION} = '{_ALL}' WHERE k.text IS NULL"
        )

    # --- stages: each adds columns to the one below --------------------------------------------------------------------

    def _versions(self) -> str:
        """Judged rows, numbered from the last version of a key on a day."""
        (key,) = self._api.table.key
        arrived = ["v_ingested_at"] if "ingested_at" in self._source.columns else []
        others = [f"v_{name}" for name in self._source.columns]
        order = ", ".join(f"j.{name} DESC" for name in [*arrived, "served_as", *others])
        number = f"ROW_NUMBER() OVER (PARTITION BY j.day, j.broken, j.v_{key} ORDER BY {order})"
        return f"SELECT j.*, {number} AS version FROM ({self._inside()}) j"

    def _inside(self) -> str:
        """The staged rows that belong to the span."""
        span = self._span
        names = ", ".join(column.name for column in self.stage.columns)
        return (
            f"SELECT {names} FROM {self.stage.full_name} t WHERE t.{PARTITION} >= '{span.first_ds}' "
            f"AND t.{PARTITION} <= '{span.last_ds}' AND t.day >= '{span.first_ds}' AND t.day <= '{span.last_ds}'"
        )

    def judged(self) -> str:
        """Rows of the window with their day and the claims that they break, sorted and joined by commas.

        It filters by the window only: a server would push another condition down, and compute it once for each stage.
        """
        claims = dict(sorted(self._claims()))
        broken = ", ".join(f"IF({condition}, '{name}', NULL)" for name, condition in claims.items())
        if self._api.day_column is None:
            day = "window_day"
        else:
            day = f"CASE WHEN {self._is_plausible()} AND {self._is_near()} THEN {self._day_of_time()} ELSE window_day END"
        judged = f"SELECT x.*, {day} AS day, CONCAT_WS(',', {broken}) AS broken FROM ({self._values()}) x"
        before, after = (
            f"IF(v.broken <> '', {part}, NULL) AS {name}" for name, part in zip(_PAYLOAD, self._payload(), strict=True)
        )
        values = [f"v.v_{column.name}" for column in self._api.read_columns]
        first, last = self._span.first_ds, self._span.last_ds
        of_span = f"CASE WHEN v.day < '{first}' THEN '{first}' WHEN v.day > '{last}' THEN '{last}' ELSE v.day END"
        served_as = "CAST(NULL AS STRING)"
        if self._layout.window is not None:
            served_as = _as_text(f"v.{self._raw[self._layout.window]}", self._fields[self._layout.window])
        return (
            f"SELECT {', '.join(values)}, v.rounded, v.day, v.broken, {before}, {after}, {served_as} AS served_as, "
            f"{of_span} AS {PARTITION} FROM ({judged}) v"
        )

    def _day_of_time(self) -> str:
        return _day(f"v_{self._api.day_column}")

    def _is_plausible(self) -> str:
        time = f"v_{self._api.day_column}"
        return f"({time} >= CAST('2000-01-01' AS TIMESTAMP) AND {time} < CAST('2100-01-01' AS TIMESTAMP))"

    def _is_near(self) -> str:
        """The day of the time is near enough to the day of the window."""
        return f"ABS(DATEDIFF({self._day_of_time()}, window_day)) <= {self._layout.spill}"

    def _values(self) -> str:
        made, rounded = [], []
        for column in self._api.read_columns:
            spec = self._source.columns.get(column.name)
            if spec is None:
                made.append(f"CAST(NULL AS {column.type}) AS v_{column.name}")
                continue
            made.append(f"{self._value(column, spec)} AS v_{column.name}")
            if isinstance(spec, AmountColumn):
                exact = self._amount_of(column.name, spec)
                rounded.append(f"COALESCE({exact} <> CAST({exact} AS DECIMAL(18,2)), FALSE)")
        has_more = f"IF({' OR '.join(rounded)}, 1, 0)" if rounded else "0"
        return f"SELECT e.*, {', '.join(made)}, {has_more} AS rounded FROM ({self._exact()}) e"

    def _exact(self) -> str:
        """Adds `x_<column>`: the exact number of an amount, the local time of a time; `i_<column>`: the instant of a time."""
        made = []
        for name, spec in self._source.columns.items():
            kind = self._kinds[name]
            if isinstance(spec, AmountColumn):
                number = f"CAST({f'n_{name}' if pa.types.is_string(kind) else f't_{name}'} AS {_EXACT})"
                if pa.types.is_floating(kind):
                    number = f"CAST(CAST(t_{name} AS DECIMAL(38,18)) AS {_EXACT})"
                made.append(f"{number if spec.sign == 'none' else f'ABS({number})'} AS x_{name}")
            elif isinstance(spec, TimeColumn):
                local, instant = _time(f"t_{name}", kind, spec)
                made += [f"{local} AS x_{name}", f"{instant} AS i_{name}"]
        return _adding(made, self._numbers())

    def _numbers(self) -> str:
        """Adds `n_<column>`: a number's text in plain notation, and the texts that are made from the sign of the amount."""
        made = [
            f"{_number(f't_{name}', spec)} AS n_{name}"
            for name, spec in self._source.columns.items()
            if isinstance(spec, NumberColumn) and pa.types.is_string(self._kinds[name])
        ]
        texts = self._texts()
        amount = self._source.columns.get("amount")
        directed = [name for name, spec in self._source.columns.items() if spec.field == DIRECTION]
        if not directed:
            return _adding(made, texts)
        if not isinstance(amount, AmountColumn) or amount.sign == "none":
            raise SourceError(f"{self._at(directed[0])}: {DIRECTION} needs `sign` at amount")
        number = "n_amount" if pa.types.is_string(self._kinds["amount"]) else "t_amount"
        minus = f"INSTR({number}, '-') = 1" if number == "n_amount" else f"{number} < 0"
        negative, other = ("debit", "credit") if amount.sign == "debits_negative" else ("credit", "debit")
        direction = f"CASE WHEN {minus} THEN '{negative}' WHEN {number} IS NOT NULL THEN '{other}' END"
        directions = []
        for name in directed:
            given, failed = self._mapped(direction, self._source.columns[name])
            directions += [f"{given} AS t_{name}", f"{failed} AS f_{name}"]
        return _adding(directions, _adding(made, texts))

    def _texts(self) -> str:
        """Adds `t_<column>`: what a column is made from, a text or a value of the field's type; `f_<column>`: it is refused."""
        made = []
        for name, spec in self._source.columns.items():
            if spec.field == DIRECTION:
                continue
            if spec.constant is not None:
                given, kind = _literal(spec.constant), pa.string()
            else:
                given, kind = self._raw[str(spec.field)], self._fields[str(spec.field)]
            if spec.values or isinstance(spec, (TextColumn, BooleanColumn)):
                given, kind = _as_text(given, kind), pa.string()
            elif pa.types.is_floating(kind):
                given = _finite(given)
            if pa.types.is_string(kind):
                given = f"CASE WHEN TRIM({given}) <> '' THEN {given} END"
            if spec.empty:
                given = f"CASE WHEN TRIM({_as_text(given, kind)}) NOT IN ({_list(spec.empty)}) THEN {given} END"
            given, failed = self._mapped(given, spec)
            made += [f"{given} AS t_{name}", f"{failed} AS f_{name}"]
        return _adding(made, self._rows_of_span())

    def _rows_of_span(self) -> str:
        fields = ", ".join(f"{quoted(name)} AS {alias}" for name, alias in self._raw.items())
        relation = self._layout.relation if self._layout.query is not None else f"{self._layout.relation} q"
        if self._layout.window is None:
            days = " UNION ALL ".join(f"SELECT '{day}' AS window_day" for day in self._days)
            return f"SELECT q.*, d.window_day FROM (SELECT {fields} FROM {relation}) q CROSS JOIN ({days}) d"
        kind = self._fields.get(self._layout.window)
        if kind is None:
            raise SourceError(self._no_field(self._layout.window, "window"))
        day, inside = self._layout.day_of_window(kind), self._layout.is_inside(kind, self._wide)
        return f"SELECT {fields}, {day} AS window_day FROM {relation} WHERE {inside}"

    # --- columns ------------------------------------------------------------------------------------------------------

    def _kind(self, name: str, spec: ColumnSource) -> pa.DataType:
        """The type of what a column is made from.

        Raises:
            SourceError: there is no such field, or no column can be made from its type in place.
        """
        if spec.field is None or spec.field == DIRECTION:
            return pa.string()
        if spec.field not in self._fields:
            raise SourceError(self._no_field(spec.field, name))
        kind = pa.string() if spec.values or isinstance(spec, (TextColumn, BooleanColumn)) else self._fields[spec.field]
        is_number = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind)
        if isinstance(spec, NumberColumn):
            fits = is_number or pa.types.is_string(kind)
        elif not isinstance(spec, TimeColumn):
            fits = not pa.types.is_floating(self._fields[spec.field])
        elif str(spec.format) in EPOCHS:
            fits = pa.types.is_integer(kind)
        elif spec.format == "iso":
            fits = pa.types.is_temporal(kind) or pa.types.is_string(kind)
        else:
            fits = pa.types.is_string(kind)
        if not fits:
            wanted = f" as {spec.format}" if isinstance(spec, TimeColumn) else ""
            raise SourceError(
                f"{self._at(name)}: {name} cannot be made in place{wanted} from {spec.field}, a field of the type "
                f"{self._fields[spec.field]}; CAST it in `query`, or read the table by `sql`"
            )
        return kind

    def _no_field(self, field: str, column: str) -> str:
        if field in self._all:
            return (
                f"{self._at(column)}: {field} has the type {self._all[field]}, which is not read in place; CAST it in `query`"
            )
        return f"{self._layout.place} has no field {field!r} ({self._at(column)}); its fields are {', '.join(self._all)}"

    def _at(self, column: str) -> str:
        return f"{self._source.file}:{self._source.lines.get(column, 1)}"

    def _mapped(self, given: str, spec: ColumnSource) -> tuple[str, str]:
        """What `values` makes of a text, and whether it refuses it."""
        if not spec.values:
            return given, "FALSE"
        cases = " ".join(f"WHEN {_literal(old)} THEN {_literal(new)}" for old, new in spec.values.items())
        mapped = f"(CASE TRIM({given}) {cases}{f' ELSE {given}' if spec.unmapped == 'keep' else ''} END)"
        refused = f"({given} IS NOT NULL AND {mapped} IS NULL)" if spec.unmapped == "reject" else "FALSE"
        return mapped, refused

    def _value(self, column: Column, spec: ColumnSource) -> str:
        name, kind = column.name, self._kinds[column.name]
        text = f"t_{name}"
        if isinstance(spec, TimeColumn):
            return self._instant(name, spec)
        if isinstance(spec, AmountColumn):
            exact = self._amount_of(name, spec)
            fits = [] if spec.round else [self._has_the_digits(name, spec, exact)]
            if spec.minor_units:
                fits.append(f"x_{name} = CAST(x_{name} AS {_WHOLE})")
            if (not spec.round or spec.minor_units) and pa.types.is_string(kind):
                fits.append(f"NOT n_{name} RLIKE {_literal(_MORE_DIGITS)}")
            if not spec.round and pa.types.is_floating(kind):
                fits.append(f"ABS(CAST({text} AS DECIMAL(38,18))) = CAST(ABS(x_{name}) AS DECIMAL(38,18))")
            value = f"CAST({exact} AS DECIMAL(18,2))"
            return f"CASE WHEN {' AND '.join(fits)} THEN {value} END" if fits else value
        if isinstance(spec, NumberColumn):
            number = f"n_{name}" if pa.types.is_string(kind) else text
            if column.type == "DOUBLE":
                return f"CAST({number} AS DOUBLE)"
            wide = f"CAST({number} AS DECIMAL(38,12))"
            most = 2**31 if column.type == "INT" else 2**63
            inside = f"{wide} = FLOOR({wide}) AND {wide} >= {-most} AND {wide} <= {most - 1}"
            return f"CASE WHEN {inside} THEN CAST({wide} AS {column.type}) END"
        if isinstance(spec, BooleanColumn):
            cases = " ".join(f"WHEN LOWER(TRIM({text})) IN ({_list(words)}) THEN {value}" for value, words in _BOOLEANS.items())
            return f"CASE {cases} END"
        if isinstance(spec, TextColumn) and spec.mask == "last4":
            masked = f"CONCAT('****', SUBSTR({text}, -4))"
            return f"CASE WHEN LENGTH({text}) > 4 THEN {masked} WHEN {text} IS NOT NULL THEN '****' END"
        return text

    def _amount_of(self, name: str, spec: AmountColumn) -> str:
        """The exact amount in whole units of its currency."""
        if not spec.minor_units:
            return f"x_{name}"
        return self._by_currency(spec, lambda digits: f"CAST(CAST(x_{name} AS {_WHOLE}) * {_unit(digits)} AS {_EXACT})")

    def _has_the_digits(self, name: str, spec: AmountColumn, exact: str) -> str:
        """The amount has at most the digits of its currency; two if it has fewer."""
        return self._by_currency(
            spec, lambda digits: f"{exact} = CAST(CAST({exact} AS DECIMAL(30,{max(digits, 2)})) AS {_EXACT})"
        )

    def _by_currency(self, spec: AmountColumn, sql: Callable[[int], str]) -> str:
        digits, default = spec.digits_by_currency()
        currency = self._source.columns.get("currency")
        if currency is None:
            return sql(default)
        if currency.constant is not None:
            return sql(digits.get(currency.constant, default))
        groups: dict[int, list[str]] = {}
        for code, count in digits.items():
            groups.setdefault(count, []).append(code)
        cases = " ".join(
            f"WHEN UPPER(TRIM(t_currency)) IN ({_list(codes)}) THEN {sql(count)}"
            for count, codes in groups.items()
            if sql(count) != sql(default)
        )
        return f"(CASE {cases} ELSE {sql(default)} END)" if cases else sql(default)

    def _instant(self, name: str, spec: TimeColumn) -> str:
        """The instant, UTC without a zone."""
        near = (self._span.start - _NEAR, self._span.end + _NEAR) if name == self._api.day_column else _ZONE_YEARS
        utc = _from_zone(f"x_{name}", spec, *near)
        instant = utc if self._has_no_offset(spec, name) else f"COALESCE(i_{name}, {utc})"
        seconds = int(spec.plus.total_seconds())
        return _shifted(instant, seconds)

    def _has_no_offset(self, spec: TimeColumn, name: str) -> bool:
        return bool(spec.patterns) or pa.types.is_temporal(self._kinds[name])

    # --- claims -------------------------------------------------------------------------------------------------------

    def _claims(self) -> Iterator[tuple[str, str]]:
        """Name of each claim that can be broken, and the condition in which a row breaks it."""
        api = self._api
        unreadable = {name: f"(f_{name} OR t_{name} IS NOT NULL AND v_{name} IS NULL)" for name in self._source.columns}
        for name, condition in unreadable.items():
            yield api.readable_claim(name), condition
        for claim in api.claims:
            if claim.column not in self._source.columns:
                continue
            value = f"v_{claim.column}"
            if not claim.on_null:
                yield claim.name, f"{value} IS NOT NULL AND NOT ({claim.hiveql.format(x=value)})"
                continue
            given = f"{value} IS NOT NULL"
            if pa.types.is_string(next(c.arrow_type for c in api.read_columns if c.name == claim.column)):
                given = f"COALESCE({value} RLIKE {_literal(_NOT_BLANK)}, FALSE)"
            yield claim.name, f"NOT ({given}) AND NOT {unreadable[claim.column]}"
        if api.span_claim is not None:
            yield api.span_claim, f"{self._is_plausible()} AND NOT {self._is_near()}"
        if api.ahead_claim is not None and "ingested_at" in self._source.columns:
            micros = self._ahead // dt.timedelta(microseconds=1)
            later = f"UNIX_MICROS(v_{api.day_column}) > UNIX_MICROS(v_ingested_at) + {micros}"
            yield api.ahead_claim, f"COALESCE({later}, FALSE)"

    # --- rejected rows ------------------------------------------------------------------------------------------------

    def _payload(self) -> tuple[str, str]:
        """The raw row as JSON, with sorted keys; what stands before and after the number of the row."""
        masked = self._source.personal | {
            column.field for column in self._source.columns.values() if isinstance(column, TextColumn) and column.mask
        }
        parts: dict[str, str] = {FILE: _literal(_json(self._layout.place)), ROW: ""}
        for name, kind in self._fields.items():
            raw = f"v.{self._raw[name]}"
            if name in masked:
                parts[name] = f"""IF({raw} IS NULL, 'null', '"***"')"""
                continue
            text = _as_text(raw, kind)
            if pa.types.is_string(kind):
                backslash, twice, quote, escaped = map(_literal, ("\\", "\\\\", '"', '\\"'))
                text = f"REPLACE(REPLACE({text}, {backslash}, {twice}), {quote}, {escaped})"
            parts[name] = f"""COALESCE(CONCAT('"', {text}, '"'), 'null')"""
        names = sorted(parts)
        at = names.index(ROW)

        def pairs(some: Sequence[str]) -> list[str]:
            return [_literal(f"{_json(name)}: ") + f", {parts[name]}" for name in some]

        before = f", {_literal(', ')}, ".join(pairs(names[:at]))
        after = "".join(f", {_literal(', ')}, {pair}" for pair in pairs(names[at + 1 :]))
        opening = ["'{'", *([before, "', '"] if before else []), _literal(f'"{ROW}": ')]
        head = f"CONCAT({', '.join(opening)})"
        return head, f"CONCAT(''{after}, '}}')"

    def _normal_form(self, parts: Sequence[str], joins: Mapping[str, str]) -> str:
        """The normal form of some columns, joined by commas; NULL without the last of them."""
        made = [self._normal(name, joins[name]) if name in joins else "CAST(NULL AS STRING)" for name in parts]
        if len(made) == 1:
            return made[0]
        return f"CASE WHEN {made[-1]} IS NOT NULL THEN CONCAT_WS(', ', {', '.join(made)}) END"

    def _normal(self, name: str, known: str) -> str:
        folded = f"TRIM(REGEXP_REPLACE(LOWER(v.v_{name}), {_literal(f'[{_BLANK}]+')}, ' '))"
        return f"NULLIF(COALESCE({known}.normal_form, {folded}), '')"


# --- values -----------------------------------------------------------------------------------------------------------


def _adding(columns: Sequence[str], rows: str) -> str:
    return f"SELECT s.*, {', '.join(columns)} FROM ({rows}) s" if columns else rows


def _literal(value: str | dt.datetime) -> str:
    return literal(value).sql("hive")


def _list(values: Sequence[str]) -> str:
    return ", ".join(map(_literal, values))


_json = partial(json.dumps, ensure_ascii=False)


def _day(time: str) -> str:
    return f"DATE_FORMAT({time}, 'yyyy-MM-dd')"


def _finite(value: str) -> str:
    return f"CASE WHEN {value} BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308 THEN {value} END"


def _as_text(value: str, kind: pa.DataType) -> str:
    """A value as the text that the `sql` connector makes of it; a DOUBLE with 15 digits after the point."""
    if pa.types.is_string(kind):
        return value
    if pa.types.is_boolean(kind):
        return f"CASE WHEN {value} THEN 'true' WHEN NOT {value} THEN 'false' END"
    if pa.types.is_timestamp(kind):
        micros = f"PMOD(UNIX_MICROS({value}), 1000000)"
        fraction = f"IF({micros} = 0, '', CONCAT('.', LPAD(CAST({micros} AS STRING), 6, '0')))"
        return f"CONCAT({_day(value)}, 'T', DATE_FORMAT({value}, 'HH:mm:ss'), {fraction})"
    if pa.types.is_floating(kind):
        exact = f"CAST({_finite(value)} AS DECIMAL(35,15))"
        whole = f"CAST(FLOOR(ABS({exact})) AS DECIMAL(20,0))"
        rest = f"CAST(CAST(ABS({exact}) - {whole} AS DECIMAL(16,15)) * 1000000000000000 AS BIGINT)"
        fraction = f"RTRIM(REPLACE(CONCAT('.', LPAD(CAST({rest} AS STRING), 15, '0')), '0', ' '))"
        digits = f"REPLACE({fraction}, ' ', '0')"
        return f"CONCAT(IF({exact} < 0, '-', ''), CAST({whole} AS STRING), IF({digits} = '.', '', {digits}))"
    return f"CAST({value} AS STRING)"


def _escaped(text: str) -> str:
    """JSON text with its control characters escaped."""
    short = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    escaped = text
    for code in range(1, 32):
        written = short.get(chr(code), f"\\u{code:04x}")
        escaped = f"REPLACE({escaped}, {_literal(chr(code))}, {_literal(written)})"
    return f"IF({text} RLIKE {_literal(_CONTROL)}, {escaped}, {text})"


def _unit(digits: int) -> str:
    """One minor unit."""
    return f"CAST('{10.0**-digits:.6f}' AS DECIMAL(8,6))"


def _number(text: str, spec: NumberColumn) -> str:
    """A number in plain notation; NULL if the text is none."""
    number = f"REPLACE(TRIM({text}), '\u2212', '-')"
    number = f"REGEXP_REPLACE({number}, '^([^-].*)-$', '-$1')"
    if spec.thousands is not None:
        if spec.thousands == " ":
            number = f"REGEXP_REPLACE({number}, '[\u00a0\u202f]', ' ')"
        mark, decimal = re.escape(spec.thousands), re.escape(spec.decimal)
        form = f"^([+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})*({decimal}[0-9]*)?|[+-]?[0-9]+({decimal}[0-9]*)?)$"
        number = f"CASE WHEN {number} RLIKE {_literal(form)} THEN REPLACE({number}, {_literal(spec.thousands)}, '') END"
    if spec.decimal == ",":
        number = f"CASE WHEN INSTR({number}, '.') = 0 THEN REPLACE({number}, ',', '.') END"
    return f"CASE WHEN {number} RLIKE {_literal(_NUMBER)} THEN {number} END"


def _time(text: str, kind: pa.DataType, spec: TimeColumn) -> tuple[str, str]:
    """The local time, and the instant (UTC), of a value; one of them is NULL."""
    none = "CAST(NULL AS TIMESTAMP)"
    if str(spec.format) in EPOCHS:
        digits = EPOCHS[str(spec.format)]
        seconds = f"({text} DIV {10**digits})" if digits else text
        moment = f"FROM_UNIXTIME({seconds})"
        if digits:
            moment = f"CONCAT({moment}, '.', LPAD(CAST({text} % {10**digits} AS STRING), {digits}, '0'))"
        return (
            none,
            f"CASE WHEN {seconds} >= 0 AND {text} >= 0 AND {seconds} <= {_MOST_SECONDS} THEN CAST({moment} AS TIMESTAMP) END",
        )
    if pa.types.is_temporal(kind):
        return (text if pa.types.is_timestamp(kind) else f"CAST({text} AS TIMESTAMP)"), none
    if spec.format == "iso":
        return _iso(f"TRIM({text})")
    return f"COALESCE({', '.join(_by_pattern(f'TRIM({text})', pattern) for pattern in spec.patterns)}, {none})", none


def _iso(text: str) -> tuple[str, str]:
    def part(group: int, otherwise: str = "") -> str:
        found = f"COALESCE(REGEXP_EXTRACT({text}, {_literal(_TIME)}, {group}), '')"
        return f"IF({found} = '', '{otherwise}', {found})" if otherwise else found

    fraction = f"REPLACE({part(4)}, ',', '.')"
    local = f"CAST(CONCAT({part(1)}, ' ', {part(2, '00:00')}, {part(3, ':00')}, {fraction}) AS TIMESTAMP)"
    hours, minutes = f"CAST({part(6, '0')} AS INT)", f"CAST({part(7, '0')} AS INT)"
    offset = f"IF(INSTR({part(6)}, '-') = 1, 60 * {hours} - {minutes}, 60 * {hours} + {minutes})"
    instant = f"CAST(CONCAT(FROM_UNIXTIME(UNIX_TIMESTAMP({local}) - 60 * {offset}), {fraction}) AS TIMESTAMP)"
    has_offset = f"{part(5)} <> ''"
    return f"CASE WHEN NOT ({has_offset}) THEN {local} END", f"CASE WHEN {has_offset} THEN {instant} END"


def _by_pattern(text: str, pattern: str) -> str:
    found = re.findall("%.|[^%]+", pattern)
    form = "^" + "".join(_DIRECTIVES[piece] if piece in _DIRECTIVES else re.escape(piece) for piece in found) + "$"
    order = [piece for piece in found if piece in _DIRECTIVES]

    def part(directive: str) -> str:
        if directive not in order:
            return "'00'"
        return f"LPAD(REGEXP_EXTRACT({text}, {_literal(form)}, {order.index(directive) + 1}), 2, '0')"

    year = f"REGEXP_EXTRACT({text}, {_literal(form)}, {order.index('%Y') + 1})"
    day = f"{year}, '-', {part('%m')}, '-', {part('%d')}"
    clock = f"{part('%H')}, ':', {part('%M')}, ':', {part('%S')}"
    return f"CASE WHEN {text} RLIKE {_literal(form)} THEN CAST(CONCAT({day}, ' ', {clock}) AS TIMESTAMP) END"


def _shifted(time: str, seconds: int) -> str:
    return f"{time} {'+' if seconds > 0 else '-'} INTERVAL {abs(seconds)} SECOND" if seconds else time


def _from_zone(local: str, spec: TimeColumn, first: dt.datetime, last: dt.datetime) -> str:
    """A local time as an instant. Exact for instants between two bounds; of others, within a change of the clocks."""
    if spec.zone == "UTC":
        return local
    nothing = "CAST(NULL AS TIMESTAMP)"
    offset = _offset(spec.zone, first)
    cases = []
    for moment, before, after in _changes(spec.zone, first, last):
        low, high = (moment + dt.timedelta(seconds=each) for each in sorted((before, after)))
        earlier = _shifted(local, -before)
        if after > before:
            between = earlier if spec.nonexistent == "shift" else nothing
        else:
            between = {"earlier": earlier, "later": _shifted(local, -after), "reject": nothing}[spec.ambiguous]
        cases += [f"WHEN {local} < {_literal(low)} THEN {earlier}", f"WHEN {local} < {_literal(high)} THEN {between}"]
        offset = after
    rest = _shifted(local, -offset)
    return f"(CASE {' '.join(cases)} ELSE {rest} END)" if cases else rest


def _offset(zone: str, moment: dt.datetime) -> int:
    return int((moment.astimezone(ZoneInfo(zone)).utcoffset() or dt.timedelta()).total_seconds())


@lru_cache(maxsize=64)
def _changes(zone: str, first: dt.datetime, last: dt.datetime) -> list[tuple[dt.datetime, int, int]]:
    """The changes of a zone's offset between two instants: instant, and the offsets in seconds before and after."""
    found = []
    while first < last:
        following = min(first + dt.timedelta(days=1), last)
        before, after = _offset(zone, first), _offset(zone, following)
        if before != after:
            low, high = first, following
            while high - low > dt.timedelta(seconds=1):
                middle = low + (high - low) // 2
                low, high = (low, middle) if _offset(zone, middle) == after else (middle, high)
            found.append((high.replace(microsecond=0), before, after))
        first = following
    return found
