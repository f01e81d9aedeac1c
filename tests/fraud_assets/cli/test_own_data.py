"""Own data by command: guess, check, run to alerts; transactions alone are enough; a killed run goes on."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from fraud_assets.cli import run as run_command
from fraud_assets.cli.main import main
from fraud_assets.cli.run_progress import RunProgress
from fraud_assets.cli.source_rules import outlooks, scale_warnings
from fraud_assets.definitions import live_settings
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.errors import SettingsError
from fraud_assets.ingestion.own_data.source_file import read_source_file
from fraud_assets.runs.batch import RunReport
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, Span

FIRST, END = dt.date(2024, 3, 1), dt.date(2024, 3, 4)
SOURCE = """\
tables:
  transactions:
    files: {path: rows.csv}
    columns:
      transaction_id: id
      event_time: at
      amount: amt
      currency: {constant: EUR}
      merchant_id: m
      customer_id: c
"""
PARTS = [Span.days(FIRST + dt.timedelta(days=n), FIRST + dt.timedelta(days=n)) for n in range(3)]


def write(folder: Path, source: str = SOURCE) -> Path:
    rows = [f"{n},2024-03-0{n % 3 + 1} 10:{n:02}:00,{n + 1}.00,m{n % 3},c{n % 4}" for n in range(30)]
    rows[4] = rows[4].replace(",5.00,", ",5000.00,")
    rows[7] = rows[7].replace(",8.00,", ",eight,")
    (folder / "rows.csv").write_text("\n".join(["id,at,amt,m,c", *rows]) + "\n")
    (folder / "source.yaml").write_text(source)
    return folder / "source.yaml"


def fraud(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


def test_check_shows_rows_refusals_and_rules_and_what_comes_next(tmp_path: Path) -> None:
    result = fraud("sources", "check", write(tmp_path))
    assert result.exit_code == 0, result.output
    assert "amt='eight'" in result.output and "amount_is_readable" in result.output
    assert re.search(r"blacklisted_merchants.*no.*blacklist", result.output)
    assert re.search(r"impossible_travel.*no.*merchant_latitude", result.output)
    assert re.search(r"pass_through.*no.*transaction_type", result.output)
    assert re.search(r"high_value.*(yes|partly)", result.output)
    assert f"--from {FIRST} --to {END}" in result.output


@pytest.mark.parametrize(
    ("change", "part"),
    [(("amt", "amuont"), "amuont"), (("amount: amt", "amuont: amt"), "source.yaml:7"), (("amount: amt", "amount: c"), "100%")],
)
def test_check_fails_where_a_run_would(tmp_path: Path, change: tuple[str, str], part: str) -> None:
    result = fraud("sources", "check", write(tmp_path, SOURCE.replace(*change)))
    assert result.exit_code == 1
    assert part in result.output


def test_a_guess_passes_its_check(tmp_path: Path) -> None:
    write(tmp_path)
    guess = fraud("sources", "guess", tmp_path / "rows.csv")
    assert guess.exit_code == 0
    # a field that is called c says nothing
    assert "customer_id: CHOOSE" in guess.output
    (tmp_path / "guess.yaml").write_text(re.sub(r"(merchant|customer)_id: CHOOSE", r"\1_id: c", guess.output))
    assert fraud("sources", "check", tmp_path / "guess.yaml").exit_code == 0


@pytest.mark.slow
def test_transactions_alone_run_to_alerts(tmp_path: Path) -> None:
    source, lake = write(tmp_path, SOURCE + "    extra: {shop: m}\n"), tmp_path / "lake"
    result = fraud("run", "--source", source, "--from", FIRST, "--to", END, "--warehouse", lake)
    assert result.exit_code == 0, result.output
    warehouse = EmbeddedWarehouse(lake)
    rows = warehouse.read("fintech.transactions")
    rejected = warehouse.read("fintech.transactions_rejected").to_pylist()
    assert rows.num_rows + len(rejected) == 30
    assert sorted(set(rows.column("shop").to_pylist())) == ["m0", "m1", "m2"]
    assert [(row["claims"], "eight" in row["payload"], row["ds"]) for row in rejected] == [
        (["amount_is_readable"], True, "2024-03-02")
    ]
    assert warehouse.read("fintech.fraud_alerts").column("transaction_id").to_pylist() == ["4"]
    # a list that the source does not have is not an empty list
    assert warehouse.read("fintech.blacklist_loads").num_rows == 0
    assert re.search(r"blacklisted_merchants\D+0\D+0\D+29", result.output)


def test_a_killed_run_goes_on_after_the_days_that_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, done = write(tmp_path), []

    def run_part(settings: Settings, part: Span) -> RunReport:
        assert settings.first_day == FIRST
        done.append(part)
        if len(done) == 2:
            raise KeyboardInterrupt
        return RunReport("id", 0.0, [])

    monkeypatch.setattr(run_command, "run_with_progress", run_part)
    for name in ("print_row_counts", "print_hits"):
        monkeypatch.setattr(run_command, name, lambda *_: None)
    words = ("run", "--source", source, "--from", FIRST, "--to", END, "--warehouse", tmp_path / "lake", "--days-per-run", 1)
    assert fraud(*words).exit_code == 130
    assert fraud(*words).exit_code == 0
    assert done == [PARTS[0], PARTS[1], PARTS[1], PARTS[2]]
    # complete: the same command computes all of it again
    done.append(PARTS[0])
    fraud(*words)
    assert done[-3:] == PARTS


def test_a_record_belongs_to_the_data_it_was_made_from(tmp_path: Path) -> None:
    source = read_source_file(write(tmp_path))
    settings = read_settings(warehouse=str(tmp_path / "lake"))
    whole = Span.days(FIRST, PARTS[2].last_day)
    RunProgress(settings, source, whole).record(PARTS[0])
    assert [*RunProgress(settings, source, whole).left(31)] == [Span.days(PARTS[1].first_day, PARTS[2].last_day)]
    with (tmp_path / "rows.csv").open("a") as out:
        out.write("99,2024-03-01 23:00:00,1.00,m,c\n")
    assert [*RunProgress(settings, source, whole).left(31)] == [whole]


def test_watch_reads_what_has_a_cursor(tmp_path: Path) -> None:
    files = write(tmp_path)
    assert live_settings(read_settings(source=files)).source == files
    (tmp_path / "apis.yaml").write_text("apis: {url: 'http://127.0.0.1:9'}\n")
    settings = live_settings(read_settings(source=tmp_path / "apis.yaml"))
    assert (settings.source, settings.source_url) == (None, "http://127.0.0.1:9")
    for origin, part in (("http: {url: http://127.0.0.1:9/v1}", "arrivals"), ("sql: {url: 'sqlite:///a', table: t}", "cursor")):
        write(tmp_path, SOURCE.replace("files: {path: rows.csv}", origin))
        with pytest.raises(SettingsError, match=part):
            live_settings(read_settings(source=files))


def test_a_currency_without_a_threshold_is_not_judged() -> None:
    found = {each.rule: each for each in outlooks(read_rule_book(), [], [], ["EUR", "XTS"])}
    assert (found["high_value"].judges, "XTS" in found["high_value"].why) == ("partly", True)
    found = {each.rule: each for each in outlooks(read_rule_book(), ["customers"], [], ["XTS"])}
    assert (found["high_value"].judges, found["new_account_activity"].judges) == ("no", "no")
    assert found["dormant_account"].judges != "yes"


def test_a_threshold_that_most_amounts_exceed_is_named() -> None:
    book = read_rule_book()
    threshold = book.rules["high_value"].file.relations()["thresholds"]["EUR"]
    above, below = Decimal(threshold) + 1, Decimal(1)

    def warned(shares: int, currency: str = "EUR", rows: int = 100) -> list[str]:
        amounts = [above if n < shares else below for n in range(rows)]
        table = pa.table({"currency": [currency] * rows, "amount": pa.array(amounts, pa.decimal128(18, 2))})
        return [text for text in scale_warnings(book, table) if text.startswith("high_value")]

    (text,) = warned(80)
    assert "80%" in text and "EUR" in text and f"{above:,.2f}" in text
    assert warned(5) == warned(80, "XTS") == warned(20, rows=20) == []
