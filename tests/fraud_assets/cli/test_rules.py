"""`fraud rules`: `show`, `check` and `new`."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from fraud_assets.clock import Clock
from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.detection.rule_facts import length, reads
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.schemas.detection import rule_table
from hive_io import EmbeddedWarehouse, HiveQL
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import DAY, SPAN, all_tables, fill, transaction

ROOT = Path(__file__).parents[3]


# --- show ---------------------------------------------------------------------------------------------------------------


def query_of(output: str) -> str:
    """The HiveQL at the end of what `fraud rules show` prints."""
    return output[output.index("HiveQL for ") :].partition("\n\n")[2]


def test_show_prints_what_is_in_force_and_what_set_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.yaml").write_text("high_risk_activity: {params: {times_mean: 5}, weight: 0.9}\n")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(tmp_path / "rules.yaml"))
    monkeypatch.setenv("COLUMNS", "80")
    stated = read_rule_book().rules["high_risk_activity"].file.meta
    printed = fraud("rules", "show", "high_risk_activity", "--day", "2026-01-05").output
    lines = [" ".join(line.replace("│", " ").split()) for line in printed.splitlines()]
    assert lines[0] == f"{stated.title} (high_risk_activity)"
    assert max(map(len, printed[: printed.index("HiveQL for ")].splitlines())) <= 80
    unwrapped = " ".join(lines)
    assert stated.description in unwrapped and f": {stated.blind_spot}" in unwrapped
    [weight] = [line for line in lines if line.startswith("Weight 0.9 ")]
    assert "rules file" in weight and f"{stated.weight}" in weight
    assert f"Severity {stated.severity}" in lines
    [param] = [line for line in lines if line.startswith("times_mean")]
    default = stated.params["times_mean"].default
    assert param.startswith(f"times_mean 5 (rules file) default {default} ")
    assert {f"{table} {rows}" for table, rows in reads(read_rule_book().rules["high_risk_activity"]).items()} <= {*lines}


def test_the_query_that_is_shown_is_the_one_that_runs(lake: EmbeddedWarehouse) -> None:
    engine = Engine(read_rule_book())
    shown = query_of(fraud("rules", "show", "high_value", "--day", DAY.isoformat()).output)
    assert HiveQL(shown).bound().sql("hive") == engine.query("high_value", SPAN).bound().sql("hive")
    fill(lake, "transactions", [transaction("small"), transaction("large", amount="99999.00")])
    assert [row["transaction_id"] for row in lake.query(HiveQL(shown)).to_pylist()] == ["large"]


@pytest.mark.parametrize("day", [dt.date(2026, 3, 12), dt.date(2024, 2, 29)])
def test_show_is_of_today_unless_a_day_is_named(day: dt.date) -> None:
    clock = Clock(lambda: dt.datetime.combine(day, dt.time(23, 59, 59), dt.UTC))
    assert f"ds >= '{day}'" in query_of(fraud("rules", "show", "high_value", clock=clock).output)
    assert f"ds >= '{DAY}'" in query_of(fraud("rules", "show", "high_value", "--day", DAY, clock=clock).output)


def test_show_prints_how_far_back_a_rule_reads() -> None:
    printed = fraud("rules", "show", "structuring", "--day", "2026-01-05").output
    assert "24 hours" in printed and "same customer" in " ".join(printed.split())
    assert "ds >= '2026-01-04'" in query_of(printed)


def test_a_rule_that_does_not_exist() -> None:
    said = refused(fraud("rules", "show", "nosuch"))
    assert "nosuch" in said and all(name in said for name in read_rule_book().rules)


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (dt.timedelta(minutes=1), "1 minute"),
        (dt.timedelta(minutes=90), "90 minutes"),
        (dt.timedelta(hours=1), "60 minutes"),
        (dt.timedelta(days=1), "24 hours"),
        (dt.timedelta(days=2), "2 days"),
        (dt.timedelta(hours=36), "36 hours"),
    ],
)
def test_a_look_back_in_words(time: dt.timedelta, said: str) -> None:
    assert length(time) == said


# --- check --------------------------------------------------------------------------------------------------------------


def checked(lake: EmbeddedWarehouse) -> Result:
    return fraud("rules", "check", "--warehouse", str(lake.root))


def test_check_lets_the_warehouse_plan_every_rule(lake: EmbeddedWarehouse) -> None:
    count = len([*RULES_FOLDER.glob("*.sql")])
    all_tables(lake, read_rule_book())
    result = checked(lake)
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1 and f"{count} of {count} rules" in result.stderr
    assert result.stdout.startswith(f"{count} rules and ")


def test_check_names_tables_that_do_not_exist_yet(lake: EmbeddedWarehouse) -> None:
    lake.ensure_table(fixed_tables()["transactions"])
    result = checked(lake)
    assert result.exit_code == 0
    read = set[str]().union(*(rule.file.tables() for rule in read_rule_book().evaluated))
    assert f"{', '.join(sorted(read - {'transactions'}))} were not planned" in result.stderr


def test_check_finds_errors_that_only_the_warehouse_can_find(lake: EmbeddedWarehouse) -> None:
    """A table from elsewhere lacks a column that rules read."""
    table = fixed_tables()["transactions"]
    lake.ensure_table(replace(table, columns=tuple(c for c in table.columns if c.name != "amount")))
    said = refused(checked(lake))
    line = (RULES_FOLDER / "high_value.sql").read_text().splitlines().index("SELECT") + 1
    assert f"high_value.sql:{line}: " in said and "amount" in said
    assert "velocity.sql" not in said  # it reads no amount


def test_check_names_tables_whose_rule_is_gone(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    all_tables(lake, read_rule_book())
    for name in ("night_owls", "velocity_old"):
        lake.ensure_table(rule_table(name))
    result = checked(lake)
    assert result.exit_code == 0
    [line] = [line for line in result.stderr.splitlines() if "night_owls" in line]
    assert "No rule file for night_owls, velocity_old in fintech" in line and "no alerts" in line
    # the rules of another folder may be a part of them
    other = fraud("rules", "check", str(RULES_FOLDER), "--warehouse", str(lake.root))
    assert other.exit_code == 0 and "night_owls" not in other.stderr


def test_check_creates_no_warehouse(tmp_path: Path) -> None:
    result = fraud("rules", "check", "--warehouse", str(tmp_path / "lake"))
    assert result.exit_code == 0 and "No warehouse in" in result.stderr
    assert not list(tmp_path.iterdir())


# --- new ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, of test fixtures and of the project file."""
    folder = tmp_path_factory.mktemp("checkout")
    for package in ("airflow_bridge", "fraud_assets", "hive_io", "mock_sources"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "test_*.py"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, with its packages."""
    env = {**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_new_rule_is_valid_and_its_examples_pass_and_can_fail(checkout: Path) -> None:
    made = python(checkout, "-m", "fraud_assets", "rules", "new", "much_more_than_usual")
    rule = checkout / "fraud_assets" / "rules" / "much_more_than_usual.sql"
    examples = rule.with_name("much_more_than_usual.examples.yaml")
    assert made.stdout.splitlines()[:2] == [str(rule), str(examples)], made.stderr
    checked = python(checkout, "-m", "fraud_assets", "rules", "check")
    assert checked.stdout.startswith(f"{len([*RULES_FOLDER.glob('*.sql')]) + 1} rules and "), checked.stderr
    book = read_rule_book(rule.parent)
    assert book.rules["much_more_than_usual"].status == "shadow"
    assert "much_more_than_usual" in [r.name for r in book.evaluated]
    assert "much_more_than_usual" not in [r.name for r in book.alerting]
    passed = python(checkout, "-m", "fraud_assets", "rules", "test", "much_more_than_usual", "--mutate")
    assert passed.returncode == 0 and "all pass" in passed.stdout, passed.stdout
    assert "nothing would notice" not in passed.stdout
    rule.write_text(rule.read_text().replace("t.amount >= p.amount_mean", "t.amount > p.amount_mean"))
    failed = python(checkout, "-m", "fraud_assets", "rules", "test", "much_more_than_usual")
    assert failed.returncode == 1 and "expected a hit, found no hit" in failed.stdout


@pytest.mark.parametrize(
    "name", ["Night", "2nights", "late-night", "../night", "night.sql", "transactions", "fraud_alerts", "n" * 65]
)
def test_a_name_that_is_not_allowed(tmp_path: Path, name: str) -> None:
    assert name in refused(fraud("rules", "new", name, "--folder", tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_rule_that_exists_is_not_overwritten(checkout: Path) -> None:
    before = (checkout / "fraud_assets" / "rules" / "high_value.sql").read_text()
    said = refused(fraud("rules", "new", "high_value", "--folder", checkout))
    assert "high_value.sql" in said and "exists" in said
    assert (checkout / "fraud_assets" / "rules" / "high_value.sql").read_text() == before


def test_a_folder_that_is_not_a_checkout(tmp_path: Path) -> None:
    said = refused(fraud("rules", "new", "night", "--folder", tmp_path))
    assert str(tmp_path) in said and "--folder" in said
    assert not list(tmp_path.iterdir())
