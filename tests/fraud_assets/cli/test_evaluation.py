"""`fraud rules quality` and `fraud evaluate`: values, formats and refusals."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from fraud_assets.cli.main import main
from fraud_assets.clock import Clock
from fraud_assets.schemas.detection import TRANSACTION_SCORES, rule_table
from fraud_assets.schemas.evaluation import LABELS
from hive_io import Column, EmbeddedWarehouse, Span, Table
from tests.fraud_fixtures import fill, transaction

FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 3, 20)
SPAN = Span.days(FIRST, LAST)
NOW = Clock(lambda: dt.datetime(2026, 3, 30, tzinfo=dt.UTC))
RANGE = ["--from", "2026-03-01", "--to", "2026-03-21"]
COLUMNS = [
    "rule", "status", "hits", "hits_a_day", "matured", "frauds", "precision", "precision_low", "precision_high", "caught",
    "known", "expected", "recall", "recall_low", "recall_high", "only", "money_caught", "money_missed",
]  # fmt: skip


def fraud(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], obj=NOW)


def answer(*arguments: object) -> Any:
    result = fraud(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    assert result.exit_code != 0 and isinstance(result.exception, SystemExit), result.exc_info
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty days of five transactions a day: `a` and `b` are frauds, known after 3 days; `a` and `c` have alerts."""
    folder = tmp_path_factory.mktemp("evaluation") / "lake"
    warehouse = EmbeddedWarehouse(folder)
    at = {f"{name} {day.day:02}": dt.datetime.combine(day, dt.time(12)) for day in SPAN.each_day() for name in "abcde"}
    rows = [transaction(name, f"card {name}", event_time=time) for name, time in at.items()]
    fill(warehouse, "transactions", rows, SPAN)
    labels = [
        {"transaction_id": name, "is_fraud": True, "known_at": time + dt.timedelta(days=3), "origin": "fraud report"}
        | {"event_time": time, "amount": 10, "currency": "EUR", "ds": str((time + dt.timedelta(days=3)).date())}
        for name, time in at.items()
        if name[0] in "ab"
    ]
    loaded = Span.days(FIRST, LAST + dt.timedelta(days=3))
    fill(warehouse, LABELS, labels, loaded)
    fill(warehouse, "fraud_reports_loads", [{"rows_loaded": 2, "ds": str(day)} for day in loaded.each_day()], loaded)
    alerts = [
        {"transaction_id": name, "event_time": time, "score": {"a": 0.6, "c": 0.4}[name[0]]}
        for name, time in at.items()
        if name[0] in "ac"
    ]
    fill(warehouse, "fraud_alerts", alerts, SPAN)
    fill(warehouse, rule_table("high_value"), alerts, SPAN)
    return folder


def test_quality_as_json(lake: Path) -> None:
    found = answer("rules", "quality", *RANGE, "--warehouse", lake)
    assert found["as_of"] == "2026-03-23", "the last day whose reports are loaded"
    assert found["maturity"]["2026-03-20"] == 1.0 and len(found["maturity"]) == 20
    quality = {row["rule"]: row for row in found["quality"]}
    every = quality["all alerts"]
    assert [*every] == COLUMNS
    assert (every["hits"], every["matured"], every["frauds"], every["precision"], every["recall"]) == (40, 40, 20, 0.5, 0.5)
    assert (every["money_caught"], every["money_missed"]) == ({"EUR": "200.00"}, {"EUR": "200.00"})
    assert quality["high_value"]["only"] == 20 and quality["velocity"]["hits"] == 0


def test_quality_as_of_a_day(lake: Path) -> None:
    """The frauds of the last three days are not known then."""
    found = answer("rules", "quality", *RANGE, "--as-of", "2026-03-20", "--warehouse", lake)
    assert found["as_of"] == "2026-03-20"
    assert [day for day, share in found["maturity"].items() if not share] == ["2026-03-18", "2026-03-19", "2026-03-20"]
    assert found["quality"][0]["matured"] == 34 and found["quality"][0]["expected"] == pytest.approx(40)


def test_quality_as_csv(lake: Path) -> None:
    """A day whose reports are not loaded is not taken for one on which everything is known."""
    found = fraud("rules", "quality", *RANGE, "--as-of", "2026-04-30", "--warehouse", lake, "--format", "csv")
    assert "2026-03-23" in found.stderr and "2026-04-30" in found.stderr
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert [*rows[0]] == COLUMNS and rows[0]["money_caught"] == "EUR 200.00"
    assert {row["rule"] for row in rows} > {"all alerts", "high_value"}


def test_quality_as_a_table_of_80_columns(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table = fraud("rules", "quality", *RANGE, "--warehouse", lake).stdout
    assert max(map(len, table.splitlines())) <= 80 and "blacklisted_merchants" in table, "no name is cut"
    assert "50.0% (35–65)" in table and "200.00 EUR" in table and "20 of 20 days" in " ".join(table.split())


def test_a_range_without_days_is_refused(lake: Path) -> None:
    for command in (["rules", "quality"], ["evaluate"]):
        text = refused(fraud(*command, "--from", "2026-03-02", "--to", "2026-03-02", "--warehouse", lake))
        assert "--to (2026-03-02)" in text
    assert not (lake.parent / "none").exists()
    assert "does not exist" in refused(fraud("rules", "quality", *RANGE, "--warehouse", lake.parent / "none"))
    assert not (lake.parent / "none").exists()


# --- the ranking ----------------------------------------------------------------------------------------------------------


def test_the_ranking_of_alerts(lake: Path) -> None:
    found = answer("evaluate", *RANGE, "--k", "1", "--k", "2", "--warehouse", lake)
    assert (found["scored_by"], found["transactions"], found["frauds"]) == ("fraud_alerts", 100, 40)
    # 20 of 20, then 20 honest, then 20 frauds among 60 without a score
    assert found["average_precision"] == pytest.approx(0.5 + 0.5 * 40 / 100)
    assert found["card_precision"] == found["daily_precision"] == {"1": 1.0, "2": 0.5}
    assert found["known_share_of_last_day"] == 1.0


def test_a_ranking_of_recent_days_says_how_much_is_known(lake: Path) -> None:
    text = fraud("evaluate", "--from", "2026-03-01", "--to", "2026-03-24", "--warehouse", lake).stdout
    assert "0.700" in text and "0% of the frauds of 2026-03-23" in " ".join(text.split())


def test_the_handbooks_protocol_leaves_known_cards_out(lake: Path, tmp_path: Path) -> None:
    """Training days 1 to 7, test days 15 to 20 and one without transactions. One card pays again after its fraud."""
    file = tmp_path / "labels.csv"
    rows = {f"{name} {day:02}": name in "ab" for name in "abcde" for day in range(1, 21)}
    file.write_text("transaction_id,tx_fraud\n" + "".join(f"{name},{int(flag)}\n" for name, flag in rows.items()))
    found = answer("evaluate", "--protocol", "handbook", "--from", "2026-03-01", "--labels", file, "--warehouse", lake)
    assert (found["from"], found["last_day"]) == ("2026-03-15", "2026-03-21")
    assert (found["transactions"], found["frauds"], found["known_share_of_last_day"]) == (30, 12, None)
    assert found["labels"] == str(file)
    assert answer("evaluate", "--protocol", "handbook", "--from", "2026-03-01", "--warehouse", lake)["frauds"] == 12


def test_scores_of_every_transaction_take_precedence(lake: Path) -> None:
    """Where the table has rows of the days: an empty one, or one of other days, does not count."""
    warehouse = EmbeddedWarehouse(lake)
    columns = (Column("transaction_id", "STRING"), Column("event_time", "TIMESTAMP"), Column("score", "DOUBLE"))
    scores = Table("fintech", TRANSACTION_SCORES.name, columns, key=("transaction_id",), time_column="event_time")
    warehouse.ensure_table(scores)
    assert answer("evaluate", *RANGE, "--warehouse", lake)["scored_by"] == "fraud_alerts"
    rows = warehouse.read("fintech.transactions", ["transaction_id", "event_time", "ds"])
    better = [{"a": 0.9, "b": 0.8}.get(name[0], 0.1) for name in rows.column("transaction_id").to_pylist()]
    warehouse.replace(scores, rows.append_column("score", pa.array(better)).select(scores.arrow_schema.names), SPAN)
    found = answer("evaluate", *RANGE, "--k", "2", "--warehouse", lake)
    assert (found["scored_by"], found["average_precision"], found["daily_precision"]) == (
        TRANSACTION_SCORES.name,
        1.0,
        {"2": 1.0},
    )
    outside = answer("evaluate", "--from", "2026-02-01", "--to", "2026-02-02", "--warehouse", lake)
    assert (outside["scored_by"], outside["transactions"], outside["average_precision"]) == ("fraud_alerts", 0, None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--from", "2026-03-01"], "--to"),
        (["--from", "2026-03-01", "--to", "2026-03-09", "--protocol", "handbook"], "--to"),
        ([*RANGE, "--k", "0"], "0 is not in the range"),
        ([*RANGE, "--labels", "missing.parquet"], "missing.parquet"),
    ],
)
def test_options_that_do_not_fit_are_refused(lake: Path, arguments: list[str], named: str) -> None:
    assert named in refused(fraud("evaluate", *arguments, "--warehouse", lake))
