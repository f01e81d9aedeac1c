"""A SELECT that looks further back than its rule states is refused, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.errors import RuleError
from tests.fraud_fixtures import book_with

TEXT = """\
-- title: Busy
-- description: Busy.
-- blind_spot: Much.
-- severity: low
-- weight: 0.2{lookback}
-- reason: "{{n}} in a while"
-- source: A test.
SELECT
  w.transaction_id,
  w.customer_id,
  w.event_time,
  w.n > 2 AS hit,
  w.n
FROM (
  SELECT t.transaction_id, t.customer_id, t.event_time,
    {column} AS n
  FROM transactions t
) w
"""
OVER = "COUNT(*) OVER (PARTITION BY t.customer_id ORDER BY {} {})"
BY_SECOND = "UNIX_TIMESTAMP(t.event_time)"


def said(folder: Path, column: str, lookback: str = "1h", more: str = "") -> str:
    """What is said of a rule with this column, without its folder; nothing if it is fine."""
    stated = f"\n-- lookback: {lookback}" if lookback else ""
    try:
        book_with(folder, {"busy.sql": TEXT.format(column=column, lookback=stated + more)})
    except RuleError as error:
        return str(error).removeprefix(f"{folder}/rules/")
    return ""


def frame(start: str, order: str = BY_SECOND) -> str:
    return OVER.format(order, f"RANGE BETWEEN {start} AND CURRENT ROW")


@pytest.mark.parametrize(
    ("column", "lookback"),
    [
        (frame("3599 PRECEDING"), "1h"),
        (frame("86399 PRECEDING"), "1d"),
        (OVER.format(BY_SECOND, "ROWS BETWEEN 5 PRECEDING AND CURRENT ROW"), "1h"),
        ("LAG(t.amount) OVER (PARTITION BY t.customer_id ORDER BY t.event_time, t.transaction_id)", "1h"),
        ("COUNT(*) OVER (PARTITION BY t.transaction_id)", ""),
    ],
)
def test_what_is_inside_the_look_back_is_fine(tmp_path: Path, column: str, lookback: str) -> None:
    assert said(tmp_path, column, lookback) == ""


@pytest.mark.parametrize(
    ("column", "lookback", "message"),
    [
        (
            frame("3600 PRECEDING"),
            "1h",
            "busy.sql:17: the frame begins 3600 seconds before, and lookback is 1h; 3599 PRECEDING is the most",
        ),
        (
            frame("86399 PRECEDING"),
            "90m",
            "busy.sql:17: the frame begins 86399 seconds before, and lookback is 90m; 5399 PRECEDING is the most",
        ),
        (
            frame("599 PRECEDING"),
            "",
            "busy.sql:16: the frame begins 599 seconds before, and no lookback is stated; 0 PRECEDING is the most",
        ),
        (
            frame("UNBOUNDED PRECEDING"),
            "1h",
            "busy.sql:17: the frame of COUNT(*) has no beginning; state one, RANGE BETWEEN \u2026 PRECEDING",
        ),
        # SQL's own frame, where none is written
        (OVER.format("t.event_time", ""), "1h", "busy.sql:17: the frame of COUNT(*) has no beginning"),
    ],
)
def test_a_frame_that_begins_before_the_look_back(tmp_path: Path, column: str, lookback: str, message: str) -> None:
    assert said(tmp_path, column, lookback).startswith(message)


def test_a_frame_as_wide_as_a_param_may_be(tmp_path: Path) -> None:
    more = "\n-- params:\n--   seconds: {type: integer, default: 60, min: 1, max: 3600, description: How long.}"
    found = said(tmp_path, frame(":seconds PRECEDING"), "1h", more)
    assert found == "busy.sql:19: the frame begins 3600 seconds before, and lookback is 1h; 3599 PRECEDING is the most"


@pytest.mark.parametrize(("comparison", "lookback", "good"), [("< 21600", "6h", True), ("< 21600", "5h", False)])
def test_seconds_between_two_rows(tmp_path: Path, comparison: str, lookback: str, good: bool) -> None:
    text = (RULES_FOLDER / "impossible_travel.sql").read_text(encoding="utf-8")
    assert text.count(comparison) == text.count("-- lookback: 6h") == 1
    files = {"travel.sql": text.replace("-- lookback: 6h", f"-- lookback: {lookback}")}
    if good:
        assert list(book_with(tmp_path, files).rules) == ["travel"]
        return
    line = text[: text.index(comparison)].count("\n") + 1
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, files)
    assert str(error.value).endswith(f"travel.sql:{line}: rows of 21600 seconds before are looked at, and lookback is 5h")


def test_the_rules_of_the_package_stay_inside() -> None:
    assert len(read_rule_book().rules) == len([*RULES_FOLDER.glob("*.sql")])
