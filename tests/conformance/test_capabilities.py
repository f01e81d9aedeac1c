"""Optional features: what a warehouse with a capability does, and what one without it does instead."""

from __future__ import annotations

import datetime as dt

import pytest

from hive_io import Capability, HiveQL, NoHistory, PartitionConflict, Receipt, Warehouse
from tests.hive_io_fixtures import PAYMENTS, at, at_once, days, pause, payment, payments, rows_of

NAME = PAYMENTS.full_name


def test_time_travel_reads_earlier_rows(warehouse: Warehouse) -> None:
    warehouse.replace(PAYMENTS, payments(payment("old", at(1))), days(1))
    moment = pause()
    warehouse.replace(PAYMENTS, payments(payment("new", at(1))), days(1))
    if Capability.TIME_TRAVEL in warehouse.capabilities:
        assert rows_of(warehouse.as_of(moment).read(NAME)) == [payment("old", at(1))]
        with pytest.raises(NoHistory, match="has not come yet"):
            warehouse.as_of(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    else:
        with pytest.raises(NoHistory, match="keeps no history"):
            warehouse.as_of(moment)
    assert rows_of(warehouse.read(NAME)) == [payment("new", at(1))]


def test_preloaded_rows_are_the_only_rows_of_queries(warehouse: Warehouse) -> None:
    warehouse.replace(PAYMENTS, payments(payment("1", at(1)), payment("2", at(2))), days(1, 2))
    ids = HiveQL(f"SELECT id FROM {NAME}")
    with warehouse.preloaded(NAME, HiveQL(f"SELECT * FROM {NAME} WHERE id = '2'")):
        preloaded = [("2",)] if Capability.PRELOADED_ROWS in warehouse.capabilities else [("1",), ("2",)]
        assert rows_of(warehouse.query(ids)) == preloaded
        warehouse.replace(PAYMENTS, payments(payment("3", at(3))), days(3))
        assert rows_of(warehouse.query(ids)) == [("1",), ("2",), ("3",)], "a write ends the use of preloaded rows"
    assert rows_of(warehouse.query(ids)) == [("1",), ("2",), ("3",)]


def test_concurrent_writers_of_a_day_leave_the_rows_of_one(warehouse: Warehouse) -> None:
    warehouse.replace(PAYMENTS, payments(payment("old", at(1))), days(1))
    written = {name: [payment(f"{name} {n}", at(1, n)) for n in range(5)] for name in ("a", "b")}
    outcomes = at_once(
        *[lambda rows=rows: warehouse.replace(PAYMENTS, payments(*rows), days(1)) for rows in written.values()]  # type: ignore[misc]
    )
    winners = [name for name, outcome in zip(written, outcomes, strict=True) if isinstance(outcome, Receipt)]
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
    assert rows_of(warehouse.read(NAME)) in [written[name] for name in winners]
    if Capability.CONFLICT_DETECTION in warehouse.capabilities:
        assert all(isinstance(error, PartitionConflict) for error in refused)
    else:
        assert refused == []
