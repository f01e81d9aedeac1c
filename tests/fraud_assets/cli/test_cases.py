"""`fraud cases`: from alerts to a decision, as a person at a terminal does it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from fraud_assets.schemas.detection import FRAUD_ALERTS
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cases.test_sync import row
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import fill


@pytest.fixture
def bank(lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch) -> EmbeddedWarehouse:
    fill(lake, FRAUD_ALERTS, [row("700"), row("701", severity="critical"), row("t3", customer_id="c2", score=0.9)])
    monkeypatch.setenv("FRAUD_WAREHOUSE", str(lake.root))
    return lake


def test_from_alerts_to_a_decision(bank: EmbeddedWarehouse) -> None:
    assert "sync" in refused(fraud("cases", "list"))
    assert "2 cases opened" in fraud("cases", "sync").output
    assert "0 cases opened" in fraud("cases", "sync").output
    listed = json.loads(fraud("cases", "list", "--format", "json").output)
    assert [(case["customer_id"], case["severity"], case["alert_count"]) for case in listed] == [
        ("c2", "high", 1), ("c1", "critical", 2),
    ]  # fmt: skip
    assert listed[1]["amounts"] == {"EUR": "24.60"}
    decided = fraud(
        "cases", "decide", "--transaction", "700", "--as", "fraud", "--reason", "mule", "--by", "ann", "--note", "=1+1"
    )
    assert decided.exit_code == 0 and "ann" in decided.output and "2 transactions" in decided.output
    case_id = listed[1]["case_id"]
    shown = json.loads(fraud("cases", "show", case_id, "--format", "json").output)
    assert (shown["decision"], shown["reason_code"], len(shown["alerts"])) == ("fraud", "mule", 2)
    assert [event["kind"] for event in shown["history"]] == ["opened", "raised", "decided"]
    text = fraud("cases", "show", case_id).output
    assert all(part in text for part in ("700", "701", "velocity: fast", "decided", "mule"))
    rows = list(csv.DictReader(io.StringIO(fraud("cases", "list", "--status", "decided", "--format", "csv").output)))
    assert [(each["case_id"], each["note"], each["amounts"]) for each in rows] == [(case_id, "'=1+1", "24.60 EUR")]


def test_a_decision_on_what_someone_else_changed_is_refused(bank: EmbeddedWarehouse) -> None:
    fraud("cases", "sync")
    seen = json.loads(fraud("cases", "show", "1", "--format", "json").output)["version"]
    decide = ["cases", "decide", "1", "--reason", "customer_confirms", "--as", "honest", "--seen", str(seen)]
    fraud(*decide, "--by", "bob")
    said = refused(fraud(*decide, "--by", "ann"))
    assert "bob" in said and "honest" in said


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["show", "99"], ["99"]),
        (["show"], ["CASE", "--transaction"]),
        (["show", "1", "--transaction", "t3"], ["CASE", "--transaction"]),
        (["show", "--transaction", "nobody"], ["nobody", "fraud cases sync"]),
        (["decide", "1", "--as", "honest", "--reason", "mule"], ["mule", "customer_confirms"]),
    ],
)
def test_mistakes_are_answered(bank: EmbeddedWarehouse, arguments: list[str], facts: list[str]) -> None:
    fraud("cases", "sync")
    said = refused(fraud("cases", *arguments))
    assert all(fact in said for fact in facts), said


@pytest.mark.parametrize(
    "url", ["mysql://me:geheim@127.0.0.1/desk", "postgresql://me:geheim@127.0.0.1:9/desk", "geheim", "sqlite://"]
)
def test_a_database_that_cannot_be_used_is_an_error_without_its_password(
    bank: EmbeddedWarehouse, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_DESK_DATABASE", url)
    assert "geheim" not in refused(fraud("cases", "sync"))


def test_a_file_that_is_no_database_stays_as_it_is(bank: EmbeddedWarehouse, tmp_path: Path) -> None:
    (bank.root / "desk.sqlite").write_text("my notes, not a database\n" * 100)
    said = refused(fraud("cases", "sync"))
    assert "desk.sqlite" in said and "not a database" in said
    assert (bank.root / "desk.sqlite").read_text().startswith("my notes")
