"""A schema registry for tests, on loopback: the calls that readers need, as Confluent's answers them, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from flask import Flask, Response, jsonify, request

from mock_sources.serving import serving

USER, PASSWORD = "reader", "s3cret-Registry"


@dataclass
class SchemaRegistry:
    """A registry that is running.

    Attributes:
        url: its address.
        schemas: what it has by number.
        versions: what it has by subject and version, for references.
        needs_password: True to refuse requests without `USER` and `PASSWORD`.
        requests: the paths of all requests.
    """

    url: str = ""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    needs_password: bool = False
    requests: list[str] = field(default_factory=list)

    def add(self, number: int, schema: Any, *references: tuple[str, str, int], **more: Any) -> None:
        """Register a schema, with the name, subject and version of each one that it refers to."""
        self.schemas[number] = {"schema": json.dumps(schema), **_references(references), **more}

    def add_version(self, subject: str, version: int, schema: Any, *references: tuple[str, str, int]) -> None:
        """Register a schema that others refer to."""
        known = {"subject": subject, "version": version, "schema": json.dumps(schema)}
        self.versions[subject, version] = {**known, **_references(references)}


def _references(given: tuple[tuple[str, str, int], ...]) -> dict[str, Any]:
    found = [{"name": name, "subject": subject, "version": version} for name, subject, version in given]
    return {"references": found} if found else {}


def framed(number: int, schema: Any, record: Any) -> bytes:
    """A record in Confluent's wire format."""
    return b"\x00" + number.to_bytes(4, "big") + written(schema, record)


def written(schema: Any, record: Any) -> bytes:
    """A record as Avro, without its schema."""
    import fastavro

    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return stream.getvalue()


def avro_of(schema: Any, records: list[Any], codec: str = "null", **more: Any) -> bytes:
    """A file of Avro."""
    import fastavro

    stream = BytesIO()
    fastavro.writer(stream, fastavro.parse_schema(schema), records, codec=codec, **more)
    return stream.getvalue()


@contextmanager
def schema_registry() -> Iterator[SchemaRegistry]:
    """A running registry."""
    registry, app = SchemaRegistry(), Flask(__name__)

    @app.before_request
    def _check() -> Response | None:
        registry.requests.append(request.path)
        given = request.authorization
        if registry.needs_password and (given is None or (given.username, given.password) != (USER, PASSWORD)):
            return _error(401, 401, "Unauthorized")
        return None

    @app.get("/schemas/ids/<int:number>")
    def _by_id(number: int) -> Response:
        found = registry.schemas.get(number)
        return jsonify(found) if found else _error(404, 40403, f"Schema {number} not found")

    @app.get("/subjects/<path:subject>/versions/<int:version>")
    def _by_version(subject: str, version: int) -> Response:
        found = registry.versions.get((subject, version))
        return jsonify(found) if found else _error(404, 40401, f"Subject '{subject}' not found.")

    @app.get("/schemas/types")
    def _types() -> Response:
        return jsonify(["JSON", "PROTOBUF", "AVRO"])

    with serving(app) as url:
        registry.url = url
        yield registry


def _error(status: int, code: int, message: str) -> Response:
    answer = jsonify({"error_code": code, "message": message})
    answer.status_code = status
    return answer
