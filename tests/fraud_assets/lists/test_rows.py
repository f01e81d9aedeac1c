"""Rows of `lists`: point in time, with the source's blacklist; what rules make of each key; entries to look at."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.detection.scaffold import ListRead, write_scaffold
from fraud_assets.engine.engine import Engine
from fraud_assets.lists.files import add_entries, read_lists, remove_entry, value_key
from fraud_assets.lists.keys import COLUMNS, KEYS, ONE_AT_A_TIME, Key
from fraud_assets.lists.review import to_review
from fraud_assets.lists.rows import list_rows, matches
from fraud_assets.schemas.lists import LISTS
from fraud_assets.workshop.examples import read_examples
from fraud_assets.workshop.mutants import mutate
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from tests.fraud_assets.lists.test_files import HOUR, NOW, entry
from tests.fraud_fixtures import DAY, SPAN, fill, judge, transaction

VALUES: dict[Key, str] = {
    "customer": "C1",
    "merchant": " M1",
    "name_prefix": "CAFÉ",
    "country": "at",
    "card": "Tok",
    "device": "D",
    "counterparty": "K",
    "pair": "c1+M1",
}
NAMED = transaction("named", merchant_name="Café Graz", card_id="tok", device_id="d", counterparty_id="k", merchant_key="m1")
ANOTHER = transaction(
    "another",
    "c2",
    merchant_id="m2",
    merchant_key="m2",
    merchant_name="Tea",
    merchant_country="DE",
    card_id="tok2",
    device_id="d2",
)


def test_a_day_has_the_entries_that_count_on_it(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    add_entries(tmp_path, "cards", "block", [entry("a"), entry("b", at=NOW + A_DAY), entry("c", at=NOW - A_DAY, until=NOW)])
    remove_entry(tmp_path, "cards", "card", "a", NOW + A_DAY, "bob", "found")
    remove_entry(tmp_path, "cards", "card", "b", NOW + A_DAY, "bob", "a slip")
    lists = read_lists(tmp_path)
    rows = list_rows(lists, lake, Span.days(DAY, DAY + 2 * A_DAY)).to_pylist()
    assert {(row["ds"], row["value"]) for row in rows} == {("2026-01-05", "a"), ("2026-01-05", "c"), ("2026-01-06", "a")}
    each_day = [list_rows(lists, lake, Span.days(day, day)).to_pylist() for day in Span.days(DAY, DAY + 2 * A_DAY).each_day()]
    assert [row for rows in each_day for row in rows] == rows


def test_the_blacklist_of_the_source_is_one_of_them(lake: EmbeddedWarehouse) -> None:
    merchants = [{"merchant_id": name, "listed_because": "fraud", "merchant_key": "m1"} for name in ("M1", " m1")]
    fill(lake, "blacklist", merchants)
    [row] = list_rows([], lake, SPAN).to_pylist()
    assert (row["list_name"], row["kind"], row["key_name"], row["value_key"]) == ("blacklist", "block", "merchant", "m1")
    assert (row["starts_at"], row["ends_at"], row["ds"]) == (dt.datetime(2026, 1, 5), None, "2026-01-05")


def listed(lake: EmbeddedWarehouse, key: Key, value: str) -> None:
    row: dict[str, Any] = {"list_name": "mine", "key_name": key, "value": value, "value_key": value_key(key, value)}
    fill(lake, LISTS, [{**row, "starts_at": dt.datetime(2026, 1, 1), "reason": "x"}])


@pytest.mark.parametrize("key", [*KEYS])
def test_each_key_names_its_transactions(lake: EmbeddedWarehouse, key: Key) -> None:
    fill(lake, "transactions", [NAMED, ANOTHER])
    listed(lake, key, VALUES[key])
    named = ("mine", key, value_key(key, VALUES[key]))
    assert matches(lake, DAY, [key]) == {named: (1, NOW)}
    assert matches(lake, DAY, [each for each in KEYS if each != key]) == {}


@pytest.mark.parametrize("key", ONE_AT_A_TIME)
def test_a_new_rule_reads_a_list(lake: EmbeddedWarehouse, tmp_path: Path, key: Key) -> None:
    write_scaffold("on_mine", folder=tmp_path, listed=ListRead("mine", key, KEYS[key], COLUMNS[key]))
    book = read_rule_book(tmp_path)
    examples = read_examples(book.rules["on_mine"])
    assert examples is not None and examples.failures() == [] and mutate(examples).share == 1
    row = {"list_name": "mine", "key_name": key, "value": VALUES[key], "value_key": value_key(key, VALUES[key]), "reason": "x"}
    entries = [{**row, "starts_at": dt.datetime(2026, 1, 1)}]
    judged = judge(Engine(book), lake, "on_mine", transactions=[NAMED, ANOTHER], lists=entries)
    assert judged.hits.keys() == {"named"} and judged.judged == 2


def test_entries_that_end_or_match_nothing_are_to_be_looked_at(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    long_ago = NOW - 91 * A_DAY
    fill(lake, "transactions", [NAMED])
    new = [entry("tok", at=long_ago), entry("unused", at=long_ago), entry("new"), entry("ends", until=NOW + 7 * A_DAY)]
    add_entries(tmp_path, "cards", "block", new)
    lists = read_lists(tmp_path)
    fill(lake, LISTS, list_rows(lists, lake, SPAN).to_pylist())
    found = {each.entry: each.why for each in to_review(lists, lake, NOW + HOUR)}
    assert found == {"card unused": "no transaction in 90 days", "card ends": "ends at 2026-01-12T12:00:00Z"}
