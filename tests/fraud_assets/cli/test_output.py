"""What commands print: whole keys at 80 columns, filters, harmless text, and reading commands that create nothing."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import shlex
import stat
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from fraud_assets.cli.main import main
from fraud_assets.cli.options import console
from fraud_assets.cli.safe_text import SafeConsole, json_text, shell_word, visible
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.schemas.detection import FRAUD_ALERTS
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from tests.fraud_fixtures import DAY, NOON, all_tables, fill, transaction

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202e\r\x00[bold]x[/bold]"
UNSAFE = set(HOSTILE) - set("]0;owned[31mred2Jboldx/")
REASON = (
    "1882.52 PLN is 24.66 standard deviations above this customer's mean of 90.45, and 5.23 times the largest amount before"
)


def fraud(*arguments: object, columns: int | None = None) -> str:
    env = {"COLUMNS": str(columns) if columns else None}
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], env=env)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    return result.output


def alert(name: str, **more: Any) -> dict[str, Any]:
    day = more.pop("day", DAY)
    return {
        "transaction_id": name,
        "customer_id": "c000269",
        "event_time": dt.datetime.combine(day, NOON.time()),
        "amount": Decimal("1882.52"),
        "currency": "PLN",
        "merchant_id": "m1",
        "score": 0.9,
        "severity": "high",
        "rules": ["unusual_transaction"],
        "reasons": [REASON],
        "rule_versions": ["1"],
        **more,
    }


@pytest.fixture
def alerts(lake: EmbeddedWarehouse) -> Path:
    rows = [
        alert("txdf7a10f0c12de11e", score=0.99),
        alert("tx2", score=0.5, severity="low", rules=["high_value", "velocity"], reasons=["a", "b"]),
        alert("tx3", score=0.7, severity="critical", customer_id="c7", day=DAY + A_DAY),
    ]
    fill(lake, FRAUD_ALERTS, rows, Span.days(DAY, DAY + A_DAY))
    return lake.root


def listed(lake: Path, *options: str) -> list[str]:
    return [row["transaction_id"] for row in json.loads(fraud("alerts", "--warehouse", lake, "--format", "json", *options))]


# --- filters ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["txdf7a10f0c12de11e", "tx3", "tx2"]),
        (["--rule", "velocity"], ["tx2"]),
        (["--severity", "critical"], ["tx3"]),
        (["--severity", "critical", "--severity", "low"], ["tx3", "tx2"]),
        (["--customer", "c7"], ["tx3"]),
        (["--customer", "c7' OR '1' = '1"], []),
        (["--min-score", "0.7"], ["txdf7a10f0c12de11e", "tx3"]),
        (["--min-score", "0.71"], ["txdf7a10f0c12de11e"]),
        (["--since", str(DAY + A_DAY)], ["tx3"]),
        (["--since", f"{DAY}T12:00Z"], ["txdf7a10f0c12de11e", "tx3", "tx2"]),
        (["--since", f"{DAY}T13:00:01+01:00"], ["tx3"]),
        (["--to", str(DAY + A_DAY), "--min-score", "0.6"], ["txdf7a10f0c12de11e"]),
        (["--limit", "1"], ["txdf7a10f0c12de11e"]),
    ],
)
def test_alerts_are_filtered(options: list[str], found: list[str], alerts: Path) -> None:
    assert listed(alerts, *options) == found


def test_filters_that_find_nothing(alerts: Path) -> None:
    assert "No alerts" in fraud("alerts", "--warehouse", alerts, "--rule", "structuring")
    unknown = refused("alerts", "--warehouse", alerts, "--rule", "velocitty")
    assert "velocitty" in unknown and " velocity" in unknown


def test_rules_are_filtered_and_listed_in_three_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.yaml").write_text("velocity: {status: shadow}\n")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(tmp_path / "rules.yaml"))
    rows = json.loads(fraud("rules", "list", "--format", "json", "--status", "shadow"))
    assert [row["rule"] for row in rows] == ["velocity"]
    grave = {name for name, rule in read_rule_book().rules.items() if rule.severity == "critical"}
    found = list(csv.DictReader(io.StringIO(fraud("rules", "list", "--format", "csv", "--severity", "critical"))))
    assert grave and {row["rule"] for row in found} == grave


# --- width --------------------------------------------------------------------------------------------------------------


def test_keys_are_whole_at_any_width(alerts: Path) -> None:
    for columns in (80, 60, 25):
        shown = fraud("alerts", "--warehouse", alerts, columns=columns)
        lines = shown.splitlines()
        fields = {"txdf7a10f0c12de11e", "c000269", "2026-01-05 12:00:00", "1,882.52 PLN"}
        assert all(any(field in line for line in lines) for field in fields)
        assert max(map(len, lines)) <= columns
        assert "".join(REASON.split()) in "".join(shown.split())
    assert max(map(len, fraud("alerts", "--warehouse", alerts).splitlines())) > 100, "when piped, and COLUMNS is not set"


def test_the_names_of_rules_and_params_are_whole(alerts: Path) -> None:
    shown = fraud("rules", "list", columns=80).splitlines()
    rules = read_rule_book().rules
    assert all(any(line.split()[:1] == [name] for line in shown) for name in rules)
    assert max(map(len, shown)) <= 80
    for name, rule in rules.items():
        lines = fraud("rules", "show", name, columns=80).splitlines()
        assert all(any(line.split()[:1] == [param] for line in lines) for param in rule.file.values)


def test_columns_are_honoured_when_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "97")
    assert console().width == 97
    monkeypatch.delenv("COLUMNS")
    assert console().width == 160


# --- hostile text -------------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(lake: EmbeddedWarehouse) -> Path:
    all_tables(lake, read_rule_book())
    fill(lake, FRAUD_ALERTS, [alert(HOSTILE, customer_id=HOSTILE, currency=HOSTILE, reasons=[HOSTILE])])
    names = dict.fromkeys(("merchant_id", "merchant_name", "merchant_city", "customer_id", "currency", "status"), HOSTILE)
    fill(lake, "transactions", [transaction(HOSTILE, **names), transaction("t", **names)])
    return lake.root


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_no_control_character_from_data_is_printed(output: str, hostile: Path) -> None:
    shown = fraud("alerts", "--warehouse", hostile, "--format", output)
    assert not UNSAFE & set(shown)
    if output == "json":
        assert json.loads(shown)[0]["reasons"] == [HOSTILE], "other programs get it as it was"
    else:
        assert "\\x1b[31m" in shown and "[bold]" in shown


@pytest.mark.parametrize("output", ["text", "json"])
def test_explain_prints_none_either(output: str, hostile: Path) -> None:
    for name in (HOSTILE, "t"):
        shown = fraud("explain", name, "--warehouse", hostile, "--format", output)
        assert not UNSAFE & set(shown) and "red" in shown
    assert not UNSAFE & set(refused("explain", f"{HOSTILE}!", "--warehouse", hostile))


def test_the_console_is_a_net_below() -> None:
    file = io.StringIO()
    SafeConsole(file=file, force_terminal=True, color_system="truecolor").print(HOSTILE, style="red", highlight=False)
    plain = io.StringIO()
    Console(file=plain, force_terminal=True, color_system="truecolor").print(HOSTILE, style="red", highlight=False)
    assert "\x1b]0;" in plain.getvalue(), "rich alone lets it through"
    assert "\x1b]0;" not in file.getvalue() and "\x9b" not in file.getvalue() and "\x1b[31m" in file.getvalue()


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(1)", "\tx", "\r=1"])
def test_a_cell_is_no_formula(start: str, lake: EmbeddedWarehouse) -> None:
    fill(lake, FRAUD_ALERTS, [alert(start, customer_id=start, amount=Decimal("-5.00"))])
    (row,) = csv.DictReader(io.StringIO(fraud("alerts", "--warehouse", lake.root, "--format", "csv")))
    assert row["transaction_id"] == row["customer_id"] == visible(f"'{start}")
    assert row["amount"] == "-5.00" and row["score"] == "0.9", "numbers stay numbers"


@pytest.mark.parametrize("word", ["tx1", "a b; rm -rf ~", "$(id)", "it's", HOSTILE.replace("\x00", ""), "a\nb\t\\n", "-x"])
def test_a_word_of_a_command_means_itself(word: str) -> None:
    written = shell_word(word)
    assert visible(written) == written and "\n" not in written
    command = f"printf %s {written}"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
    assert shown.decode() == word


def test_json_stays_json() -> None:
    value = {"a": [HOSTILE, "é", "\ud800"]}
    text = json_text(value)
    assert json.loads(text) == value and "é" in text and "\ud800" not in text


# --- reading creates nothing --------------------------------------------------------------------------------------------

DAYS = ["--from", "2026-03-01", "--to", "2026-03-08"]
READING = [
    ["alerts"], ["explain", "tx"], ["alerts", "diff", "2026-03-12"], ["rejected"], ["rejected", "transactions"],
    ["evaluate", *DAYS], ["rules", "quality", *DAYS],
    ["rules", "try", "high_value", *DAYS],
]  # fmt: skip


def contents(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.lstat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("command", READING)
def test_a_missing_warehouse_is_not_created(
    command: list[str], alerts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    alerts.rename(work / "demo it")
    monkeypatch.chdir(work)
    before = contents(tmp_path)
    # the default, a mistyped one, a folder of something else
    for options in ([], ["--warehouse", "demoo"], ["--warehouse", "sub"]):
        message = refused(*command, *options)
        assert "--warehouse 'demo it'" in message and "3 alerts" in message
        assert str(work / (options[1] if options else "warehouse")) in message
    monkeypatch.chdir(work / "sub")
    assert shlex.quote(str(work / "demo it")) in refused(*command)
    assert contents(tmp_path) == before


def test_where_no_warehouse_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    message = refused("alerts")
    assert "fraud demo" in message and "fraud run" in message
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.fixture
def read_only(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A warehouse without permission to write, also for root."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: not mode & os.W_OK and access(path, mode, **more))
    paths = [hostile, *hostile.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield hostile
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize(
    "command",
    [
        ["explain", "t"], *READING[:1], *READING[2:-1], ["rules", "check"],
        ["rules", "try", "high_value", "--from", str(DAY), "--to", str(DAY + A_DAY)],
    ],
)  # fmt: skip
def test_reading_needs_no_permission_to_write(command: list[str], read_only: Path) -> None:
    before = contents(read_only)
    fraud(*command, "--warehouse", read_only)
    assert contents(read_only) == before
    with pytest.raises(AssertionError, match="not writable"):
        fraud("run", "--from", DAY, "--to", DAY + A_DAY, "--warehouse", read_only)


def test_every_command_that_takes_a_warehouse_is_known_to_read_or_to_write() -> None:
    reads = {
        "alerts",
        "alerts diff",
        "cases export",
        "cases list",
        "cases show",
        "cases suppressions",
        "evaluate",
        "explain",
        "lists show",
        "rejected list",
        "rules check",
        "rules history",
        "rules near",
        "rules promote",
        "rules quality",
        "rules try",
    }
    writes = {
        "cases decide",
        "cases lift",
        "cases suppress",
        "cases sync",
        "demo",
        "desk",
        "lists add",
        "lists remove",
        "rejected retry",
        "replay",
        "run",
        "ui",
        "upkeep",
        "watch",
    }
    found = set()
    context = click.Context(main)
    for name in main.list_commands(context):  # type: ignore[attr-defined]
        command = main.get_command(context, name)  # type: ignore[attr-defined]
        inner = {f"{name} {key}": value for key, value in command.commands.items()} if isinstance(command, click.Group) else {}
        for path, each in {name: command, **inner}.items():
            if any(param.name == "warehouse" for param in each.params):
                found.add(path)
    assert found == reads | writes
