"""Evidence of a case: alerts as they were, rows with table versions, hashes that show a change, and no markup from data."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path

import deltalake
import pytest
from click.testing import CliRunner

from fraud_assets.cases.evidence import SECTIONS, wrong_hashes
from fraud_assets.cases.lake import write_decisions
from fraud_assets.cases.model import Decision, ReasonCode
from fraud_assets.cases.store import CaseStore
from fraud_assets.cases.sync import sync_alerts
from fraud_assets.cli.main import main
from fraud_assets.schemas.detection import FRAUD_ALERTS
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cases.test_sync import row
from tests.fraud_fixtures import fill, transaction

HOSTILE = "</script><script>alert('x')</script> \u202e"


@pytest.fixture
def decided(lake: EmbeddedWarehouse, now: dt.datetime) -> EmbeddedWarehouse:
    fill(lake, "transactions", [transaction("t1", merchant_name=HOSTILE), transaction("t2"), transaction("other")])
    fill(lake, FRAUD_ALERTS, [row("t1", score=0.4, reasons=["fast", HOSTILE]), row("t2")])
    store = CaseStore.open(f"sqlite:///{lake.root / 'desk.sqlite'}")
    sync_alerts(store, lake, now)
    # the lake's alert changes later; the case's stays as it was
    fill(lake, FRAUD_ALERTS, [row("t1", score=0.3), row("t2")])
    case = store.case("1")
    store.decide("1", Decision.FRAUD, ReasonCode.MULE, HOSTILE, "ann", case.version, now, {"t2": Decision.HONEST})
    write_decisions(store, lake)
    store.close()
    return lake


def export(lake: EmbeddedWarehouse, file: Path) -> str:
    result = CliRunner().invoke(main, ["cases", "export", "1", "--out", str(file), "--warehouse", str(lake.root)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_json_has_everything_with_hashes(decided: EmbeddedWarehouse, tmp_path: Path) -> None:
    said = export(decided, tmp_path / "case.json")
    data = json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))
    assert data["sha256"]["all"] in said and wrong_hashes(data) == []
    assert [(alert["transaction_id"], alert["score"], alert["amount"]) for alert in data["alerts"]] == [
        ("t1", 0.4, "12.30"), ("t2", 0.5, "12.30"),
    ]  # fmt: skip
    assert [each["score"] for each in data["rows"]["fraud_alerts"]] == [0.3, 0.5]
    assert {each["transaction_id"] for each in data["rows"]["transactions"]} == {"t1", "t2"}
    assert [(each["transaction_id"], each["decision"]) for each in data["decisions"]] == [("t1", "fraud"), ("t2", "honest")]
    assert [event["kind"] for event in data["history"]] == ["opened", "raised", "decided"]
    # the version reads the same rows again
    version = data["tables"]["fraud_alerts"]["version"]
    table = deltalake.DeltaTable(str(decided.root / "fintech.db" / "fraud_alerts"), version=version).to_pyarrow_table()
    assert sorted(table.column("score").to_pylist()) == [0.3, 0.5]


def test_a_change_of_any_part_shows(decided: EmbeddedWarehouse, tmp_path: Path) -> None:
    export(decided, tmp_path / "case.json")
    text = (tmp_path / "case.json").read_text(encoding="utf-8")
    for section in SECTIONS:
        data = json.loads(text)
        part = data[section]
        if isinstance(part, list):
            part.pop()
        else:
            part.pop(sorted(part)[0])
        assert wrong_hashes(data) == [section]
        data["sha256"][section] = "0" * 64
        assert wrong_hashes(data) == [section, "all"]


def test_the_page_has_the_same_json_and_runs_nothing(decided: EmbeddedWarehouse, tmp_path: Path) -> None:
    export(decided, tmp_path / "case.html")
    export(decided, tmp_path / "case.json")
    page = (tmp_path / "case.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1 and "<script>" not in page and "&lt;script&gt;alert" in page
    [inside] = re.findall(r'<script type="application/json" id="evidence">(.*)</script>', page, re.DOTALL)
    data, other = json.loads(inside), json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))
    assert wrong_hashes(data) == [] and data["sha256"]["rows"] == other["sha256"]["rows"]
    assert data["case"]["note"] == HOSTILE.strip() and Decimal(data["alerts"][0]["amount"]) == Decimal("12.30")
