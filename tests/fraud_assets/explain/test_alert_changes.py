"""Alerts gained, lost and changed since a time, each with its cause."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.detection.scaffold import ListRead, write_scaffold
from fraud_assets.engine.engine import Engine
from fraud_assets.explain.alert_changes import alert_changes
from fraud_assets.lists.keys import COLUMNS, KEYS
from fraud_assets.schemas.detection import ALERT_THRESHOLDS
from fraud_assets.scoring.card import Card, Part
from fraud_assets.workshop.trial import with_params
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import DAY, NOON, SPAN, all_tables, fill, profile, transaction
from tests.hive_io_fixtures import pause

RULES = ("blacklisted_merchants", "high_value", "unusual_transaction", "velocity")
CARD = Card(base=-100, features=(Part(feature="transactions_1h", edges=(3,), points=(0, 130)),), origin="by hand")


@pytest.fixture(scope="module")
def book() -> RuleBook:
    """Four rules and a card: three transactions in an hour have a score of 0.74, fewer of 0.03."""
    read = read_rule_book()
    return replace(read, rules={name: read.rules[name] for name in RULES}, scorecard=CARD)


def day_of(lake: EmbeddedWarehouse, book: RuleBook, *rows: dict[str, Any]) -> None:
    """Replace the day's transactions and compute everything that is made of them."""
    engine = Engine(book)
    all_tables(lake, book)
    fill(lake, "transactions", rows)
    for table in engine.per_transaction:
        lake.replace(table, engine.data(table.name, SPAN, lake), SPAN)


def compared(lake: EmbeddedWarehouse, book: RuleBook, moment: dt.datetime) -> dict[str, tuple[str, str | None, str]]:
    """By transaction: what happened to its alert, the rule, the cause."""
    found = alert_changes(Engine(book), lake, DAY, moment)
    assert len({each.transaction_id for each in found}) == len(found), "one cause each"
    return {each.transaction_id: (each.change.value, each.rule, each.cause.value) for each in found}


def paid(name: str, amount: str = "10.00", customer: str | None = None, **more: Any) -> dict[str, Any]:
    return transaction(name, customer or f"c-{name}", amount, ingested_at=NOON, **more)


def test_what_happened_to_the_transaction_comes_first(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    same = paid("same", "3000.00")
    day_of(lake, book, same, paid("grew", "30.00"), paid("shrank", "3000.00"), paid("gone", "3000.00"), paid("calm"))
    moment = pause()
    day_of(lake, book, same, paid("grew", "3000.00"), paid("shrank", "30.00"), paid("late", "3000.00"), paid("calm", "11.00"))
    assert compared(lake, book, moment) == {
        "grew": ("gained", "high_value", "transaction corrected"),
        "shrank": ("lost", "high_value", "transaction corrected"),
        "gone": ("lost", "high_value", "transaction removed"),
        "late": ("gained", "high_value", "transaction arrived later"),
    }
    details = {each.transaction_id: each.detail for each in alert_changes(Engine(book), lake, DAY, moment)}
    assert details["grew"] == "amount 30.00 → 3000.00"
    assert details["late"] == "it arrived at 2026-01-05 12:00:00 UTC"
    assert compared(lake, book, pause()) == {}


def test_another_version_of_a_rule(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    rows = [paid("low", "1500.00"), paid("high", "3000.00")]
    day_of(lake, book, *rows)
    moment = pause()
    changed = with_params(book.rules["high_value"], {"thresholds.EUR": Decimal(1000)})
    other = replace(book, rules={**book.rules, "high_value": changed})
    day_of(lake, other, *rows)
    (gained,) = alert_changes(Engine(other), lake, DAY, moment)
    assert (gained.transaction_id, gained.cause.value) == ("low", "rule version")
    assert book.rules["high_value"].version in gained.detail and changed.version in gained.detail


def test_a_rule_that_became_active(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    shadow = replace(book, rules={**book.rules, "high_value": replace(book.rules["high_value"], status="shadow")})
    day_of(lake, shadow, paid("high", "3000.00"))
    moment = pause()
    day_of(lake, book, paid("high", "3000.00"))
    assert compared(lake, book, moment) == {"high": ("gained", "high_value", "rule became active, or is no longer")}
    later = pause()
    day_of(lake, shadow, paid("high", "3000.00"))
    assert compared(lake, shadow, later) == {"high": ("lost", "high_value", "rule became active, or is no longer")}


def test_what_a_rule_reads_of_the_customer_and_the_merchant(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    all_tables(lake, book)
    rows = [paid("unusual", "400.00", "c1"), paid("listed", "10.00", "c2", merchant_id="m2"), paid("calm")]
    fill(lake, "customer_profiles", [profile("c1", amount_mean=Decimal(390), amount_max=Decimal(500)), profile("c-calm")])
    day_of(lake, book, *rows)
    moment = pause()
    fill(lake, "customer_profiles", [profile("c1"), profile("c-calm")])
    fill(lake, "blacklist", [{"merchant_id": "m2", "name": "Shop", "listed_because": "chargebacks", "listed_at": NOON}])
    day_of(lake, book, *rows)
    assert compared(lake, book, moment) == {
        "unusual": ("gained", "unusual_transaction", "profile or report"),
        "listed": ("gained", "blacklisted_merchants", "entry of a list"),
    }


def test_an_entry_of_a_list_that_was_added_ended_or_changed(lake: EmbeddedWarehouse, book: RuleBook, tmp_path: Path) -> None:
    for name, listed in {"on_cards": "cards", "on_others": "others"}.items():
        read = ListRead(listed, "card", KEYS["card"], COLUMNS["card"])
        write_scaffold(name, folder=tmp_path, listed=read)
    rules = read_rule_book(tmp_path).rules
    book = replace(book, rules={**book.rules, **{name: replace(rule, status="active") for name, rule in rules.items()}})
    rows = [paid(name, card_id=f"card-{name}") for name in ("added", "ended", "before", "same", "other")]

    def lists(*cards: str, **more: Any) -> list[dict[str, Any]]:
        row = {"list_name": "cards", "kind": "block", "key_name": "card", "reason": "stolen", "owner": "ann"}
        row |= {"starts_at": NOON - dt.timedelta(hours=1), **more}
        return [{**row, "value": f"Card-{card}", "value_key": f"card-{card}"} for card in cards]

    all_tables(lake, book)
    others = lists("other", list_name="others")
    fill(lake, "lists", [*lists("ended", "same"), *others])
    day_of(lake, book, *rows)
    moment = pause()
    # one ended before its transaction, one begins after it, one of another list is another person's now, and adds a hit
    ended = lists("ended", ends_at=NOON - dt.timedelta(minutes=1))
    later = lists("before", starts_at=NOON + dt.timedelta(hours=1))
    fill(
        lake,
        "lists",
        [*lists("added", "same"), *ended, *later, *lists("other", list_name="others", owner="bob"), *lists("other")],
    )
    day_of(lake, book, *rows)
    assert compared(lake, book, moment) == {
        "added": ("gained", "on_cards", "entry of a list"),
        "ended": ("lost", "on_cards", "entry of a list"),
        "other": ("changed", "on_cards", "entry of a list"),
    }
    details = {each.transaction_id: each.detail for each in alert_changes(Engine(book), lake, DAY, moment)}
    assert details == {
        "added": "cards: card Card-added was added by ann: stolen",
        "ended": "cards: card Card-ended no longer counts",
        "other": "cards: card Card-other was added by ann: stolen",
    }


def test_other_transactions_of_the_customer(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    last = paid("last", customer="c1", event_time=NOON + dt.timedelta(minutes=9))
    day_of(lake, book, last)
    moment = pause()
    more = [paid(f"t{n}", customer="c1", event_time=NOON + dt.timedelta(seconds=n)) for n in range(30)]
    day_of(lake, book, last, *more)
    found = compared(lake, book, moment)
    assert found["last"] == ("gained", "velocity", "other transactions of the customer")
    assert {each for name, each in found.items() if name != "last"} == {
        ("gained", "velocity", "transaction arrived later"),
        ("gained", "scorecard", "transaction arrived later"),
    }


def test_a_score_that_another_card_or_feature_gives(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    rows = [paid("scored", "3000.00"), paid("third", "10.00", "c1", event_time=NOON + dt.timedelta(minutes=9))]
    others = [paid(f"t{n}", "10.00", "c1", event_time=NOON + dt.timedelta(minutes=n)) for n in range(2)]
    day_of(lake, book, *rows)
    moment = pause()
    day_of(lake, book, *rows, *others)
    assert compared(lake, book, moment) == {"third": ("gained", "scorecard", "feature")}
    later = pause()
    other = replace(book, scorecard=CARD.model_copy(update={"base": -99}))
    day_of(lake, other, *rows, *others)
    assert compared(lake, other, later) == {
        "scored": ("changed", None, "scorecard"),
        "third": ("changed", None, "scorecard"),
    }


def test_another_score_that_the_budget_of_alerts_needs(lake: EmbeddedWarehouse, book: RuleBook) -> None:
    book = replace(book, alerts_a_day=10)
    rows = [paid(f"t{n}", "10.00", "c1", event_time=NOON + dt.timedelta(minutes=n)) for n in range(3)]
    all_tables(lake, book)
    fill(lake, ALERT_THRESHOLDS, [{"score": 0.9, "budget": 10, "days": 14, "reason": "of before"}])
    day_of(lake, book, *rows)
    moment = pause()
    fill(lake, ALERT_THRESHOLDS, [{"score": 0.7, "budget": 10, "days": 14, "reason": "of now"}])
    day_of(lake, book, *rows)
    assert compared(lake, book, moment) == {"t2": ("gained", "scorecard", "score that an alert needs")}
    [change] = alert_changes(Engine(book), lake, DAY, moment)
    assert change.detail == "0.900000 → 0.700000"


def test_the_command_counts_causes_and_names_each_change(
    lake: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    book = read_rule_book()
    day_of(lake, book, paid("gone", "3000.00"))
    moment = pause()
    day_of(lake, book, paid("late", "3000.00"))
    args = ["alerts", "diff", str(DAY), "--warehouse", str(lake.root), "--as-of", f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"]
    text = CliRunner().invoke(main, args)
    assert text.exit_code == 0, text.output
    assert f"Alerts of {DAY} since" in text.output and "1 gained, 1 lost, 0 changed" in text.output
    assert "1 gained: transaction arrived later" in text.output and "1 lost: transaction removed" in text.output
    rows = json.loads(CliRunner().invoke(main, [*args, "--format", "json"]).output)
    assert {(row["transaction_id"], row["change"], row["cause"]) for row in rows} == {
        ("gone", "lost", "transaction removed"),
        ("late", "gained", "transaction arrived later"),
    }
    listed = CliRunner().invoke(main, ["alerts", "--warehouse", str(lake.root)])
    assert listed.exit_code == 0 and "late" in listed.output, "without a subcommand, alerts are listed"
    before_all = CliRunner().invoke(main, [*args[:-1], "2020-01-01T00:00Z"])
    assert "1 gained, 0 lost, 0 changed" in before_all.output, "there was no table"
