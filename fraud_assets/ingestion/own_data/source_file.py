"""The source file: one YAML file that says where each table comes from and how its columns are made.

Every mistake is reported at once, with file and line.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from fraud_assets.errors import FraudError
from fraud_assets.ingestion.own_data.connectors.avro import AvroFormat
from fraud_assets.ingestion.own_data.connectors.base import VARIABLE, Origin
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, Format
from fraud_assets.ingestion.own_data.connectors.hive import HiveLayout
from fraud_assets.ingestion.own_data.connectors.http import HttpLayout, Paging, TimeParams
from fraud_assets.ingestion.own_data.connectors.kafka import OWN_PROPERTIES, KafkaLayout
from fraud_assets.ingestion.own_data.connectors.object_store import endpoint_options, is_stored, stored
from fraud_assets.ingestion.own_data.connectors.sql import SqlLayout
from fraud_assets.ingestion.parse import MINOR_DIGITS
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS, ApiTable, with_extra_columns
from fraud_assets.sql import bounded_yaml
from hive_io import Column, QueryError
from hive_io.dialect import parse

_Loc = tuple[str | int, ...]
_SPAN = re.compile(r"([+-]?\d+)\s*(d|h|m|s)")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_PASSWORD = re.compile("//[^@]*:[^@]*@")
"""A password in an address, also one with signs that do not belong there."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
EXTRA_TYPES = ("STRING", "BOOLEAN", "INT", "BIGINT", "DOUBLE", "DECIMAL(18,2)", "TIMESTAMP", "ARRAY<STRING>")
"""Types that an extra column can have."""
IN_PLACE = {"%Y", "%m", "%d", "%H", "%M", "%S"}
"""Directives of patterns that can be read in place."""
SHOWN = 40
"""Most characters of a wrong value in a message."""


class SourceFileError(FraudError):
    """A source file has mistakes; the message names each with file and line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class _Secret(ValueError):
    """A mistake whose value must not be shown."""


class ColumnSource(_Strict):
    """How a column is made from a raw row: its origin (exactly one of a field, a constant or an expression) and its conversion.

    Attributes:
        field: name of a field, or a path into the JSON of one, such as `merchant.city`.
        constant: the same text for every row.
        expression: a DuckDB SQL expression over the fields, which are all text.
        empty: texts that mean "no value", besides the empty field.
        values: what each raw text becomes.
        unmapped: effect of a text that `values` does not have: reject the row, keep the text, or leave the column empty.
    """

    field: str | None = Field(None, alias="from")
    constant: str | None = None
    expression: str | None = None
    empty: list[str] = []
    values: dict[str, str] = {}
    unmapped: Literal["reject", "keep", "empty"] = "reject"

    @model_validator(mode="after")
    def _has_one_origin(self) -> ColumnSource:
        given = [name for name in ("field", "constant", "expression") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join("from" if name == "field" else name for name in given) or "none of them"
            raise ValueError(f"expected one of from, constant and expression; found {found}")
        return self


class TextColumn(ColumnSource):
    """A text.

    Attributes:
        mask: `hash` replaces the text by a keyed hash, `last4` all but its last four characters.
    """

    mask: Literal["hash", "last4"] | None = None


class NumberColumn(ColumnSource):
    """A number.

    Attributes:
        decimal: the decimal mark.
        thousands: mark between groups of digits, which is removed; None if there is none.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'", "_"] | None = None

    @model_validator(mode="after")
    def _marks_differ(self) -> NumberColumn:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; expected two different marks")
        return self


class AmountColumn(NumberColumn):
    """An amount of money. In the table it is never negative; `transaction_type` says which way it goes.

    Attributes:
        sign: what a sign means. `none`: amounts have no sign, and a negative one is rejected. `debits_negative`,
            `debits_positive`: the sign is removed, and the field `_direction` is `debit` or `credit`.
        minor_units: True if amounts are in the smallest unit of their currency, such as cents.
        digits: digits after the point by currency, where they differ from ISO 4217; `default` for a currency not named.
        round: True to round to two digits; otherwise a third digit makes an amount unreadable.
    """

    sign: Literal["none", "debits_negative", "debits_positive"] = "none"
    minor_units: bool = False
    digits: dict[str, int] = {}
    round: bool = False

    def digits_by_currency(self) -> tuple[dict[str, int], int]:
        """Digits after the point by currency, and those of a currency that is not named."""
        digits = {**MINOR_DIGITS, **{code.upper(): count for code, count in self.digits.items()}}
        default = digits.pop("DEFAULT", 2)
        return digits, default


class TimeColumn(ColumnSource):
    """A time.

    Attributes:
        format: `iso`, `epoch_s`, `epoch_ms`, `epoch_us`, `counter`, or patterns of strptime such as `%d.%m.%Y %H:%M`.
        unit, since: with `counter`: the unit that is counted, and the instant of 0.
        zone: zone of times that name none.
        ambiguous: reading of a local time that occurs twice, when clocks go back.
        nonexistent: reading of a local time that is skipped, when clocks go forward; `shift` moves it forward by the gap.
        plus: duration that is added, such as `7d`, `12h` or `-30m`.
    """

    format: str | list[str] = "iso"
    unit: Literal["seconds", "minutes", "hours", "days"] | None = None
    since: dt.datetime | None = None
    zone: str = "UTC"
    ambiguous: Literal["earlier", "later", "reject"] = "earlier"
    nonexistent: Literal["shift", "reject"] = "reject"
    plus: dt.timedelta = dt.timedelta()

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(
                f"unknown time zone; {_suggestion(zone, available_timezones()) or 'expected a name like Europe/Berlin'}"
            )
        return zone

    @field_validator("plus", mode="before")
    @classmethod
    def _is_duration(cls, value: Any) -> Any:
        if isinstance(value, str):
            match = _SPAN.fullmatch(value.strip())
            if not match:
                raise ValueError("expected a number and a unit: 7d, 12h, 30m or 45s")
            return dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
        return value

    @model_validator(mode="after")
    def _counter_has_a_start(self) -> TimeColumn:
        given = (self.unit is not None, self.since is not None)
        if self.format == "counter" and not all(given):
            raise ValueError(
                "a counter needs `unit` (what it counts) and `since` (the instant of 0, such as 2026-01-01T00:00:00)"
            )
        if self.format != "counter" and any(given):
            raise ValueError("unit and since belong to `format: counter`")
        for pattern in self.patterns:
            if "%" not in pattern:
                known = ["iso", "epoch_s", "epoch_ms", "epoch_us", "counter"]
                raise ValueError(
                    f"unknown format {pattern!r}; {_suggestion(pattern, known) or 'expected one of ' + ', '.join(known)}, or a "
                    "pattern such as %d.%m.%Y %H:%M"
                )
        return self

    @property
    def patterns(self) -> list[str]:
        """The strptime patterns; empty for the named formats."""
        given = [self.format] if isinstance(self.format, str) else self.format
        return [] if self.format in ("iso", "epoch_s", "epoch_ms", "epoch_us", "counter") else given

    @property
    def origin(self) -> dt.datetime:
        """The instant of a counter's 0, UTC without a zone."""
        since = self.since or dt.datetime(1970, 1, 1)
        aware = since if since.tzinfo else since.replace(tzinfo=ZoneInfo(self.zone))
        return aware.astimezone(dt.UTC).replace(tzinfo=None)


class BooleanColumn(ColumnSource):
    """A truth value, from true or false, yes or no, t or f, y or n, 1 or 0; `values` makes other texts one of them."""


class ListColumn(ColumnSource):
    """A list of texts, from a JSON array or from a text with a separator."""

    separator: str = ","


class Store(_Strict):
    """Where an object store is; credentials are those of the environment."""

    endpoint: str | None = None
    region: str | None = None
    anonymous: Literal["true", "false"] = "false"

    @field_validator("endpoint")
    @classmethod
    def _is_server(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/?#@]+/?", value):
            raise _Secret("expected the address of a server, such as https://minio.example.com:9000, without user or password")
        return value

    def options(self) -> dict[str, str]:
        return endpoint_options(self.endpoint, self.region, self.anonymous == "true")


class Files(_Strict):
    """The files of a table; see `FileLayout`."""

    path: str
    format: Format | None = None
    delimiter: str | None = None
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True
    spill_days: int = Field(1, ge=0, le=31)
    valid_from: dt.date | None = None
    store: Store | None = None

    @field_validator("path")
    @classmethod
    def _is_place(cls, value: str) -> str:
        if is_stored(value):
            try:
                stored(value, {})
            except ValueError as error:
                # it may hold a password
                raise _Secret(str(error)) from None
        return value

    @model_validator(mode="after")
    def _has_a_store(self) -> Files:
        if self.store is not None and not is_stored(self.path):
            raise ValueError("store belongs to a path like s3://bucket/key")
        if self.store is not None and self.store.region and self.path.startswith("gs:"):
            raise ValueError("region belongs to a path like s3://bucket/key; a bucket of gs:// needs none")
        return self

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t"}.get(value or "", value)
        if value is not None and len(value) != 1:
            raise ValueError("expected one character, or `tab`")
        return value

    @field_validator("quote")
    @classmethod
    def _is_quote(cls, value: str) -> str:
        if value != "none" and len(value) != 1:
            raise ValueError("expected one character, or `none`")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_codec(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(
                "unknown encoding; expected one that Python knows, such as utf-8, windows-1252 or utf-16"
            ) from None
        return value

    def origin(self, folder: Path) -> FileLayout:
        """The layout, with a relative path taken from `folder`."""
        return FileLayout(
            stored(self.path, self.store.options() if self.store else {}) if is_stored(self.path) else folder / self.path,
            self.format,
            self.delimiter,
            None if self.quote == "none" else self.quote,
            self.encoding,
            self.header,
            self.spill_days,
            self.valid_from,
        )


def _variable(name: str | None) -> str | None:
    """The name of an environment variable that holds a secret."""
    if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        # a secret that was written here must not be shown
        raise _Secret("expected the name of an environment variable, such as PAYMENTS_TOKEN, and not the secret itself")
    if name is not None and name.startswith("FRAUD_"):
        raise ValueError("a variable that begins with FRAUD_ is a setting; choose another name")
    return name


def _is_address(value: str) -> str:
    """A URL without a password."""
    if _PASSWORD.search(value):
        raise _Secret("a password must not be in the source file; name its environment variable under `password`")
    return value


def _is_http(value: str) -> str:
    """The URL of an HTTP server, without user and password."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("expected a URL that starts with http:// or https://")
    if "@" in urlsplit(value).netloc or _PASSWORD.search(value):
        raise _Secret("user and password must not be in the URL; name them under `basic`")
    return value


class Window(_Strict):
    """Parameters of the first instant of a span and of the one after its last, and how instants are written."""

    since: str | None = None
    until: str | None = None
    format: str = "iso"

    @field_validator("format")
    @classmethod
    def _is_format(cls, value: str) -> str:
        return _instant_format(value)

    def params(self) -> TimeParams:
        return TimeParams(self.since, self.until, self.format)


class AsOf(_Strict):
    """The parameter of an instant, and how it is written."""

    param: str
    format: str = "iso"

    @field_validator("format")
    @classmethod
    def _is_format(cls, value: str) -> str:
        return _instant_format(value)


class Pages(_Strict):
    """How the next page is asked for; see `Paging`."""

    by: Literal["link", "cursor", "page", "offset"]
    next: str | None = None
    param: str | None = None
    first: int = 1
    size_param: str | None = None
    size: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _is_complete(self) -> Pages:
        if self.by != "link" and not self.param:
            raise ValueError(f"paging by {self.by} needs `param`, the name of the parameter")
        if self.by == "cursor" and not self.next:
            raise ValueError("paging by cursor needs `next`, the path of the cursor in the answer, such as meta.next_cursor")
        return self


class Arrivals(_Strict):
    """For `fraud watch`: the parameter that asks for rows after one, and the field of its value."""

    param: str
    field: str


class Basic(_Strict):
    """Basic authentication: a user, and the environment variable of the password."""

    user: str
    password: str

    _named = field_validator("password")(_variable)


class Http(_Strict):
    """An API of a table; see `HttpLayout`."""

    url: str
    records: str | None = None
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    token: str | None = None
    basic: Basic | None = None
    paging: Pages = Pages(by="link")
    window: Window | None = None
    as_of: AsOf | None = None
    arrivals: Arrivals | None = None
    valid_from: dt.date | None = None

    _named = field_validator("token")(_variable)

    _without_password = field_validator("url")(_is_http)

    @field_validator("params")
    @classmethod
    def _hold_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        if any(VARIABLE.search(text) for text in value.values()):
            raise ValueError("secrets belong into `headers` or `token`: addresses are written to logs")
        return value

    @model_validator(mode="after")
    def _has_one_authorization(self) -> Http:
        if self.token and (self.basic or "authorization" in map(str.lower, self.headers)):
            raise ValueError("expected one of token, basic and a header Authorization")
        return self

    def origin(self, folder: Path) -> HttpLayout:
        """The layout."""
        pages, basic, arrivals = self.paging, self.basic, self.arrivals
        return HttpLayout(
            self.url,
            self.records,
            self.params,
            self.headers,
            self.token,
            basic.user if basic else None,
            basic.password if basic else None,
            Paging(pages.by, pages.next, pages.param, pages.first, pages.size_param, pages.size),
            self.window.params() if self.window else None,
            TimeParams(since=self.as_of.param, format=self.as_of.format) if self.as_of else None,
            arrivals.param if arrivals else None,
            arrivals.field if arrivals else None,
            self.valid_from,
        )


class ColumnWindow(_Strict):
    """The column by which a run reads the rows of its days, and how times are written in it."""

    column: str
    format: str = "native"
    spill_days: int | None = Field(None, ge=0, le=31)

    @field_validator("format")
    @classmethod
    def _is_format(cls, value: str) -> str:
        return value if value == "native" else _instant_format(value)


class Sql(_Strict):
    """A table or query of a database; see `SqlLayout`."""

    url: str
    table: str | None = None
    query: str | None = None
    password: str | None = None
    window: ColumnWindow | None = None
    cursor: str | None = None
    valid_from: dt.date | None = None

    _named = field_validator("password")(_variable)
    _without_password = field_validator("url")(_is_address)

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Sql:
        if (self.table is None) == (self.query is None):
            raise ValueError("expected one of table and query")
        return self

    def origin(self, folder: Path) -> SqlLayout:
        """The layout, with a relative path of SQLite taken from `folder`."""
        url = self.url
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            url = f"sqlite:///{folder.absolute() / url.removeprefix('sqlite:///')}"
        window = self.window
        return SqlLayout(
            url,
            self.table,
            self.query,
            self.password,
            window.column if window else None,
            window.format if window else "native",
            window.spill_days if window else None,
            self.cursor,
            self.valid_from,
        )


class HiveWindow(_Strict):
    """The column by which a run reads the rows of its days; see `HiveLayout`."""

    column: str
    format: Literal["native", "%Y-%m-%d", "%Y%m%d"] = "native"


class Hive(_Strict):
    """A table or query of the warehouse itself, read in place; see `HiveLayout`."""

    table: str | None = None
    query: str | None = None
    window: HiveWindow | None = None
    spill_days: int = Field(1, ge=0, le=31)
    valid_from: dt.date | None = None
    folders: dict[str, str] = {}

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Hive:
        if (self.table is None) == (self.query is None):
            raise ValueError("expected one of table and query")
        return self

    @field_validator("query")
    @classmethod
    def _is_hiveql(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse(f"SELECT * FROM ({value}\n) q")
            except QueryError as error:
                raise ValueError(f"{error}; a view on the server may use what HiveQL here may not") from None
        return value

    @field_validator("table")
    @classmethod
    def _has_two_names(cls, value: str | None) -> str | None:
        return None if value is None else _two_names(value)

    @field_validator("folders")
    @classmethod
    def _have_two_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            _two_names(name)
        return value

    def origin(self, folder: Path) -> HiveLayout:
        """The layout, with relative folders taken from `folder`."""
        window = self.window
        return HiveLayout(
            self.table,
            self.query,
            window.column.lower() if window else None,
            window.format if window else "native",
            self.valid_from,
            {name: folder.absolute() / path for name, path in self.folders.items()},
            self.spill_days,
        )


def _two_names(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", value):
        raise ValueError("expected database.table, in lower case")
    return value


_SECRETS = ("password", "secret", "key.pem", "jaas.config", "userinfo", "oauthbearer.config")
"""Ends of the names of librdkafka's properties that hold a secret."""


class Registry(_Strict):
    """A schema registry; see `AvroFormat`. The URL may stand alone."""

    url: str
    basic: Basic | None = None
    token: str | None = None

    _named = field_validator("token")(_variable)
    _without_password = field_validator("url")(_is_http)

    @model_validator(mode="before")
    @classmethod
    def _is_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_one_authorization(self) -> Registry:
        if self.token and self.basic:
            raise ValueError("expected one of token and basic")
        return self


class Kafka(_Strict):
    """A topic of Apache Kafka; see `KafkaLayout` and `AvroFormat`."""

    brokers: str
    topic: str
    format: Literal["json", "avro"] = "json"
    schema_file: str | None = Field(None, alias="schema")
    registry: Registry | None = None
    options: dict[str, str] = {}
    spill_days: int | None = Field(None, ge=0, le=31)
    valid_from: dt.date | None = None

    @field_validator("brokers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for address in value.split(","):
            if not re.fullmatch(r"[A-Za-z0-9_.\-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", address.strip()):
                raise _Secret("expected addresses as host:port, separated by commas, without a user or password")
        return ",".join(address.strip() for address in value.split(","))

    @field_validator("options")
    @classmethod
    def _hold_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if name.endswith(_SECRETS) and not VARIABLE.fullmatch(text):
                raise _Secret(f"{name} must not be in the source file; write ${{NAME}}, the environment variable that holds it")
            for variable in VARIABLE.findall(text):
                _variable(variable)
            if name in OWN_PROPERTIES:
                raise ValueError(f"{name} is set by this connector")
        return value

    @model_validator(mode="after")
    def _has_one_schema(self) -> Kafka:
        given = [name for name, part in (("schema", self.schema_file), ("registry", self.registry)) if part is not None]
        if self.format == "avro" and len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(
                "format: avro needs one of schema (a file, for messages that are the value alone) and registry (the URL of a "
                f"schema registry, for messages in Confluent's wire format); found {found}"
            )
        if self.format == "json" and given:
            raise ValueError(f"{' and '.join(given)} belongs to `format: avro`")
        return self

    def origin(self, folder: Path) -> KafkaLayout:
        """The layout, with relative paths, of the schema and of certificates, taken from `folder`."""
        options = {
            name: str(folder.absolute() / value) if name.endswith(".location") and value != "probe" else value
            for name, value in self.options.items()
        }
        avro = None
        if self.schema_file is not None:
            avro = AvroFormat(folder / self.schema_file)
        elif self.registry is not None:
            basic = self.registry.basic
            avro = AvroFormat(
                None,
                self.registry.url,
                basic.user if basic else None,
                basic.password if basic else None,
                self.registry.token,
            )
        return KafkaLayout(self.brokers, self.topic, options, self.spill_days, self.valid_from, avro)


def _instant_format(value: str) -> str:
    known = ["iso", "epoch_s", "epoch_ms", "epoch_us"]
    if value not in known and "%" not in value:
        raise ValueError(
            f"unknown format; {_suggestion(value, known) or 'expected one of ' + ', '.join(known)}, or a pattern such as %Y%m%d"
        )
    return value


class Apis(_Strict):
    """The three APIs: they fill every table that the source file does not describe."""

    url: str

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("expected a URL that starts with http:// or https://")
        return value


class _Table(_Strict):
    files: Files | None = None
    http: Http | None = None
    sql: Sql | None = None
    kafka: Kafka | None = None
    hive: Hive | None = None
    where: str | None = None
    columns: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    unused: list[str] = []
    personal: list[str] = []

    @model_validator(mode="after")
    def _has_one_origin(self) -> _Table:
        given = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"expected one of {', '.join(ORIGINS)}, which says where the rows are; found {found}")
        return self

    def origin(self, folder: Path) -> Origin:
        """Where the rows are."""
        made: Files | Http | Sql | Kafka | Hive = next(part for name in ORIGINS if (part := getattr(self, name)) is not None)
        return made.origin(folder)


ORIGINS = ("files", "http", "sql", "kafka", "hive")
"""Keys of a table that say where its rows are; exactly one of them is given."""


class _Top(_Strict):
    version: Literal["1"] = "1"
    apis: Apis | None = None
    tables: dict[str, Any] = {}


@dataclass(frozen=True)
class TableSource:
    """Where a table comes from.

    Attributes:
        api: the table, with the extra columns.
        columns: for each column of the table, how it is made; columns that are not named are NULL.
        where: expression over the raw row; rows for which it does not hold are no rows of this table.
        unused: fields that are not needed, as names or patterns such as `V*`.
        personal: fields whose values are masked in quarantine.
        lines: line of each column in the source file.
    """

    api: ApiTable
    origin: Origin
    columns: Mapping[str, ColumnSource]
    where: str | None
    unused: frozenset[str]
    personal: frozenset[str]
    lines: Mapping[str, int]
    file: Path


@dataclass(frozen=True)
class SourceFile:
    """A source file without mistakes.

    Attributes:
        apis: base URL of the three APIs, which fill the tables that are not in `tables`; None if those tables stay empty.
    """

    path: Path
    apis: str | None
    tables: Mapping[str, TableSource]

    @property
    def apis_with_extra_columns(self) -> Mapping[str, ApiTable]:
        """Every source table, with the columns that this file adds."""
        return {**API_TABLES, **{name: table.api for name, table in self.tables.items()}}


@dataclass(frozen=True)
class Mistake:
    """A mistake in a source file."""

    line: int
    message: str


def read_source_file(path: Path) -> SourceFile:
    """Read and check a source file.

    Raises:
        SourceFileError: with every mistake, in the order of their lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceFileError(
            f"{path}: no such file. `fraud sources guess DATA` proposes a source file for your data"
        ) from None
    except (OSError, UnicodeError) as error:
        raise SourceFileError(f"{path}: cannot be read: {error}") from None
    reading = _Reading(path, text)
    source = reading.source()
    if reading.mistakes or source is None:
        found = sorted(set(reading.mistakes), key=lambda mistake: (mistake.line, mistake.message))
        raise SourceFileError("\n".join(f"{path}:{mistake.line}: {mistake.message}" for mistake in found))
    return source


class _Reading:
    """A source file being checked: its content, the line of each part, and the mistakes found so far."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self._lines: dict[_Loc, int] = {(): 1}
        self._content: Any = None
        try:
            node = bounded_yaml.compose(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            hint = ". A value that begins with * needs quotes: '*.csv'" if "alias" in str(error.context) else ""
            self.mistakes.append(Mistake(mark.line + 1 if mark else 1, f"not valid YAML: {error.problem}{hint}"))
        except yaml.YAMLError as error:
            self.mistakes.append(Mistake(1, f"not valid YAML: {error}"))
        else:
            self._content = self._plain(node, ()) if node is not None else {}

    def source(self) -> SourceFile | None:
        """The source, as far as it could be read; None if nothing could."""
        if self.mistakes and self._content is None:
            return None
        top = self._checked(_Top, self._content, ())
        named = self._content.get("tables") if isinstance(self._content, dict) else None
        tables = {
            name: table
            for name, content in (named.items() if isinstance(named, dict) else ())
            if (table := self._table(name, content)) is not None
        }
        if top is None:
            return None
        if "transactions" not in (named or {}) and top.apis is None:
            self._add(("tables",), "nothing says where `transactions` come from; describe them under `tables`, or name `apis`")
        return SourceFile(self.path, top.apis.url if top.apis else None, tables)

    def _table(self, name: str, content: Any) -> TableSource | None:
        loc: _Loc = ("tables", name)
        if name not in API_TABLES:
            self._add(
                loc, f"unknown table {name!r}; {_suggestion(name, API_TABLES) or 'the tables are ' + ', '.join(API_TABLES)}"
            )
            return None
        api = API_TABLES[name]
        given = self._checked(_Table, content, loc)
        raw = content.get("columns") if isinstance(content, dict) else None
        columns: dict[str, ColumnSource] = {}
        types = {column.name: column.arrow_type for column in api.read_columns}
        for column, spec in raw.items() if isinstance(raw, dict) else ():
            at = (*loc, "columns", column)
            if column not in types:
                hint = _suggestion(column, types) or f"the columns are {', '.join(types)}"
                self._add(at, f"unknown column {column!r} of {name}; {hint}")
                continue
            read = self._checked(_model_of(types[column]), {"from": spec} if isinstance(spec, str) else spec, at)
            if read is not None:
                columns[column] = read
        extra = self._extra(api, content.get("extra") if isinstance(content, dict) else None, loc, columns)
        required = [claim.column for claim in api.claims if claim.on_null]
        for column in required:
            if not isinstance(raw, dict) or column not in raw:
                self._add((*loc, "columns"), f"{name} needs a column {column!r}; say where it comes from")
        if given is None:
            return None
        origin = given.origin(self.path.parent)
        if api.day_column is None and not origin.by_day and origin.valid_from is None:
            (key,) = (key for key in ORIGINS if getattr(given, key) is not None)
            by_day = {"files": "put {day} into the path, or ", "http": "name the parameter of the day under `as_of`, or "}
            self._add(
                (*loc, key),
                f"{name} is a snapshot of each day: {by_day.get(key, '')}state the first day for which the rows hold, as "
                "`valid_from: 2026-01-01`",
            )
        if isinstance(origin, HiveLayout):
            columns = self._in_place(api, origin, given, columns, loc)
        # names are lower case in Hive
        spelled = str.lower if isinstance(origin, HiveLayout) else str
        added = {column.name for column in extra}
        lines = {column: self._line((*loc, "extra" if column in added else "columns", column)) for column in columns}
        lines["where"] = self._line((*loc, "where"))
        return TableSource(
            with_extra_columns(api, extra),
            origin,
            columns,
            given.where,
            frozenset(map(spelled, given.unused)),
            frozenset(map(spelled, given.personal)),
            lines,
            self.path,
        )

    def _in_place(
        self, api: ApiTable, origin: HiveLayout, given: _Table, columns: dict[str, ColumnSource], loc: _Loc
    ) -> dict[str, ColumnSource]:
        """The columns, with their fields in lower case. What has no equivalent in HiveQL is a mistake."""
        if api.table.name not in ("transactions", "customers", "credit_scores"):
            self._add((*loc, "hive"), f"{api.table.name} is not read in place; it is small: read it by `sql`")
        if api.day_column is not None and origin.window is None:
            self._add(
                (*loc, "hive"),
                "name the column of the day under `window`: a run reads its days by it, and it dates a row without a time",
            )
        if given.where is not None:
            self._add((*loc, "where"), "`where` is not evaluated in place; write it into `query`")
        made = {}
        for name, column in columns.items():
            if problem := _problem_in_place(column):
                at = (*loc, "columns" if name in api.paths else "extra", name)
                self._add(at, f"{name}: {problem} in place; read the table by `sql` instead")
            made[name] = column.model_copy(update={"field": column.field.lower()}) if column.field else column
        return made

    def _extra(self, api: ApiTable, raw: Any, loc: _Loc, columns: dict[str, ColumnSource]) -> list[Column]:
        """The extra columns, in the order of the source file; how each is made is added to `columns`."""
        if not isinstance(raw, dict):
            return []
        if raw and api is not TRANSACTIONS:
            self._add((*loc, "extra"), f"{api.table.name} cannot have extra columns; only transactions can")
            return []
        extra: list[Column] = []
        for name, spec in raw.items():
            at = (*loc, "extra", name)
            given, kind = spec, "STRING"
            if isinstance(spec, dict):
                kind = spec.get("type", kind)
                given = {key: value for key, value in spec.items() if key != "type"}
            elif isinstance(spec, str):
                given = {"from": spec}
            if name in api.table.column_types:
                where = "name it under `columns`" if name in api.paths else "it is computed"
                self._add(at, f"{name!r} is a column of {api.table.name} already; {where}")
            elif not _NAME.fullmatch(name):
                self._add(at, f"{name!r} is not a valid name; use at most 64 lower-case letters, digits and _, a letter first")
            elif kind not in EXTRA_TYPES:
                self._add((*at, "type"), f"unknown type {kind!r}; expected one of {', '.join(EXTRA_TYPES)}")
            else:
                column = Column(name, kind, f"From the source file {self.path.name}.")
                read = self._checked(_model_of(column.arrow_type), given, at)
                if read is not None:
                    columns[name] = read
                    extra.append(column)
        return extra

    def _checked(self, model: type[Any], content: Any, loc: _Loc) -> Any:
        """The content as the model; None if it does not fit, with the mistakes recorded."""
        try:
            return model.model_validate(content)
        except ValidationError as error:
            for detail in error.errors():
                self._add((*loc, *detail["loc"]), _message(detail, model))
            return None

    def _add(self, loc: _Loc, message: str) -> None:
        self.mistakes.append(Mistake(self._line(loc), message))

    def _line(self, loc: _Loc) -> int:
        while loc not in self._lines:
            loc = loc[:-1]
        return self._lines[loc]

    def _plain(self, node: Any, loc: _Loc) -> Any:
        """A YAML node as dicts, lists and texts. Every scalar stays the text it is: NO is Norway, 007 keeps its zeros."""
        self._lines.setdefault(loc, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key, value in node.value:
                name = str(key.value)
                at = (*loc, name)
                if name in result:
                    self.mistakes.append(Mistake(key.start_mark.line + 1, f"{name!r} is given twice"))
                self._lines[at] = key.start_mark.line + 1
                result[name] = self._plain(value, at)
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*loc, number)) for number, item in enumerate(node.value)]
        return None if node.tag == "tag:yaml.org,2002:null" and node.value == "" else node.value


def _problem_in_place(column: ColumnSource) -> str:
    """What of a column has no equivalent in HiveQL; empty if everything has."""
    if column.expression is not None:
        return "an expression is DuckDB's, and is not evaluated"
    if isinstance(column, ListColumn):
        return "a list is not made"
    if isinstance(column, TextColumn) and column.mask == "hash":
        return "the key of a keyed hash would be in the server's log, and nothing is hashed"
    if isinstance(column, TimeColumn) and column.format == "counter":
        return "a counter is not read"
    if isinstance(column, TimeColumn):
        for pattern in column.patterns:
            directives = re.findall("%.", pattern)
            if set(directives) - IN_PLACE or "%Y" not in directives or len(set(directives)) < len(directives):
                return f"the pattern {pattern!r} is not read"
    return ""


def _model_of(kind: pa.DataType) -> type[ColumnSource]:
    if pa.types.is_timestamp(kind):
        return TimeColumn
    if pa.types.is_decimal(kind):
        return AmountColumn
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return NumberColumn
    if pa.types.is_boolean(kind):
        return BooleanColumn
    return ListColumn if pa.types.is_list(kind) else TextColumn


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """A mistake that pydantic found, in words."""
    place = str(detail["loc"][-1]) if detail["loc"] else ""
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _keys(_model_at(model, detail["loc"][:-1]))
        return f"unknown key {place!r}; {_suggestion(place, known) or 'the keys are ' + ', '.join(known)}"
    if kind == "missing":
        return f"{place!r} is missing"
    text = detail["msg"].removeprefix("Value error, ")
    if kind in ("model_type", "dict_type"):
        text = "expected keys with values"
    given = detail["input"]
    hidden = isinstance(given, (dict, BaseModel)) or isinstance(detail.get("ctx", {}).get("error"), _Secret)
    found = "" if hidden else f" (found: {str(given)[:SHOWN]!r})"
    prefix = f"{place}: " if place else ""
    return f"{prefix}{text[0].lower()}{text[1:]}{found}"


def _model_at(model: type[BaseModel], loc: Iterable[str | int]) -> type[BaseModel]:
    """The model of the part of a model at a place."""
    for name in loc:
        for key, info in model.model_fields.items():
            if name in (key, info.alias):
                inner = list(_models(info.annotation))
                model = inner[0] if inner else model
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _keys(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _suggestion(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
