"""What every connector promises, whatever it reads: all rows in order, with their numbers, again and after a cursor."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask import Flask, Response, jsonify, request

from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.own_data.connectors import files, kafka, sql
from fraud_assets.ingestion.own_data.connectors.apis import ApiConnector
from fraud_assets.ingestion.own_data.connectors.avro import AvroFormat
from fraud_assets.ingestion.own_data.connectors.base import FILE, LINE, ROW, Connector, Context, RawPage
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, FilesConnector
from fraud_assets.ingestion.own_data.connectors.http import HttpLayout, Paging, TimeParams
from fraud_assets.ingestion.own_data.connectors.kafka import KafkaConnector, KafkaLayout
from fraud_assets.ingestion.own_data.connectors.object_store import endpoint_options, stored
from fraud_assets.ingestion.own_data.connectors.sql import SqlLayout
from hive_io import Span
from mock_sources.serving import serving
from tests.services.kafka import Kafka
from tests.services.object_store import object_store
from tests.services.schema_registry import avro_of, framed, schema_registry

FIRST, LAST = dt.date(2026, 1, 5), dt.date(2026, 1, 7)
SPAN = Span.days(FIRST, LAST)
ROWS = [
    {"id": f"{day}-{n}", "at": f"2026-01-0{day}T10:00:0{n}Z", "amount": f"{n}.50", "note": None if n == 2 else f"ä, {n}"}
    for day in (5, 6, 7)
    for n in range(4)
]
MORE = {"id": "8-0", "at": "2026-01-07T11:00:00Z", "amount": "8.50", "note": "later"}
Made = tuple[Connector, Callable[[], None] | None]
"""A connector of ROWS, and what appends MORE to its source, if a file can grow."""


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [*ROWS[0]], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def of_file(file: Path, content: str) -> Made:
    file.write_text(content, encoding="utf-8", newline="")
    line = as_csv([MORE]).splitlines()[1] if file.suffix == ".csv" else as_lines([MORE])
    if file.suffix == ".tsv":
        line = as_csv([MORE], "\t").splitlines()[1]

    def grow() -> None:
        with file.open("a", encoding="utf-8") as out:
            out.write(line.removesuffix("\n") + "\n")

    return FilesConnector(FileLayout(file)), grow


@contextmanager
def csv_file(folder: Path) -> Iterator[Made]:
    yield of_file(folder / "rows.csv", as_csv(ROWS))


@contextmanager
def tsv_file(folder: Path) -> Iterator[Made]:
    yield of_file(folder / "rows.tsv", as_csv(ROWS, "\t"))


@contextmanager
def json_lines(folder: Path) -> Iterator[Made]:
    yield of_file(folder / "rows.jsonl", as_lines(ROWS))


@contextmanager
def compressed_parts(folder: Path) -> Iterator[Made]:
    for number, start in enumerate((0, 5)):
        with gzip.open(folder / f"part{number}.csv.gz", "wt", encoding="utf-8") as out:
            out.write(as_csv(ROWS[start : start + 5] if not start else ROWS[5:]))

    def grow() -> None:
        (folder / "part2.csv.gz").write_bytes(gzip.compress(as_csv([MORE]).encode()))

    yield FilesConnector(FileLayout(folder / "*.csv.gz")), grow


@contextmanager
def avro_file(folder: Path) -> Iterator[Made]:
    schema = {"type": "record", "name": "Row", "fields": [{"name": field, "type": ["null", "string"]} for field in MORE]}
    # several blocks
    (folder / "rows.avro").write_bytes(avro_of(schema, ROWS, "deflate", sync_interval=64))
    yield FilesConnector(FileLayout(folder / "rows.avro")), None


@contextmanager
def parquet(folder: Path) -> Iterator[Made]:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    yield FilesConnector(FileLayout(folder / "rows.parquet")), None


@contextmanager
def by_day(folder: Path) -> Iterator[Made]:
    for day in (5, 6, 7):
        rows = [row for row in ROWS if row["id"].startswith(f"{day}-")]
        (folder / f"2026010{day}").mkdir()
        (folder / f"2026010{day}" / "rows.csv").write_text(as_csv(rows), encoding="utf-8")

    def grow() -> None:
        (folder / "20260108").mkdir()
        (folder / "20260108" / "rows.csv").write_text(as_csv([MORE]), encoding="utf-8")

    yield FilesConnector(FileLayout(folder / "{day:%Y%m%d}" / "rows.csv")), grow


@contextmanager
def apis(_: Path) -> Iterator[Made]:
    app = Flask(__name__)
    rows = [*ROWS]

    @app.get("/api/transactions")
    def transactions() -> Response:
        if "after" in request.args:
            found = rows[int(request.args["after"]) :]
        else:
            found = [r for r in rows if request.args["since"] <= r["at"] and r["at"] < request.args.get("until", "9")]
        answer = jsonify(found)
        answer.headers["X-Cursor"] = str(len(rows))
        return answer

    with serving(app) as url, SourceClient(url, attempts=1) as client:
        yield ApiConnector(client, "transactions"), lambda: rows.append(MORE)


@contextmanager
def http(paging: Paging, answer: Callable[[list[dict[str, Any]]], Response]) -> Iterator[Made]:
    """An API that serves ROWS in order of arrival, with a window by time and with later rows than one."""
    app = Flask(__name__)
    rows = [*ROWS]

    @app.get("/v1/payments")
    def payments() -> Response:
        found = rows
        if after := request.args.get("after_id"):
            found = rows[1 + [row["id"] for row in rows].index(after) :]
        if since := request.args.get("from"):
            found = [row for row in found if since <= str(row["at"]) < request.args["to"]]
        return answer(found)

    with serving(app) as url:
        window = TimeParams("from", "to")
        layout = HttpLayout(
            f"{url}/v1/payments", "data.items", paging=paging, window=window, after="after_id", after_field="id"
        )
        connector = layout.connector(Context(attempts=1))
        try:
            yield connector, lambda: rows.append(MORE)
        finally:
            connector.close()


def at_most(rows: list[dict[str, Any]], start: int, size: int = 5) -> dict[str, Any]:
    return {"data": {"items": rows[start : start + size]}}


def by_offset(_: Path) -> Any:
    paging = Paging("offset", param="offset", size_param="limit", size=5)
    return http(paging, lambda rows: jsonify(at_most(rows, int(request.args["offset"]), int(request.args["limit"]))))


def by_page(_: Path) -> Any:
    paging = Paging("page", param="page", size_param="per_page", size=5)
    return http(paging, lambda rows: jsonify(at_most(rows, 5 * (int(request.args["page"]) - 1))))


def by_cursor(_: Path) -> Any:
    def answer(rows: list[dict[str, Any]]) -> Response:
        start = int(request.args.get("cursor", 0))
        more = start + 5 if start + 5 < len(rows) else None
        return jsonify({**at_most(rows, start), "meta": {"next": more}})

    return http(Paging("cursor", "meta.next", "cursor"), answer)


def by_link(_: Path) -> Any:
    def answer(rows: list[dict[str, Any]]) -> Response:
        start = int(request.args.get("start", 0))
        following = {**request.args, "start": str(start + 5)}
        link = f"/v1/payments?{urlencode(following)}" if start + 5 < len(rows) else None
        return jsonify({**at_most(rows, start), "links": {"next": link}})

    return http(Paging("link", "links.next"), answer)


@contextmanager
def database(folder: Path) -> Iterator[Made]:
    file = folder / "bank.db"

    def insert(rows: list[dict[str, Any]]) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS p (n INTEGER PRIMARY KEY, id TEXT, at TEXT, amount TEXT, note TEXT)")
            connection.executemany("INSERT INTO p (id, at, amount, note) VALUES (:id, :at, :amount, :note)", rows)

    insert(ROWS)
    layout = SqlLayout(f"sqlite:///{file}", "p", window="at", window_format="%Y-%m-%dT%H:%M:%SZ", cursor="n")
    connector = layout.connector(Context())
    yield connector, lambda: insert([MORE])
    connector.close()


@contextmanager
def messages(folder: Path) -> Iterator[Made]:
    def write(name: str, rows: list[dict[str, Any]]) -> None:
        fields = ("".join(f"<{name}>{text}</{name}>" for name, text in row.items() if text is not None) for row in rows)
        body = "".join(f"<CdtTrfTxInf>{each}</CdtTrfTxInf>" for each in fields)
        document = f"<Document><FIToFICstmrCdtTrf><GrpHdr/>{body}</FIToFICstmrCdtTrf></Document>"
        (folder / name).write_text(document, encoding="utf-8")

    write("a.xml", ROWS[:5])
    write("b.xml", ROWS[5:])
    yield FilesConnector(FileLayout(folder / "*.xml", "pacs.008")), lambda: write("c.xml", [MORE])


@contextmanager
def bucket(_: Path) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as store:
        for number, rows in enumerate((ROWS[:5], ROWS[5:])):
            store.put(f"bank/part{number}.csv", as_csv(rows).encode())
        path = stored("s3://bank/*.csv", endpoint_options(store.endpoint, "eu-central-1", False))
        yield FilesConnector(FileLayout(path)), lambda: store.put("bank/part2.csv", as_csv([MORE]).encode())


@contextmanager
def topic(broker: Kafka) -> Iterator[Made]:
    name = f"rows-{uuid4()}"
    broker.create(name)
    broker.produce(name, [{"value": json.dumps(row)} for row in ROWS])
    connector = KafkaLayout(broker.brokers, name).connector(Context())
    yield connector, lambda: broker.produce(name, [{"value": json.dumps(MORE)}])
    connector.close()


@contextmanager
def avro_topic(broker: Kafka) -> Iterator[Made]:
    name = f"rows-{uuid4()}"
    broker.create(name)
    schema = {"type": "record", "name": "Row", "fields": [{"name": field, "type": ["null", "string"]} for field in MORE]}
    with schema_registry() as registry:
        registry.add(1, schema)

        def produce(rows: list[dict[str, Any]]) -> None:
            broker.produce(name, [{"value": framed(1, schema, row)} for row in rows])

        produce(ROWS)
        connector = KafkaLayout(broker.brokers, name, avro=AvroFormat(None, registry.url)).connector(Context())
        yield connector, lambda: produce([MORE])
        connector.close()


HTTP = [by_offset, by_page, by_cursor, by_link]
MAKERS = [
    *HTTP,
    database,
    csv_file,
    tsv_file,
    json_lines,
    compressed_parts,
    parquet,
    avro_file,
    by_day,
    apis,
    pytest.param(topic, marks=pytest.mark.kafka),
    pytest.param(avro_topic, marks=pytest.mark.kafka),
]


@pytest.fixture(params=MAKERS, ids=lambda maker: getattr(maker, "__name__", None))
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    # several pages even of a few rows
    monkeypatch.setattr(files, "PAGE_ROWS", 3)
    monkeypatch.setattr(files, "BLOCK", 120)
    monkeypatch.setattr(sql, "PAGE_ROWS", 5)
    monkeypatch.setattr(kafka, "PAGE_ROWS", 5)
    with request.param(request.getfixturevalue("broker") if request.param in (topic, avro_topic) else tmp_path) as pair:
        yield pair


def rows_of(pages: Iterator[RawPage]) -> list[dict[str, Any]]:
    return [row for page in pages for row in page.rows.to_pylist()]


def fields_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row.get(name) for name in ROWS[0]} for row in rows]


def test_all_rows_come_in_order_as_text(made: Made) -> None:
    connector, _ = made
    assert fields_of(rows_of(connector.pages())) == ROWS


def test_a_span_has_at_least_its_own_rows(made: Made) -> None:
    connector, _ = made
    found = fields_of(rows_of(connector.pages(Span.days(FIRST, FIRST))))
    assert [row for row in found if row["id"].startswith("5-")] == ROWS[:4]


def test_rows_are_numbered_within_their_place(made: Made) -> None:
    connector, _ = made
    rows = rows_of(connector.pages())
    assert len({(row[FILE], row[ROW]) for row in rows}) == len({row["id"] for row in rows}) or connector.places()[1:]
    by_place: dict[str, list[int]] = {}
    for page in connector.pages():
        by_place.setdefault(str(page.day) + page.rows.column(FILE)[0].as_py(), []).extend(page.rows.column(ROW).to_pylist())
    # offsets count from 0
    first = 0 if isinstance(connector, KafkaConnector) else 1
    assert all(numbers == list(range(first, first + len(numbers))) for numbers in by_place.values())
    assert not any(row[LINE] for row in rows)


def test_reading_again_gives_the_same(made: Made) -> None:
    connector, _ = made
    assert rows_of(connector.pages(SPAN)) == rows_of(connector.pages(SPAN))


def test_nothing_is_lost_or_doubled_after_a_cursor(made: Made) -> None:
    connector, grow = made
    read, cursor = [], None
    # one page at a time, each from the cursor of the page before, as after a kill
    while (step := next(iter(connector.arrivals(cursor)), None)) is not None:
        page, cursor = step
        read += page.rows.to_pylist()
    assert fields_of(read) == ROWS
    if grow is not None:
        grow()
        assert fields_of([row for page, _ in connector.arrivals(cursor) for row in page.rows.to_pylist()]) == [MORE]


def test_a_sample_is_bounded_and_says_whether_it_is_all(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    connector, _ = made
    monkeypatch.setattr(files, "LEAST_SAMPLE", 2)
    some = [*connector.sample(2, LAST)]
    assert 2 <= sum(page.rows.num_rows for page, _ in some) <= 2 * len(connector.places())
    assert not all(complete for _, complete in some)
    everything = [*connector.sample(1_000, LAST)]
    assert fields_of(rows_of(iter([page for page, _ in everything]))) == ROWS
    assert all(complete for _, complete in everything)
