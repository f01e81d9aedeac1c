"""Files in an object store: the same rows as from this machine, new objects, and errors that show no secret."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, FilesConnector
from fraud_assets.ingestion.own_data.connectors.object_store import endpoint_options, stored
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.ingestion.own_data.source_guess import guess_source
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import EmbeddedWarehouse, Span
from tests.services.object_store import ObjectStore, cloud_storage, object_store
from tests.services.processes import free_port

DAYS = [dt.date(2026, 1, day) for day in (5, 6, 7)]
HEADER = "id,at,amt,m,c\n"
COLUMNS = "{transaction_id: id, event_time: at, amount: amt, merchant_id: m, customer_id: c}"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store(monkeypatch) as server:
        yield server


def lines(day: dt.date, count: int = 3) -> bytes:
    return "".join(f"{day.day}-{n},{day}T10:00:0{n}Z,{n}.50,m,c\n" for n in range(count)).encode()


def layout(store: ObjectStore, path: str, **more: Any) -> FileLayout:
    return FileLayout(stored(path, endpoint_options(store.endpoint, "eu-central-1", False)), **more)


def ids(made: FilesConnector, span: Span | None = None) -> list[str]:
    return [row["id"] for page in made.pages(span) for row in page.rows.to_pylist()]


def test_objects_by_day_are_loaded_as_files_are(store: ObjectStore, tmp_path: Path) -> None:
    for day in DAYS:
        store.put(f"bank/export/{day}/part.csv.gz", gzip.compress(HEADER.encode() + lines(day)))
    store.put("bank/export/README.txt", b"no data")
    origin = f"files: {{path: 's3://bank/export/{{day}}/*.csv.gz', spill_days: 0, store: {{endpoint: '{store.endpoint}'}}}}"
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    {origin}\n    columns: {COLUMNS}\n")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with MappedSource.of(tmp_path / "source.yaml") as source:
        load(TRANSACTIONS, source, lake, Span.days(DAYS[0], DAYS[1]), 0.0)
        assert source.connector("transactions").places()[0] == "s3://bank/export/2026-01-05/part.csv.gz"
        rows = next(iter(source.connector("transactions").pages())).rows
        assert rows.column("_file")[0].as_py() == "2026-01-05/part.csv.gz"
    assert sorted(lake.read("fintech.transactions").column("transaction_id").to_pylist()) == [
        f"{day}-{n}" for day in (5, 6) for n in range(3)
    ]


def test_parquet_and_delta_are_read_too(store: ObjectStore) -> None:
    table = pa.table({"id": ["007", "8"]})
    store.files.create_dir("bank")
    with store.files.open_output_stream("bank/rows.parquet") as out:
        pq.write_table(table, out)
    options = {"AWS_ENDPOINT_URL": store.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "eu-central-1"}
    write_deltalake("s3://bank/lake/payments", table, storage_options=options)
    assert ids(FilesConnector(layout(store, "s3://bank/rows.parquet"))) == ["007", "8"]
    assert sorted(ids(FilesConnector(layout(store, "s3://bank/lake/payments", format="delta")))) == ["007", "8"]


def test_new_objects_arrive_once(store: ObjectStore) -> None:
    store.put("bank/a.csv", HEADER.encode() + lines(DAYS[0]))
    made = FilesConnector(layout(store, "s3://bank/*.csv"))
    ((_, cursor),) = made.arrivals(None)
    assert [*made.arrivals(cursor)] == []
    store.put("bank/b.csv", HEADER.encode() + lines(DAYS[1]))
    # an object that was written again with more rows
    store.put("bank/a.csv", HEADER.encode() + lines(DAYS[0], 4))
    again = FilesConnector(layout(store, "s3://bank/*.csv"))
    rows = [row["id"] for page, _ in again.arrivals(cursor) for row in page.rows.to_pylist()]
    assert rows == ["5-3", "6-0", "6-1", "6-2"]


def test_its_version_changes_with_an_object(store: ObjectStore) -> None:
    store.put("bank/a.csv", HEADER.encode() + lines(DAYS[0]))
    before = layout(store, "s3://bank/a.csv").version
    assert layout(store, "s3://bank/a.csv").version == before
    store.put("bank/a.csv", HEADER.encode() + lines(DAYS[0], 4))
    assert layout(store, "s3://bank/a.csv").version != before


def test_a_guess_reads_the_store_of_the_environment(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    store.put("shop/a.csv", b"transaction_id;date;amount\n1;31.01.2026;1,50\n2;30.01.2026;2,50\n")
    proposal = guess_source("s3://shop/*.csv")
    assert "s3://shop/*.csv" in proposal and "delimiter" in proposal and "%d.%m.%Y" in proposal


def test_no_bucket_no_object_and_no_right_are_told_apart(store: ObjectStore) -> None:
    store.put("bank/a.csv", HEADER.encode())
    with pytest.raises(SourceError, match="no such bucket"):
        ids(FilesConnector(layout(store, "s3://nobody/*.csv")))
    with pytest.raises(SourceError, match=r"s3://bank/b\.csv: no such file"):
        ids(FilesConnector(layout(store, "s3://bank/b.csv")))
    with pytest.raises(SourceError, match=r"No file of 2026-01-05: expected s3://bank/2026-01-05\.csv"):
        ids(FilesConnector(layout(store, "s3://bank/{day}.csv")), Span.days(DAYS[0], DAYS[0]))
    store.refuse()
    with pytest.raises(SourceError, match="refuses the credentials") as error:
        ids(FilesConnector(layout(store, "s3://bank/*.csv")))
    assert "s3cret" not in str(error.value)


@pytest.mark.slow
def test_objects_of_google_cloud_storage_are_read_as_those_of_s3(tmp_path: Path) -> None:
    with cloud_storage(tmp_path) as store:
        for day in DAYS:
            store.put(f"bank/export/{day}/part.csv.gz", gzip.compress(HEADER.encode() + lines(day)))
        with store.files.open_output_stream("bank/rows.parquet") as out:
            pq.write_table(pa.table({"id": ["007", "8"]}), out)
        options = f"{{endpoint: '{store.endpoint}', anonymous: true}}"
        origin = f"files: {{path: 'gs://bank/export/{{day}}/*.csv.gz', spill_days: 0, store: {options}}}"
        (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    {origin}\n    columns: {COLUMNS}\n")
        lake = EmbeddedWarehouse(tmp_path / "lake")
        with MappedSource.of(tmp_path / "source.yaml") as source:
            load(TRANSACTIONS, source, lake, Span.days(DAYS[0], DAYS[1]), 0.0)
            made = source.connector("transactions")
            assert made.places()[0] == "gs://bank/export/2026-01-05/part.csv.gz"
            *_, (_, cursor) = made.arrivals(None)
            store.put("bank/export/2026-01-08/part.csv.gz", gzip.compress(HEADER.encode() + lines(dt.date(2026, 1, 8))))
            assert [row["id"] for page, _ in made.arrivals(cursor) for row in page.rows.to_pylist()] == ["8-0", "8-1", "8-2"]
        assert sorted(lake.read("fintech.transactions").column("transaction_id").to_pylist()) == [
            f"{day}-{n}" for day in (5, 6) for n in range(3)
        ]

        def at(path: str) -> FilesConnector:
            return FilesConnector(FileLayout(stored(path, endpoint_options(store.endpoint, None, True))))

        assert ids(at("gs://bank/rows.parquet")) == ["007", "8"]
        with pytest.raises(SourceError, match="no such bucket"):
            ids(at("gs://nobody/*.csv"))
        with pytest.raises(SourceError, match=r"gs://bank/b\.csv: no such file"):
            ids(at("gs://bank/b.csv"))


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    gone = ObjectStore(f"http://127.0.0.1:{free_port()}", None)
    with pytest.raises(SourceError, match=r"s3://bank/\*\.csv: the object store cannot be read.*store"):
        ids(FilesConnector(layout(gone, "s3://bank/*.csv")))


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("path: 's3://key:s3cret@bank/a.csv'", "s3://bucket/key"),
        ("path: 'ftp://bank/a.csv'", "s3://bucket/key"),
        ("path: 's3://bank/a.csv', store: {endpoint: 'https://me:s3cret@minio:9000'}", "without user or password"),
        ("path: a.csv, store: {region: x}", "s3://bucket/key"),
        ("path: 'gs://bank/a.csv', store: {region: x}", "region"),
        ("path: 's3://bank/a.csv', store: {secret_key: s3cret}", "unknown key"),
    ],
)
def test_mistakes_of_the_source_file_show_no_secret(tmp_path: Path, spec: str, part: str) -> None:
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    files: {{{spec}}}\n    columns: {COLUMNS}\n")
    with pytest.raises(SourceFileError) as error:
        read_source_file(tmp_path / "source.yaml")
    assert part in str(error.value) and "s3cret" not in str(error.value)
