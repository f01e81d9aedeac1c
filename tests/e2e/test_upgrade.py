"""A warehouse and Dagster records that version 0.1 made are read, explained and continued.

The archive was made by version 0.1 with `fraud sources serve --seed 3 --customers 40 --merchants 60 --fraud-rate 0.02
--malformed 0.005 --late 0.02` and `fraud run --from 2026-11-18 --to 2026-11-21`; `alerts.json` is what its `fraud alerts
--format json` printed.
"""

from __future__ import annotations

import datetime as dt
import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.event_log import KeptSqliteEventLogStorage
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import World, running

ARCHIVE = Path(__file__).parents[1] / "data" / "warehouse-0.1.tar.xz"
FIRST, NEXT = dt.date(2026, 11, 18), dt.date(2026, 11, 21)
KEPT = "# Written by the fraud command; delete this line to keep your own changes.\n"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The unpacked archive, its records moved to where they are now and its dagster.yaml kept by its owner."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    config = tmp_path / "lake" / "dagster" / "dagster.yaml"
    text = config.read_text(encoding="utf-8")
    assert "module: fraud_assets.dagster_storage" in text
    config.write_text(text.removeprefix(KEPT).replace("/tmp/fraud-0.1", str(tmp_path)), encoding="utf-8")
    return tmp_path


@pytest.fixture
def settings(made: Path) -> Settings:
    return read_settings(warehouse=str(made / "lake"), first_day=FIRST)


def fraud(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_alerts_are_those_of_the_version_before(made: Path) -> None:
    listed = json.loads(fraud("alerts", "--warehouse", str(made / "lake"), "--format", "json"))
    before = json.loads((made / "alerts.json").read_text(encoding="utf-8"))
    assert listed and listed == [{**alert, "points": None, "card_version": None} for alert in before]


def test_an_old_alert_is_explained(made: Path) -> None:
    highest = json.loads((made / "alerts.json").read_text(encoding="utf-8"))[0]
    found = json.loads(fraud("explain", highest["transaction_id"], "--warehouse", str(made / "lake"), "--format", "json"))
    assert found["alert"]["score"] == highest["score"]
    assert found["alert"]["rules"] == highest["rules"]


@pytest.mark.slow
def test_the_next_day_continues_it(settings: Settings) -> None:
    lake = EmbeddedWarehouse(settings.warehouse)
    names = ("transactions", "fraud_alerts", "customer_profiles")
    before = {name: lake.read(f"fintech.{name}").sort_by("ds") for name in names}
    assert before["transactions"].num_rows == 453
    with running(World(seed=3, customers=40, merchants=60, fraud_rate=0.02)) as url:
        run_days(settings.model_copy(update={"source_url": url}), Span.days(NEXT, NEXT))
    days = lake.partitions("fintech.transactions")
    assert days[NEXT.isoformat()] > 0
    for name, rows in before.items():
        kept = lake.read(f"fintech.{name}", span=Span.days(FIRST, NEXT - dt.timedelta(days=1)))
        assert sorted(kept.select(rows.column_names).to_pylist(), key=str) == sorted(rows.to_pylist(), key=str)


def test_dagster_reads_the_old_records(settings: Settings) -> None:
    with dagster_instance(settings) as instance:
        assert isinstance(instance.event_log_storage, KeptSqliteEventLogStorage)
        runs = instance.get_run_records()
        assert [record.dagster_run.is_success for record in runs] == [True]
