"""A server that checks passwords in an LDAP directory, and places where a password must never appear."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fraud_assets.runs.batch import run_days
from fraud_assets.settings import read_settings
from hive_io import HiveServer, HiveServer2Warehouse, NotAWarehouse, Span
from mock_sources import World, running
from tests.hive_io_fixtures import PAYMENTS, at, days, payment, payments
from tests.services.apache_hive import apache_hive, directory

USER, PASSWORD = "analyst", "open-sesame-42"
DAY = dt.date(2026, 4, 1)


@pytest.fixture(scope="module")
def address(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with directory(jars, USER, PASSWORD) as ldap:
        asks = {
            "hive.server2.authentication": "LDAP",
            "hive.server2.authentication.ldap.url": ldap,
            "hive.server2.authentication.ldap.userDNPattern": "uid=%s,dc=bank",
        }
        with apache_hive(jars, tmp_path_factory.mktemp("hive"), asks) as server:
            yield server.url.replace("//fraud@", f"//{USER}@")


def test_the_right_password_reads_and_writes(address: str) -> None:
    warehouse = HiveServer2Warehouse(HiveServer.of(address, SecretStr(PASSWORD)))
    warehouse.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    assert warehouse.read(PAYMENTS.full_name, ["id"]).to_pylist() == [{"id": "a"}]
    warehouse.close()


@pytest.mark.parametrize("password", ["wrong-" + PASSWORD, None], ids=["wrong", "none"])
def test_a_wrong_password_is_refused_and_not_repeated(address: str, password: str | None) -> None:
    server = HiveServer.of(address, SecretStr(password) if password else None)
    with pytest.raises(NotAWarehouse, match=f"refused the user '{USER}'") as refused:
        HiveServer2Warehouse(server)
    assert PASSWORD not in str(refused.value) + repr(server)


def test_a_run_logs_its_statements_and_no_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("FRAUD_WAREHOUSE", address)
    monkeypatch.setenv("FRAUD_WAREHOUSE_PASSWORD", PASSWORD)
    with running(World(customers=20, merchants=60)) as url:
        report = run_days(read_settings(source_url=url), Span.days(DAY, DAY))
    with sqlite3.connect(home / "history" / "runs" / f"{report.run_id}.db") as events:
        logged = "\n".join(row[0] for row in events.execute("SELECT event FROM event_logs"))
    assert "INSERT OVERWRITE TABLE" in logged and "ADD IF NOT EXISTS PARTITION" in logged
    printed = capfd.readouterr()
    assert PASSWORD not in printed.out + printed.err
    assert not [file for file in home.rglob("*") if file.is_file() and PASSWORD.encode() in file.read_bytes()]
