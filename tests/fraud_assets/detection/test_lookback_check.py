"""A SELECT that looks further back than its rule declares is rejected, with the line."""

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
BY_MICROSECOND = "UNIX_MICROS(t.event_time)"


def error_of(folder: Path, column: str, lookback: str = "1h", more: str = "") -> str:
    """The error for a rule with this column, without its folder; empty if the rule is valid."""
    declared = f"\n-- lookback: {lookback}" if lookback else ""
    try:
        book_with(folder, {"busy.sql": TEXT.format(column=column, lookback=declared + more)})
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
def test_a_column_inside_the_lookback_is_valid(tmp_path: Path, column: str, lookback: str) -> None:
    assert error_of(tmp_path, column, lookback) == ""


@pytest.mark.parametrize(
    ("column", "lookback", "line", "facts"),
    [
        (
            frame("3600 PRECEDING"),
            "1h",
            17,
            ("3600 seconds", "lookback is 1h", "at most 3599 PRECEDING"),
        ),
        (
            frame("86399 PRECEDING"),
            "90m",
            17,
            ("86399 seconds", "lookback is 90m", "at most 5399 PRECEDING"),
        ),
        (
            frame("599 PRECEDING"),
            "",
            16,
            ("599 seconds", "no lookback", "at most 0 PRECEDING"),
        ),
        (
            frame("UNBOUNDED PRECEDING"),
            "1h",
            17,
            ("COUNT(*)", "RANGE BETWEEN \u2026 PRECEDING"),
        ),
        # without a frame, SQL uses an unbounded one
        (OVER.format("t.event_time", ""), "1h", 17, ("COUNT(*)", "RANGE BETWEEN \u2026 PRECEDING")),
    ],
)
def test_a_frame_that_begins_before_the_lookback_is_rejected(
    tmp_path: Path, column: str, lookback: str, line: int, facts: tuple[str, ...]
) -> None:
    message = error_of(tmp_path, column, lookback)
    assert message.startswith(f"busy.sql:{line}: ")
    assert [fact for fact in facts if fact not in message] == [], message


def test_a_frame_in_microseconds_is_measured_against_the_lookback(tmp_path: Path) -> None:
    def error(start: str, lookback: str) -> str:
        folder = tmp_path / f"{start} {lookback} {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return error_of(folder, frame(f"{start} PRECEDING", BY_MICROSECOND), lookback)

    assert error("3600000000", "1h") == ""
    assert "3600000001 microseconds" in error("3600000001", "1h") and "at most 3600000000 PRECEDING" in error(
        "3600000001", "1h"
    )
    assert "lookback is 90m" in error("86399999999", "90m")


def test_a_frame_is_as_wide_as_the_maximum_of_its_param(tmp_path: Path) -> None:
    more = "\n-- params:\n--   seconds: {type: integer, default: 60, min: 1, max: 3600, description: How long.}"
    message = error_of(tmp_path, frame(":seconds PRECEDING"), "1h", more)
    assert message.startswith("busy.sql:19: ")
    assert "3600 seconds" in message and "lookback is 1h" in message and "at most 3599 PRECEDING" in message


@pytest.mark.parametrize(
    ("comparison", "lookback", "is_valid"), [("< 21600000000", "6h", True), ("< 21600000000", "5h", False)]
)
def test_time_between_two_rows(tmp_path: Path, comparison: str, lookback: str, is_valid: bool) -> None:
    text = (RULES_FOLDER / "impossible_travel.sql").read_text(encoding="utf-8")
    assert text.count(comparison) == text.count("-- lookback: 6h") == 1
    files = {"travel.sql": text.replace("-- lookback: 6h", f"-- lookback: {lookback}")}
    if is_valid:
        assert list(book_with(tmp_path, files).rules) == ["travel"]
        return
    line = text[: text.index(comparison)].count("\n") + 1
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, files)
    message = str(error.value).partition(f"/travel.sql:{line}: ")[2]
    assert "21600000000 microseconds" in message and "lookback is 5h" in message and "\n" not in message


def test_the_rules_of_the_package_are_valid() -> None:
    assert len(read_rule_book().rules) == len([*RULES_FOLDER.glob("*.sql")])
