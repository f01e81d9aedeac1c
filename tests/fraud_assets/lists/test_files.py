"""Files of lists: what an entry needs, when it counts, and that nothing is lost."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fraud_assets.errors import ListError
from fraud_assets.lists.files import COLUMNS, Entry, add_entries, read_lists, remove_entry, value_key
from fraud_assets.lists.keys import Key

NOW = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def entry(value: str, key: Key = "card", *, at: dt.datetime = NOW, until: dt.datetime | None = None, why: str = "why") -> Entry:
    return Entry(key, value, why, "ann", at, at, until)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    add_entries(tmp_path, "cards", "block", [entry("a"), entry('b, "quoted"', until=NOW + HOUR)])
    add_entries(tmp_path, "shops", "watch", [entry("CAFÉ  Graz ", "merchant")])
    cards, shops = read_lists(tmp_path)
    assert (cards.name, cards.kind, shops.name, shops.kind) == ("cards", "block", "shops", "watch")
    assert [*cards.entries] == [entry("a"), entry('b, "quoted"', until=NOW + HOUR)]
    assert shops.entries[0].value_key == "café graz"
    assert read_lists(None) == read_lists(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("key", "value", "compared"),
    [
        ("card", " TOK ", "tok"),
        ("merchant", "Straße  1", "strasse 1"),
        ("pair", "C1 + Straße", "c1+strasse"),
        ("country", "AT", "at"),
    ],
)
def test_values_are_compared_in_normal_form(key: Key, value: str, compared: str) -> None:
    assert value_key(key, value) == compared


def test_an_entry_counts_from_its_start_until_its_first_end() -> None:
    one = entry("a", until=NOW + 2 * HOUR)
    tick = dt.timedelta(microseconds=1)
    assert [one.counts_at(at) for at in (NOW - tick, NOW, NOW + 2 * HOUR - tick, NOW + 2 * HOUR)] == [False, True, True, False]
    assert one.counts_between(NOW - HOUR, NOW + tick) and not one.counts_between(NOW - HOUR, NOW)
    assert not one.counts_between(NOW + 2 * HOUR, NOW + 3 * HOUR)


def test_a_removed_entry_stays_with_its_end(tmp_path: Path) -> None:
    add_entries(tmp_path, "cards", "block", [entry("a"), entry("b")])
    remove_entry(tmp_path, "cards", "card", " A", NOW + HOUR, "bob", "found again")
    [cards] = read_lists(tmp_path)
    assert [(each.value, each.counts_until, each.removed_by) for each in cards.entries] == [
        ("a", NOW + HOUR, "bob"),
        ("b", None, ""),
    ]
    with pytest.raises(ListError, match="no entry card a"):
        remove_entry(tmp_path, "cards", "card", "a", NOW + 2 * HOUR, "bob", "again")
    add_entries(tmp_path, "cards", None, [entry("a", at=NOW + 3 * HOUR)])
    assert len(read_lists(tmp_path)[0].entries) == 3


@pytest.mark.parametrize(
    ("name", "kind", "new", "said"),
    [
        ("cards", "watch", [entry("b")], "is a block list"),
        ("others", None, [entry("b")], "--kind block"),
        ("allow", "block", [entry("b")], "'allow' is no name"),
        ("Blacklist", "block", [entry("b")], "is no name"),
        ("cards", None, [entry("b"), entry(" A ")], "has card a already"),
        ("cards", None, [entry("  ")], "expected a value for card"),
        ("cards", None, [entry("c1", "pair")], r"CUSTOMER\+MERCHANT"),
        ("cards", None, [entry("b", until=NOW)], "not after its start"),
        ("cards", None, [entry("b", why="two\nlines")], "one line"),
        ("cards", None, [entry("b", why=" ")], "the reason"),
        ("cards", None, [entry("b" * 201)], "200"),
    ],
)
def test_an_entry_that_is_refused_changes_nothing(tmp_path: Path, name: str, kind: str, new: list[Entry], said: str) -> None:
    add_entries(tmp_path, "cards", "block", [entry("a")])
    before = (tmp_path / "block" / "cards.csv").read_bytes()
    with pytest.raises(ListError, match=said):
        add_entries(tmp_path, name, kind, new)  # type: ignore[arg-type]
    assert (tmp_path / "block" / "cards.csv").read_bytes() == before
    assert [each.name for each in read_lists(tmp_path)] == ["cards"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["key,value"], "1: expected the columns"),
        ([",".join(COLUMNS), "card,a,why"], "2: expected 10 values"),
        ([",".join(COLUMNS), "card,a,why,ann,yesterday,,,,,"], "2: .*'yesterday'"),
        ([",".join(COLUMNS), "card,a,why,ann,2026-01-05T12:00,,,,,"], "a time with a zone"),
        ([",".join(COLUMNS), "card,a,why,ann,,,,,,"], "added_at, found none"),
        ([",".join(COLUMNS), "iban,a,why,ann,2026-01-05T12:00Z,,,,,"], "'iban' is no key"),
        ([",".join(COLUMNS), *["card,a,why,ann,2026-01-05T12:00Z,,,,,"] * 2], "count at the same time"),
    ],
)
def test_a_file_with_a_mistake_is_named_with_its_line(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "watch" / "cards.csv"
    path.parent.mkdir()
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ListError, match=f"{path}:.*{said}"):
        read_lists(tmp_path)


def test_an_entry_does_not_count_before_it_was_added(tmp_path: Path) -> None:
    path = tmp_path / "watch" / "cards.csv"
    path.parent.mkdir()
    path.write_text(f"{','.join(COLUMNS)}\ncard,a,why,ann,2026-01-05T12:00Z,2025-01-01T00:00Z,,,,\n", encoding="utf-8")
    assert read_lists(tmp_path)[0].entries[0].starts_at == NOW


def test_people_who_add_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add_entries(tmp_path, "cards", "block", [entry(f"c{n}")]), range(24)))
    assert {each.value for each in read_lists(tmp_path)[0].entries} == {f"c{n}" for n in range(24)}
