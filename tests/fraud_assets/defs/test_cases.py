"""The assets `decisions` and `cases_daily`: with a desk, without one, and with one that does not answer."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.cases.lake import desk_at, write_decisions
from fraud_assets.cases.model import Decision, ReasonCode
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import Clock
from fraud_assets.defs.asset_specs import daily
from fraud_assets.defs.cases import DESK_ANSWERS, case_assets
from fraud_assets.schemas.cases import CASES_DAILY, DECISIONS
from hive_io import EmbeddedWarehouse, Span
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from tests.fraud_assets.cases.alerts import alert

FIRST = dt.date(2026, 3, 1)
NOW = dt.datetime(2026, 3, 3, 12, tzinfo=dt.UTC)
A_DAY = dt.timedelta(days=1)


@pytest.fixture
def desk(tmp_path: Path) -> str:
    """A desk with three cases of the first day: one decided on each of the next two days, one waiting."""
    url = f"sqlite:///{tmp_path / 'desk.sqlite'}"
    store = CaseStore.open(url)
    store.sync([alert(n, f"c{n}") for n in (1, 2, 3)], NOW - 2 * A_DAY)
    store.decide("1", Decision.FRAUD, ReasonCode.MULE, None, "ann", 1, NOW - A_DAY)
    store.decide("2", Decision.HONEST, ReasonCode.RULE_TOO_WIDE, None, "ann", 1, NOW)
    store.close()
    return url


def materialize(lake: EmbeddedWarehouse, url: str, first: dt.date, last: dt.date) -> dict[tuple[str, str | None], bool]:
    """Materialize both assets; return the results of the advisory check by asset and day."""
    resource = WarehouseResource(location=str(lake.root))
    definitions = dg.Definitions(
        case_assets(daily(FIRST), partial(desk_at, url), Clock(lambda: NOW)),
        resources={"lake": resource, "io_manager": HiveIOManagerFactory(lake=resource)},
        executor=dg.in_process_executor,
    )
    span = Span.days(first, last)
    tags = {"dagster/asset_partition_range_start": span.first_ds, "dagster/asset_partition_range_end": span.last_ds}
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=tags)
        assert result.success
        checks = result.get_asset_check_evaluations()
    assert all(check.passed for check in checks if check.check_name != DESK_ANSWERS)
    return {(check.asset_key.path[-1], check.description): check.passed for check in checks if check.check_name == DESK_ANSWERS}


def rows(lake: EmbeddedWarehouse) -> tuple[list[tuple[str, str]], list[tuple[str, int, int, int]]]:
    decisions = lake.read(DECISIONS.full_name).sort_by("number").to_pylist()
    days = lake.read(CASES_DAILY.full_name).sort_by("ds").to_pylist()
    return (
        [(row["ds"], row["transaction_id"]) for row in decisions],
        [(row["ds"], row["opened"], row["frauds"] + row["honest"], row["backlog"]) for row in days],
    )


def test_a_range_and_single_days_give_the_same_rows(lake: EmbeddedWarehouse, desk: str, tmp_path: Path) -> None:
    last = NOW.date()
    assert materialize(lake, desk, FIRST, last) == {("decisions", None): True, ("cases_daily", None): True}
    expected = (
        [("2026-03-02", "t1"), ("2026-03-03", "t2")],
        [("2026-03-01", 3, 0, 3), ("2026-03-02", 0, 1, 2), ("2026-03-03", 0, 1, 1)],
    )
    assert rows(lake) == expected
    other = EmbeddedWarehouse(tmp_path / "other")
    for day in Span.days(FIRST, last).each_day():
        materialize(other, desk, day, day)
    assert rows(other) == expected


def test_a_run_of_today_adds_what_yesterday_lacks(lake: EmbeddedWarehouse, desk: str) -> None:
    materialize(lake, desk, NOW.date(), NOW.date())
    assert rows(lake)[0] == [("2026-03-02", "t1"), ("2026-03-03", "t2")]


@pytest.mark.parametrize("url", ["postgresql://me:s3cret@127.0.0.1:9/desk", "sqlite:///{folder}/none.sqlite"])
def test_without_an_answer_the_rows_stay(lake: EmbeddedWarehouse, desk: str, tmp_path: Path, url: str) -> None:
    store = CaseStore.open(desk)
    write_decisions(store, lake)
    store.close()
    found = materialize(lake, url.format(folder=tmp_path), FIRST, NOW.date())
    assert rows(lake)[0] == [("2026-03-02", "t1"), ("2026-03-03", "t2")]
    answers = url.startswith("sqlite")
    assert set(found.values()) == {answers} and len(found) == 2
    said = " ".join(description or "" for _, description in found)
    assert "s3cret" not in said and ("127.0.0.1" in said) is not answers
