"""Rounds of the background work on a real warehouse."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from fraud_assets.cases.model import Decision, ReasonCode
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import Clock
from fraud_assets.desk.lake_work import AlertsToCases, DecisionsToLake
from hive_io import EmbeddedWarehouse, HiveIOError
from hive_io.locations import open_warehouse
from tests.fraud_assets.desk.site import NOW


def test_alerts_become_cases_and_decisions_come_back(tmp_path: Path, desk_lake: Path) -> None:
    lake = shutil.copytree(desk_lake, tmp_path / "lake")
    store = CaseStore.open(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    alerts = AlertsToCases(store, partial(open_warehouse, str(lake), read_only=True), Clock(lambda: NOW))
    assert alerts() == "2 cases opened, 0 raised, 1 alerts added, 0 woken"
    assert alerts() == "0 cases opened, 0 raised, 0 alerts added, 0 woken"
    decisions = DecisionsToLake(store, partial(EmbeddedWarehouse, lake))
    assert decisions() == "0 decisions written"
    case = store.cases_of_customer("c1")[0]
    store.decide(case.case_id, Decision.FRAUD, ReasonCode.MULE, None, "ines", case.version, NOW)
    assert decisions() == "2 decisions written" and decisions() == "0 decisions written"
    rows = EmbeddedWarehouse(lake).read("fintech.decisions").to_pylist()
    assert {(row["transaction_id"], row["decision"], row["decided_by"]) for row in rows} == {
        ("t1", "fraud", "ines"),
        ("t2", "fraud", "ines"),
    }
    store.close()


def test_a_warehouse_that_comes_later_is_opened_then(tmp_path: Path, desk_lake: Path) -> None:
    store = CaseStore.open(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    alerts = AlertsToCases(store, partial(open_warehouse, str(tmp_path / "lake"), read_only=True), Clock(lambda: NOW))
    with pytest.raises(HiveIOError):
        alerts()
    shutil.copytree(desk_lake, tmp_path / "lake")
    assert alerts().startswith("2 cases opened")
    store.close()
