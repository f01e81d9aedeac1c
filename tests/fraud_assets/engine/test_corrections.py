"""A correction that moves a transaction to another day leaves it on one day, with one alert."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from flask import Flask, Response, jsonify, request

from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.ingestion import AUDIT
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.corrections import remove_moved
from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.live.micro_batch import MicroBatcher
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as ONE_DAY
from mock_sources.serving import serving
from tests.fraud_fixtures import DAY, all_tables, compute, fill, served, transaction

ENGINE = Engine(read_rule_book())
NEXT = DAY + ONE_DAY
NOON = dt.datetime(DAY.year, DAY.month, DAY.day, 12)
BOTH = Span.days(DAY, NEXT)


def days_of(lake: EmbeddedWarehouse, table: str, transaction_id: str) -> list[str]:
    rows = lake.read(f"fintech.{table}", ["transaction_id", "ds"]).to_pylist()
    return sorted(row["ds"] for row in rows if row["transaction_id"] == transaction_id)


def version(at: dt.datetime, arrived: dt.datetime | None, transaction_id: str = "moved") -> dict[str, Any]:
    """A version of a transaction that `high_value` hits."""
    return transaction(transaction_id, amount="90000.00", event_time=at, ingested_at=arrived)


def with_versions(lake: EmbeddedWarehouse, rows: Iterable[dict[str, Any]]) -> None:
    """Fill both days and compute `high_value` and the alerts."""
    all_tables(lake, ENGINE.book)
    fill(lake, "transactions", rows, BOTH)
    for table in ("high_value", "fraud_alerts"):
        compute(ENGINE, lake, table, BOTH)


@pytest.mark.parametrize(
    ("first", "second", "loaded", "stays"),
    [
        pytest.param(1, 2, NEXT, NEXT, id="moved to a later day"),
        pytest.param(2, 1, DAY, DAY, id="moved to an earlier day"),
        pytest.param(2, 1, NEXT, DAY, id="an older version loaded again does not win"),
        pytest.param(1, 2, None, NEXT, id="both days loaded"),
        pytest.param(None, None, DAY, DAY, id="no arrival times: the version that was loaded"),
        pytest.param(None, None, None, NEXT, id="no arrival times, both loaded: the later event"),
        pytest.param(None, 1, DAY, NEXT, id="a version without an arrival time is the earliest"),
    ],
)  # fmt: skip
def test_the_last_version_stays_on_its_day_only(
    lake: EmbeddedWarehouse, first: int | None, second: int | None, loaded: dt.date | None, stays: dt.date
) -> None:
    def arrival(hours: int | None) -> dt.datetime | None:
        return None if hours is None else NOON + ONE_DAY + dt.timedelta(hours=hours)

    same_time = [version(NOON, arrival(first), "other"), version(NOON + ONE_DAY, arrival(first), "another")]
    versions = [version(NOON, arrival(first)), version(NOON + ONE_DAY, arrival(second))]
    with_versions(lake, [*same_time, *versions])
    assert days_of(lake, "fraud_alerts", "moved") == [str(DAY), str(NEXT)]
    span = BOTH if loaded is None else Span.days(loaded, loaded)
    removed = remove_moved(lake, ENGINE.per_transaction, span, days=7)
    gone = NEXT if stays == DAY else DAY
    assert removed.rows == 1 and list(removed.times) == [str(gone)]
    for table in ("transactions", "high_value", "fraud_alerts"):
        assert days_of(lake, table, "moved") == [str(stays)], table
        assert days_of(lake, table, "other") == [str(DAY)], "a row of the same moment stays"
        assert days_of(lake, table, "another") == [str(NEXT)], "a row of the same moment stays"
    assert remove_moved(lake, ENGINE.per_transaction, span, days=7).rows == 0, "nothing is left to do"


def test_days_outside_the_window_are_not_searched(lake: EmbeddedWarehouse) -> None:
    with_versions(lake, [version(NOON, NOON), version(NOON + ONE_DAY, NOON + ONE_DAY)])
    assert remove_moved(lake, ENGINE.per_transaction, Span.days(NEXT, NEXT), days=0).rows == 0
    assert days_of(lake, "transactions", "moved") == [str(DAY), str(NEXT)]


def test_without_corrections_nothing_is_written(lake: EmbeddedWarehouse) -> None:
    with_versions(lake, [version(NOON, NOON, "one"), version(NOON + ONE_DAY, NOON, "two")])
    before = {table: lake.footprint(f"fintech.{table}") for table in ("transactions", "high_value", "fraud_alerts")}
    assert remove_moved(lake, ENGINE.per_transaction, BOTH, days=7).rows == 0
    assert {table: lake.footprint(f"fintech.{table}") for table in before} == before


# --- with a source that serves the first version, then its correction ---------------------------------------------------


class CorrectingSource:
    """The three APIs with one large transaction, on DAY until it is corrected, and one small one on each day."""

    def __init__(self) -> None:
        self.corrected = False

    def rows(self) -> list[dict[str, Any]]:
        quiet = [_transaction(f"quiet {day}", day, 9, 12.5) for day in (DAY, NEXT)]
        return [*quiet, _transaction("moved", NEXT if self.corrected else DAY, 12 if self.corrected else 10, 90000)]

    def app(self) -> Flask:
        app = Flask("correcting")

        @app.get("/api/transactions")
        def transactions() -> Response:
            rows = sorted(self.rows(), key=lambda row: row["ingested_at"])
            if "after" in request.args:
                rows = [row for row in rows if row["ingested_at"] > request.args["after"]]
            else:
                rows = [row for row in rows if request.args["since"] <= row["date_time"] < request.args.get("until", "9")]
            answer = jsonify(rows)
            if rows:
                answer.headers["X-Cursor"] = rows[-1]["ingested_at"]
            return answer

        def snapshot(body: Callable[[], Any]) -> Callable[[], Response]:
            def answered() -> Response:
                answer = jsonify(body())
                answer.headers["X-As-Of"] = request.args.get("as_of", "")
                return answer

            return answered

        lists: dict[str, list[Any]] = {"blacklist_info": [], "credit_scores": [], "fraud_reports": []}
        app.add_url_rule("/api/customers", "customers", snapshot(lambda: [served("customers")]))
        app.add_url_rule("/api/externalData", "external", snapshot(lambda: lists))
        return app


def _transaction(transaction_id: str, day: dt.date, hour: int, amount: float) -> dict[str, Any]:
    at = f"{day}T{hour:02}:00:00Z"
    return served("transactions", transaction_id=transaction_id, date_time=at, ingested_at=at, amount=amount)


@pytest.fixture
def source() -> Iterator[tuple[CorrectingSource, str]]:
    served_by = CorrectingSource()
    with serving(served_by.app()) as url:
        yield served_by, url


@pytest.mark.slow
def test_a_run_of_the_new_day_removes_the_transaction_from_the_old_one(
    source: tuple[CorrectingSource, str], tmp_path: Path
) -> None:
    correcting, url = source
    settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=DAY)
    job = build_definitions(settings).resolve_job_def(JOB)
    with dagster_instance(settings) as instance:

        def run(day: dt.date) -> dg.ExecuteInProcessResult:
            return job.execute_in_process(instance=instance, partition_key=str(day))

        run(DAY)
        lake = EmbeddedWarehouse(settings.warehouse)
        assert days_of(lake, "fraud_alerts", "moved") == [str(DAY)]
        correcting.corrected = True
        result = run(NEXT)
    for table in ("transactions", "high_value", "fraud_alerts"):
        assert days_of(lake, table, "moved") == [str(NEXT)], table
    assert days_of(lake, "transactions", f"quiet {DAY}") == [str(DAY)]
    [audit] = [
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == AUDIT and check.asset_key.path[-1] == "transactions"
    ]
    assert audit.metadata["corrected to another day"].value == {str(DAY): 1}


@pytest.mark.slow
def test_the_live_path_removes_the_transaction_from_the_old_day(
    source: tuple[CorrectingSource, str], tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    correcting, url = source
    with SourceClient(url) as client:
        batcher = MicroBatcher(ENGINE, client, lake, tmp_path / "watch.json", DAY - ONE_DAY, 1.0)
        list(batcher.poll(DAY))
        assert days_of(lake, "fraud_alerts", "moved") == [str(DAY)]
        batcher.begin_reconciliation(batcher.checkpoint.late_days)
        batcher.end_reconciliation(complete=True)
        correcting.corrected = True
        batches = list(batcher.poll(NEXT))
        assert not batcher.concurrent_write(), "the removal is the live path's own write"
    for table in ("transactions", "high_value", "fraud_alerts"):
        assert days_of(lake, table, "moved") == [str(NEXT)], table
    assert batches[-1].days[str(DAY)] == 1
    assert str(DAY) in batcher.checkpoint.late_days, "its rules are computed again"
