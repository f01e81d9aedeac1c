"""What every connector promises, whatever it reads: all rows in order, with their numbers, again and after a cursor."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask import Flask, Response, jsonify, request

from fraud_assets.ingestion.connectors import files
from fraud_assets.ingestion.connectors.apis import ApiConnector
from fraud_assets.ingestion.connectors.base import FILE, LINE, ROW, Connector, RawPage
from fraud_assets.ingestion.connectors.files import FileLayout, FilesConnector
from fraud_assets.ingestion.http_source import SourceClient
from hive_io import Span
from mock_sources.serving import serving

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
            out.write(line)

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


MAKERS = [csv_file, tsv_file, json_lines, compressed_parts, parquet, by_day, apis]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    # several pages even of a few rows
    monkeypatch.setattr(files, "PAGE_ROWS", 3)
    monkeypatch.setattr(files, "BLOCK", 120)
    with request.param(tmp_path) as pair:
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
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_place.values())
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
    some = [*connector.sample(2)]
    assert 2 <= sum(page.rows.num_rows for page, _ in some) <= 2 * len(connector.places())
    assert not all(complete for _, complete in some)
    everything = [*connector.sample(1_000)]
    assert fields_of(rows_of(iter([page for page, _ in everything]))) == ROWS
    assert all(complete for _, complete in everything)
