"""`docs/hiveql.md` lists what the allow-list has."""

from __future__ import annotations

from pathlib import Path

from hive_io.hiveql.docs import render
from hive_io.hiveql.signatures import ALL, REFUSED, SIGNATURES

PAGE = Path(__file__).parents[2] / "docs" / "hiveql.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "write it anew: python -m hive_io.hiveql.docs docs/hiveql.md"


def test_every_function_is_listed() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("\\|", "|")
    assert [signature.name for signature in ALL if f"`{signature.name}(" not in page] == []
    assert [name for name in REFUSED if f"| `{name}` |" not in page] == []


def test_nothing_is_both_allowed_and_refused() -> None:
    assert not SIGNATURES.keys() & REFUSED.keys()
