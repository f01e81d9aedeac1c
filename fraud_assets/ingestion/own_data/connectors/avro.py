"""Messages and files in Avro, through fastavro.

A message is read by the schema of a file, or in Confluent's wire format by a schema registry. A file has its own.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context
from functools import cached_property
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_client import Advice, JsonClient, NotFound
from fraud_assets.ingestion.own_data.connectors import base
from fraud_assets.ingestion.own_data.connectors.sql import text_of

_MAGIC = b"\x00"
"""First byte of Confluent's wire format; four bytes with the number of the schema follow, highest first."""
_FILE = b"Obj\x01"
"""First bytes of a file."""
_HEADER = 5
"""Bytes before the value in Confluent's wire format."""
_BROKEN = (ArithmeticError, EOFError, LookupError, RecursionError, TypeError, ValueError, struct.error)
"""What fastavro raises for bytes that are no value of the schema."""
_FLOAT, _DECIMAL = "fraud-float", "fraud-decimal"
"""Logical types of ours, which are put into schemas: fastavro reads a float with the digits of a double, and rounds a decimal
that has more digits than its precision."""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


class NotDecoded(Exception):
    """A message is no value of its schema; says why, always in the same words."""


@dataclass(frozen=True)
class AvroFormat:
    """Where the schemas of messages are: exactly one of a file and a registry.

    Attributes:
        schema: file with the schema of every message. A message is the value alone.
        registry: URL of a schema registry. A message is in Confluent's wire format, which names its schema.
        user, password: for basic authentication at the registry; the password is an environment variable.
        token: environment variable of a bearer token for the registry.
    """

    schema: Path | None = None
    registry: str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None

    @property
    def version(self) -> str:
        """Changes with the file of the schema. What a registry has under a number does not change."""
        if self.schema is None:
            return str(self.registry)
        return f"{self.schema} {self.schema.stat().st_mtime_ns if self.schema.exists() else 'missing'}"

    def decoder(self, context: base.Context) -> AvroDecoder:
        """A decoder, which reads schemas when they are needed."""
        return AvroDecoder(self, context)


class AvroDecoder:
    """Decodes messages.

    Args:
        context: limits, and the environment variables that the format names, which are read with the first request.
    """

    def __init__(self, form: AvroFormat, context: base.Context) -> None:
        self._form = form
        self._context = context
        self._by_id: dict[int, Any] = {}

    def record(self, value: bytes) -> dict[str, Any]:
        """A message as a record of texts, as one of JSON is read: records, maps and arrays are kept, with texts in them.

        Raises:
            NotDecoded: it is no record of its schema, or the registry has no such schema.
            SourceError: a schema cannot be read.
        """
        schema, start = (self._of_file, 0) if self._form.schema else (self._schema_of(value), _HEADER)
        stream = BytesIO(value)
        stream.seek(start)
        try:
            found = _library().schemaless_reader(stream, schema)
        except _BROKEN as error:
            why = "it ends early" if isinstance(error, EOFError) else type(error).__name__
            raise NotDecoded(f"it is no value of its schema: {why}{self._hint(value)}") from None
        if left := len(value) - stream.tell():
            raise NotDecoded(f"it is no value of its schema: {left:,} bytes follow after it{self._hint(value)}")
        if not isinstance(found, dict):
            raise NotDecoded("it is a value of its schema, but no record, whose fields are those of a row")
        return {name: _plain(part) for name, part in found.items()}

    def _hint(self, value: bytes) -> str:
        is_framed = self._form.schema and value[:1] == _MAGIC and len(value) > _HEADER
        return "; it begins as Confluent's wire format does, which `registry` reads" if is_framed else ""

    def abort(self) -> None:
        """End a request in progress, and refuse further ones. May be called by any thread."""
        if "_client" in vars(self):
            self._client.abort()

    def close(self) -> None:
        """Release connections."""
        if "_client" in vars(self):
            self._client.close()

    # --- schemas ------------------------------------------------------------------------------------------------------

    @cached_property
    def _of_file(self) -> Any:
        file = self._form.schema
        assert file is not None
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise SourceError(f"{file}: the schema cannot be read: {error}. Check `schema` in the source file") from None
        schema = _parsed(text, {}, str(file))
        if not (isinstance(schema, dict) and schema.get("type") == "record"):
            raise SourceError(f"{file}: expected the schema of a record, whose fields are those of a row")
        return schema

    def _schema_of(self, value: bytes) -> Any:
        """The schema that a message in Confluent's wire format names."""
        if value[:1] != _MAGIC or len(value) < _HEADER:
            raise NotDecoded("it is not in Confluent's wire format, which begins with a byte 0 and the number of a schema")
        number = int.from_bytes(value[1:_HEADER], "big")
        if number not in self._by_id:
            self._by_id[number] = self._asked(number)
        return self._by_id[number]

    def _asked(self, number: int) -> Any:
        place = f"schema {number} of {self._form.registry}"
        try:
            answer = self._get(f"/schemas/ids/{number}")
        except NotFound:
            # a path that every registry has, to anyone: without it, the address is wrong, and not the message
            self._get("/schemas/types")
            raise NotDecoded(f"the registry has no schema {number}") from None
        names: dict[str, Any] = {}
        self._learn(answer, names, set())
        return _parsed(_text_of(answer, place), names, place)

    def _learn(self, answer: Any, names: dict[str, Any], known: set[tuple[str, str]]) -> None:
        """Add the schemas that one refers to."""
        for each in answer.get("references") or ():
            subject, version = str(each["subject"]), str(each["version"])
            if (subject, version) in known:
                continue
            known.add((subject, version))
            found = self._get(f"/subjects/{quote(subject, safe='')}/versions/{quote(version, safe='')}")
            self._learn(found, names, known)
            place = f"version {version} of {subject} in {self._form.registry}"
            _parsed(_text_of(found, place), names, place)

    def _get(self, path: str) -> Any:
        content, _ = self._client.get(self._client.address(str(self._form.registry).rstrip("/") + path))
        return content

    @cached_property
    def _client(self) -> JsonClient:
        form, secret = self._form, self._context.secret
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if form.token:
            headers["Authorization"] = f"Bearer {secret(form.token)}"
        auth = (form.user, secret(form.password)) if form.user and form.password else None
        return JsonClient(
            _advice(form), auth=auth, headers=headers, limits=self._context.limits, attempts=self._context.attempts
        )


def records_of(raw: RawIOBase) -> Iterator[dict[str, Any]]:
    """The records of a file, as `AvroDecoder.record` returns them.

    Raises:
        SourceError: it is no file of Avro, is damaged or incomplete, or has values that are no records.
    """
    library = _library()
    # a length that is none is a ValueError of Python's reader, and a SystemError of Arrow's
    file = BufferedReader(raw)
    if file.peek(len(_FILE))[: len(_FILE)] != _FILE:
        raise SourceError("not a file of Avro, which begins with Obj")
    try:
        blocks = library.block_reader(file)
        schema = _parsed(blocks.metadata["avro.schema"], {}, "its schema")
        for block in blocks:
            for _ in range(block.num_records):
                found = library.schemaless_reader(block.bytes_, schema)
                if not isinstance(found, dict):
                    raise SourceError("expected records, whose fields are those of a row")
                yield {name: _plain(part) for name, part in found.items()}
    except (*_BROKEN, MemoryError) as error:
        raise SourceError(f"cannot be read as avro: {str(error) or type(error).__name__}") from None


def _advice(form: AvroFormat) -> Advice:
    named = form.token or form.password
    renew = f"What {named} holds is wrong or has expired; renew it" if named else "Name `basic` or `token` under `registry`"
    check = "Check `registry` in the source file"
    return Advice(
        unreachable=f"{check}, and that this machine reaches it",
        check=check[0].lower() + check[1:],
        url=check,
        refused={401: renew, 403: f"{renew}, or ask for the right to read schemas", 0: check},
        rows="a schema",
    )


def _text_of(answer: Any, place: str) -> str:
    """The schema in an answer of a registry.

    Raises:
        NotDecoded: it is not one of Avro.
        SourceError: the answer is none of a registry.
    """
    kind = answer.get("schemaType", "AVRO") if isinstance(answer, dict) else None
    if kind is None or not isinstance(answer.get("schema"), str):
        raise SourceError(f"{place}: the answer has no schema. Check `registry` in the source file")
    if kind != "AVRO":
        raise NotDecoded(f"{place} is one of {kind}, and not of Avro")
    return str(answer["schema"])


def _parsed(text: str, names: dict[str, Any], place: str) -> Any:
    """A schema, ready for reading. Its names are added to `names`.

    Raises:
        SourceError: it is no schema.
    """
    library = _library()
    try:
        given = json.loads(text)
        # so that what is wrong is said of the schema as it was written
        library.parse_schema(given, named_schemas=dict(names))
        return library.parse_schema(_with_exact_types(given), named_schemas=names)
    except (library.schema.SchemaParseException, library.schema.UnknownType, *_BROKEN) as error:
        raise SourceError(f"{place}: expected a schema of Avro: {type(error).__name__} {error}") from None


def _with_exact_types(schema: Any) -> Any:
    """The schema with our logical types."""
    if schema == "float":
        return {"type": "float", "logicalType": _FLOAT}
    if isinstance(schema, list):
        return [_with_exact_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if made["type"] == "float":
        made["logicalType"] = _FLOAT
    elif made.get("logicalType") == "decimal" and made["type"] in ("bytes", "fixed"):
        made["logicalType"] = _DECIMAL
    elif not isinstance(made["type"], str):
        made["type"] = _with_exact_types(made["type"])
    if "fields" in made:
        made["fields"] = [{**part, "type": _with_exact_types(part["type"])} for part in made["fields"]]
    for key in ("items", "values"):
        if key in made:
            made[key] = _with_exact_types(made[key])
    return made


def _read_float(value: float, *_: Any) -> Any:
    """The number with the fewest digits that is this float, as Java and databases write it."""
    return _EXACT.create_decimal(str(np.float32(value))) if math.isfinite(value) else None


def _read_decimal(value: bytes, schema: Mapping[str, Any] | None, *_: Any) -> Any:
    assert schema is not None
    unscaled = _EXACT.create_decimal(int.from_bytes(value, "big", signed=True))
    return unscaled.scaleb(-schema.get("scale", 0), _EXACT)


def _plain(value: Any) -> Any:
    """A value as JSON is read: every number is its own text."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool) else text_of(value)


def _library() -> Any:
    try:
        import fastavro
    except ModuleNotFoundError:
        raise SourceError("Avro needs fastavro, which is not installed: pip install 'fraud-assets[avro]'") from None
    readers = fastavro.read.LOGICAL_READERS
    if _DECIMAL not in readers:
        readers.update({f"float-{_FLOAT}": _read_float, f"bytes-{_DECIMAL}": _read_decimal, f"fixed-{_DECIMAL}": _read_decimal})
    return fastavro
