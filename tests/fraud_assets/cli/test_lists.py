"""`fraud lists`: from an entry to a hit, and the allow list, which is the suppressions of cases."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from fraud_assets.clock import Clock
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.lists import LISTS
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cases.test_sync import row
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import fill, transaction

CLOCK = Clock(lambda: dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC))
WHY = ["--why", "reported", "--by", "ann"]


@pytest.fixture
def bank(lake: EmbeddedWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedWarehouse:
    fill(lake, FRAUD_ALERTS, [row("700"), row("701", customer_id="c2", severity="critical")])
    fill(lake, "transactions", [transaction("700", card_id="TOK")])
    monkeypatch.setenv("FRAUD_WAREHOUSE", str(lake.root))
    monkeypatch.setenv("FRAUD_LISTS_FOLDER", str(tmp_path / "lists"))
    return lake


def shown(*arguments: str) -> list[dict[str, object]]:
    return json.loads(fraud("lists", "show", *arguments, "--format", "json", clock=CLOCK).output)


def test_an_entry_is_stored_shown_and_removed(bank: EmbeddedWarehouse) -> None:
    added = fraud("lists", "add", "cards", "card", "tok", "--kind", "block", *WHY, clock=CLOCK)
    assert added.exit_code == 0 and "1 added, 1 count" in added.output
    [stored] = bank.read(LISTS.full_name).to_pylist()
    assert (stored["value"], stored["starts_at"], stored["ends_at"]) == ("tok", dt.datetime(2026, 1, 5, 12), None)
    [entry] = shown("cards")
    assert (entry["value"], entry["owner"], entry["transactions"], entry["ends_soon"]) == ("tok", "ann", 1, False)
    assert "1 transactions in 90 days" in fraud("lists", "show", clock=CLOCK).output
    later = Clock(lambda: dt.datetime(2026, 1, 5, 13, tzinfo=dt.UTC))
    assert fraud("lists", "remove", "cards", "card", "TOK", "--why", "found", clock=later).exit_code == 0
    [stored] = bank.read(LISTS.full_name).to_pylist()
    assert stored["ends_at"] == dt.datetime(2026, 1, 5, 13)
    assert json.loads(fraud("lists", "show", "cards", "--format", "json", clock=later).output) == []
    assert "removed: found" in fraud("lists", "show", "cards", "--all", clock=later).output


def test_a_file_is_added_whole_or_not_at_all(bank: EmbeddedWarehouse, tmp_path: Path) -> None:
    path = tmp_path / "cards.csv"
    path.write_text("key,value,reason\ncard,a,lost\ncard,b,\ndevice,d,\n")
    add = ["lists", "add", "cards", "--kind", "watch", "--file", path, *WHY]
    assert "3 added" in fraud(*add, clock=CLOCK).output
    assert {(each["value"], each["reason"]) for each in shown("cards")} == {("a", "lost"), ("b", "reported"), ("d", "reported")}
    path.write_text("key,value\ncard,c\ncard,a\n")
    assert "card a already" in refused(fraud(*add, clock=CLOCK))
    path.write_text("key,value\niban,c\n")
    assert "cards.csv:2" in refused(fraud(*add, clock=CLOCK))
    path.write_text("card\nc\n")
    assert "columns key, value" in refused(fraud(*add, clock=CLOCK))
    assert len(shown("cards")) == 3


def test_the_allow_list_is_the_suppressions_of_cases(bank: EmbeddedWarehouse) -> None:
    add = ["lists", "add", "allow", "customer", "c2", *WHY]
    assert "cases sync" in refused(fraud(*add, "--until", "2026-01-09", clock=CLOCK))
    fraud("cases", "sync", clock=CLOCK)
    assert "--until" in refused(fraud(*add, clock=CLOCK))
    assert fraud(*add, "--until", "2026-01-09", clock=CLOCK).exit_code == 0
    alerts = [row("702", customer_id="c2", severity="low", score=0.3), row("703", customer_id="c2", severity="critical")]
    fill(bank, FRAUD_ALERTS, alerts)
    assert "1 alerts hidden" in fraud("cases", "sync", clock=CLOCK).output
    [entry] = shown("allow")
    assert (entry["value"], entry["alerts_hidden"], entry["hides"]) == ("c2", 1, "up to medium, below 0.9")
    assert "1 alerts joined" in fraud("lists", "remove", "allow", "customer", "c2", "--why", "moved", clock=CLOCK).output
    assert shown("allow") == []
    assert "has no customer c2" in refused(fraud("lists", "remove", "allow", "customer", "c2", "--why", "x", clock=CLOCK))
    assert "customers and merchants" in refused(
        fraud("lists", "add", "allow", "card", "x", *WHY, "--until", "2026-02-01", clock=CLOCK)
    )


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    add = ["lists", "add", "cards", "card", "tok", *WHY]
    assert "FRAUD_LISTS_FOLDER" in refused(fraud(*add))
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(tmp_path))
    assert "--kind block" in refused(fraud(*add))
    assert "no list nosuch" in refused(fraud("lists", "show", "nosuch"))
    assert "KEY and a VALUE" in refused(fraud("lists", "add", "cards", *WHY))
    assert fraud("lists", "show").output == "No entries.\n"
    assert fraud(*add, "--kind", "block").exit_code == 0
    assert (tmp_path / "lists" / "block" / "cards.csv").exists() and not (tmp_path / "warehouse").exists()
