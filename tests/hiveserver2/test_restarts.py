"""A server that is killed during a write and restarted: each day has its old rows or its new ones."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest

from fraud_assets.local_hive import server
from hive_io import HiveIOError, HiveQL, HiveServer, HiveServer2Warehouse, NotAWarehouse
from hive_io.warehouse import Data
from tests.hive_io_fixtures import PAYMENTS, at, days, payment, payments
from tests.services import ZONE, drop_tables
from tests.services.apache_hive import apache_hive

ROWS = 60_000
KILLED_AFTER = (0.15, 0.5, 0.85)
"""Moments of the kills, as shares of the duration of an undisturbed write."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hive")


@pytest.fixture
def warehouse(folder: Path, jars: Path) -> Iterator[HiveServer2Warehouse]:
    with apache_hive(jars, folder) as running:
        warehouse = HiveServer2Warehouse(HiveServer.of(running.url + "&patience=300"))
        drop_tables(warehouse, "fintech")
        yield warehouse
        warehouse.close()


def rows(amount: str) -> pa.Table:
    per_day = ROWS // 3
    made = [payment(f"p{number}", at(1 + number // per_day, second=number % 60), amount) for number in range(ROWS)]
    return payments(*made)


def test_a_server_killed_during_a_write_of_rows(warehouse: HiveServer2Warehouse, folder: Path, jars: Path) -> None:
    _killed_while(warehouse, folder, jars, rows)


def test_a_server_killed_during_a_write_of_a_query(warehouse: HiveServer2Warehouse, folder: Path, jars: Path) -> None:
    def query(amount: str) -> HiveQL:
        text = f"SELECT id, at, CAST({amount} AS DECIMAL(18,2)) AS amount, ds FROM fintech.payments"
        return HiveQL(text)

    _killed_while(warehouse, folder, jars, query)


def _killed_while(warehouse: HiveServer2Warehouse, folder: Path, jars: Path, data: Callable[[str], Data]) -> None:
    warehouse.replace(PAYMENTS, rows("1.00"), days(1, 3))
    began = time.monotonic()
    warehouse.replace(PAYMENTS, data("2.00"), days(1, 3))
    takes = time.monotonic() - began
    before = "2.00"
    for number, share in enumerate(KILLED_AFTER):
        amount = f"{number + 3}.00"
        failed = _write_while_killed(warehouse, folder, jars, data(amount), takes * share)
        found = {(row["ds"], str(row["amount"])): row["n"] for row in _counted(warehouse)}
        expected = {(f"2026-01-0{day}", amount): ROWS // 3 for day in (1, 2, 3)}
        if failed is None:
            assert found == expected
        else:
            # each day has its old rows or its new ones
            assert sorted(day for day, _ in found) == sorted(day for day, _ in expected)
            assert set(found.values()) == {ROWS // 3} and {value for _, value in found} <= {before, amount}
        before = amount if failed is None else before
        if failed is not None:
            warehouse.replace(PAYMENTS, rows(before), days(1, 3))


def _counted(warehouse: HiveServer2Warehouse) -> list[dict[str, object]]:
    text = "SELECT ds, amount, COUNT(*) AS n FROM fintech.payments GROUP BY ds, amount"
    found: list[dict[str, object]] = warehouse.query(HiveQL(text)).to_pylist()
    return found


def _write_while_killed(
    warehouse: HiveServer2Warehouse, folder: Path, jars: Path, data: Data, after: float
) -> HiveIOError | None:
    running = server.status(folder)
    assert running is not None

    def kill_and_start() -> None:
        time.sleep(after)
        os.kill(running.pid, signal.SIGKILL)
        os.waitpid(running.pid, 0)
        server.start(folder, jars, port=running.port, zone=ZONE)

    killer = Thread(target=kill_and_start)
    killer.start()
    try:
        warehouse.replace(PAYMENTS, data, days(1, 3))
    except HiveIOError as error:
        return error
    finally:
        killer.join()
    return None


def test_a_server_that_stays_away_is_reported(warehouse: HiveServer2Warehouse, folder: Path, jars: Path) -> None:
    warehouse.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    running = server.status(folder)
    assert running is not None
    hasty = HiveServer2Warehouse(HiveServer.of(running.url + "&patience=2"))
    server.stop(folder)
    with pytest.raises(NotAWarehouse, match=f"127.0.0.1:{running.port} does not answer.*old rows.*run the write again"):
        hasty.replace(PAYMENTS, payments(payment("b", at(1))), days(1))
    with pytest.raises(NotAWarehouse, match="does not answer"):
        HiveServer2Warehouse(HiveServer.of(running.url + "&patience=1"))
    server.start(folder, jars, port=running.port, zone=ZONE)
    assert hasty.read(PAYMENTS.full_name, ["id"]).to_pylist() == [{"id": "a"}]
    hasty.close()
