"""The `fraud` command: valid and invalid input, and the answers to it. Never a traceback."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from flask import Flask, Response, jsonify

from fraud_assets.cli import main as main_module
from fraud_assets.cli.main import main
from fraud_assets.clock import Clock
from fraud_assets.detection.rule_book import RULES_FOLDER
from fraud_assets.runs.source_process import source_process
from fraud_assets.schemas.catalog import FEATURE_TABLES
from fraud_assets.schemas.detection import FRAUD_ALERTS
from hive_io import EmbeddedWarehouse
from mock_sources import LabelledReplay, World, running
from tests.e2e.lakes import labelled_file, rows_of

README = Path(__file__).parents[3] / "README.md"
DAY = ["--from", "2026-03-01", "--to", "2026-03-02"]


def fraud(*arguments: object, clock: Clock | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], obj=clock)


def refused(result: Result) -> str:
    """The message of a command that failed with a message, its whitespace collapsed."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with a fortnight of a labelled file."""
    folder = tmp_path_factory.mktemp("filled")
    labelled_file(folder / "labelled.parquet", dt.date(2026, 3, 1), 14)
    result = fraud(
        "replay", folder / "labelled.parquet", "--from", "2026-03-01", "--to", "2026-03-15", "--warehouse", folder / "lake"
    )
    assert result.exit_code == 0, result.output
    return folder / "lake"


# --- help -------------------------------------------------------------------------------------------------------------


def subcommands(group: click.Group) -> dict[str, click.Command]:
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def commands(group: click.Group, path: str = "fraud") -> Iterator[tuple[str, click.Command]]:
    """Every command and group below a group, by what a user types."""
    for name, command in subcommands(group).items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands(main))


def test_every_command_is_found() -> None:
    assert len(subcommands(main)) == len(main_module._COMMANDS) and len(COMMANDS) > 20


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_documented(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    undocumented = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert not undocumented
    if not isinstance(command, click.Group):
        assert f"`{path}" in README.read_text(encoding="utf-8"), "the README names every command"


@pytest.mark.parametrize("name", subcommands(main))
def test_a_summary_is_the_short_help_of_its_command(name: str) -> None:
    _, summary = main_module._COMMANDS[name]
    short_help = subcommands(main)[name].get_short_help_str(limit=200)
    # releases of click differ in the full stop
    assert summary.removesuffix(".") == short_help.removesuffix(".")
    assert _letters(f"{name}{summary}") in _letters(fraud("--help").output)


@pytest.mark.parametrize("path", ["fraud", *(path for path, command in COMMANDS.items() if isinstance(command, click.Group))])
def test_no_summary_is_cut_off(path: str) -> None:
    assert "..." not in fraud(*path.split()[1:], "--help").output.partition("Commands:")[2]


def test_every_module_with_commands_is_in_the_table() -> None:
    defining, in_groups = set(), set()
    for file in Path(main_module.__file__).parent.glob("*.py"):
        module = import_module(f"fraud_assets.cli.{file.stem}")
        callbacks = [value.callback for value in vars(module).values() if isinstance(value, click.Command)]
        if any(callback and callback.__module__ == module.__name__ for callback in callbacks):
            defining.add(file.stem)
        groups = [value for value in vars(module).values() if isinstance(value, click.Group)]
        within = [command.callback.__module__ for group in groups for command in group.commands.values() if command.callback]
        in_groups |= {name.rpartition(".")[2] for name in within} - {file.stem}
    assert defining - {"main"} - in_groups == {target.partition(":")[0] for target, _ in main_module._COMMANDS.values()}


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"dagster", "pandas", "pyarrow"}),
        (["--version"], {"dagster", "pandas", "pyarrow"}),
        (["alerts", "--help"], {"dagster"}),
        (["alerts", "--warehouse", "lake", "--format", "csv"], {"dagster"}),
        (["sources", "serve", "--help"], {"dagster", "pandas", "pyarrow"}),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], absent: set[str], lake: EmbeddedWarehouse) -> None:
    lake.ensure_table(FRAUD_ALERTS)
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        f"from fraud_assets.cli.main import main\nmain({arguments!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=lake.root.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done.stderr
    modules = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert "click" in modules and not modules & absent


# --- alerts, explain, rules -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_alerts_in_three_forms(filled: Path) -> None:
    alerts = EmbeddedWarehouse(filled).read("fintech.fraud_alerts").to_pylist()
    highest = max(alert["score"] for alert in alerts)
    listed = json.loads(fraud("alerts", "--warehouse", filled, "--format", "json", "--limit", "5").output)
    assert len(listed) == 5 and listed[0]["score"] == highest
    assert [a["score"] for a in listed] == sorted((a["score"] for a in listed), reverse=True)
    assert listed[0]["event_time"].endswith("Z") and isinstance(listed[0]["amount"], str)
    rows = list(csv.DictReader(io.StringIO(fraud("alerts", "--warehouse", filled, "--format", "csv", "--limit", "5").output)))
    assert [row["transaction_id"] for row in rows] == [a["transaction_id"] for a in listed]
    assert json.loads(rows[0]["reasons"]) == listed[0]["reasons"]
    table = fraud("alerts", "--warehouse", filled, "--limit", "1").output
    assert listed[0]["transaction_id"] in table and listed[0]["rules"][0] in table


@pytest.mark.slow
def test_alerts_of_some_days(filled: Path) -> None:
    days = ["--from", "2026-03-12", "--to", "2026-03-14", "--limit", "1000"]
    listed = json.loads(fraud("alerts", "--warehouse", filled, "--format", "json", *days).output)
    alerts = EmbeddedWarehouse(filled).read("fintech.fraud_alerts").to_pylist()
    wanted = {a["transaction_id"] for a in alerts if a["ds"] in ("2026-03-12", "2026-03-13")}
    assert wanted and {a["transaction_id"] for a in listed} == wanted


@pytest.mark.slow
def test_explain_names_every_rule_and_the_reason(filled: Path) -> None:
    (alert,) = json.loads(fraud("alerts", "--warehouse", filled, "--format", "json", "--limit", "1").output)
    shown = _letters(fraud("explain", alert["transaction_id"], "--warehouse", filled).output)
    assert _letters(f"score {alert['score']:.6f}") in shown
    assert all(_letters(path.stem) in shown for path in RULES_FOLDER.glob("*.sql"))
    # a long reason is wrapped
    assert all(_letters(reason)[:60] in shown for reason in alert["reasons"])
    assert "nobody" in refused(fraud("explain", "nobody", "--warehouse", str(filled)))


@pytest.mark.long
def test_explain_as_of_a_time_reads_no_later_versions(filled: Path) -> None:
    (alert,) = json.loads(fraud("alerts", "--warehouse", filled, "--format", "json", "--limit", "1").output)
    name = alert["transaction_id"]
    now = fraud("explain", name, "--warehouse", filled).output
    assert fraud("explain", name, "--warehouse", filled, "--as-of", dt.datetime.now(dt.UTC).isoformat()).output == now
    points = json.loads(fraud("explain", name, "--warehouse", filled, "--format", "json").output)["points"]
    assert points["score"] == alert["score"]
    before = refused(fraud("explain", name, "--warehouse", filled, "--as-of", "2026-01-01T10:00Z"))
    assert name in before
    zoneless = refused(fraud("explain", name, "--as-of", "2026-01-01T10:00"))
    assert "'2026-01-01T10:00'" in zoneless and "YYYY-MM-DDTHH:MMZ" in zoneless
    assert "2199-01-01" in refused(fraud("explain", name, "--warehouse", filled, "--as-of", "2199-01-01T10:00Z"))


def test_rules_list_shows_params_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.yaml").write_text("unusual_transaction: {params: {deviations: 6.5}, status: shadow}\n")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(tmp_path / "rules.yaml"))
    said = fraud("rules", "list").output
    assert "deviations: 6.5" in said and "shadow" in said


def test_rules_check_names_file_and_line(tmp_path: Path) -> None:
    checked = fraud("rules", "check")
    assert checked.exit_code == 0
    assert checked.stdout.startswith(f"{len([*RULES_FOLDER.glob('*.sql')])} rules and {len(FEATURE_TABLES)} features")
    good = (RULES_FOLDER / "high_value.sql").read_text()
    line = good[: good.index("t.amount > th.amount")].count("\n") + 1
    (tmp_path / "high_value.sql").write_text(good.replace("t.amount > th.amount", "t.amuont > th.amount"))
    said = refused(fraud("rules", "check", tmp_path)).replace(" ", "")
    assert f"high_value.sql:{line}:thasnocolumnamuont" in said


def test_the_rule_that_the_documentation_writes(tmp_path: Path) -> None:
    text = (README.parent / "docs" / "write-a-rule.md").read_text(encoding="utf-8")
    (tmp_path / "round_amounts.sql").write_text(text.split("```sql\n")[1].split("```")[0])
    assert fraud("rules", "check", tmp_path).stdout.startswith(f"1 rules and {len(FEATURE_TABLES)} features")


@pytest.mark.slow
def test_a_rule_that_is_newer_than_the_alerts_is_not_called_clean(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.yaml").write_text("high_value: {params: {thresholds: {null: 1}}}\n")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(tmp_path / "rules.yaml"))
    shown = fraud("explain", "700", "--warehouse", filled).output
    [heading] = [line for line in shown.splitlines() if line.startswith("Would hit now")]
    assert "(1)" in heading and "run the day again" in heading and f"{heading}\n  high_value" in shown


def test_a_rule_may_not_read_personal_data(tmp_path: Path) -> None:
    (tmp_path / "named.sql").write_text(
        "-- title: N\n-- description: N\n-- blind_spot: N\n-- severity: low\n-- weight: 0.1\n"
        "-- reason: '{name}'\n-- source: N\n"
        "SELECT t.transaction_id, t.customer_id, t.event_time, c.name\n"
        "FROM transactions t JOIN customers c ON c.ds = t.ds AND c.customer_id = t.customer_id\n"
    )
    said = refused(fraud("rules", "check", tmp_path)).replace(" ", "")
    assert "named.sql:8:chasnocolumnname" in said


def test_a_hit_is_a_boolean(tmp_path: Path) -> None:
    good = (RULES_FOLDER / "high_value.sql").read_text()
    (tmp_path / "high_value.sql").write_text(good.replace("t.amount > th.amount AS hit", "1 AS hit"))
    said = refused(fraud("rules", "check", tmp_path))
    assert "high_value.sql" in said and "hit" in said and "BOOLEAN" in said


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_source_can_be_served_with_faults_of_rows_and_of_requests() -> None:
    faults = ["--odd", "1", "--throttled", "0.5", "--retry-after", "77", "--repeated", "1"]
    asked = {"since": "2026-03-01", "until": "2026-03-02", "as_of": "2026-03-05", "limit": "5"}
    with source_process(["serve", "--customers", "30", *faults]) as url, httpx.Client(base_url=url) as client:
        answers = [client.get("/api/transactions", params=asked) for _ in range(20)]
    throttled = {answer.headers["Retry-After"] for answer in answers if answer.status_code == 429}
    assert "77" in throttled and len(throttled) > 1
    served = [answer for answer in answers if answer.status_code == 200]
    usual = {merchant["name"] for merchant in World(customers=30).population.merchants.details}
    assert len(served) + sum(answer.status_code == 429 for answer in answers) == 20
    for answer in served:
        assert len(answer.json()) == 5 and not usual & {row["merchant_details"]["name"] for row in answer.json()}
        assert "again=5" in answer.links["next"]["url"]


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_day_that_is_not_in_the_calendar_and_an_empty_range(tmp_path: Path) -> None:
    said = refused(fraud("run", "--from", "2026-02-30", "--to", "2026-03-02", "--warehouse", tmp_path))
    assert "'2026-02-30'" in said and "YYYY-MM-DD" in said
    said = refused(fraud("run", "--from", "2026-03-02", "--to", "2026-03-02", "--warehouse", tmp_path))
    assert "--to (2026-03-02)" in said and "--from (2026-03-02)" in said
    assert not list(tmp_path.iterdir())


def test_a_day_before_the_first_partition(tmp_path: Path) -> None:
    said = refused(fraud("run", "--from", "2020-01-01", "--to", "2020-01-02", "--warehouse", tmp_path))
    assert "FRAUD_FIRST_DAY" in said


def test_a_day_after_today(tmp_path: Path) -> None:
    # two days on: the test may run around midnight
    later = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=2)
    said = refused(fraud("run", "--from", later, "--to", later + dt.timedelta(days=1), "--warehouse", tmp_path))
    assert f"{later}" in said and "today" in said


@pytest.mark.slow
def test_a_source_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_SOURCE_URL", "http://127.0.0.1:9")
    said = refused(fraud("run", *DAY, "--warehouse", tmp_path / "lake"))
    assert "http://127.0.0.1:9/" in said and "fraud sources serve" in said


@pytest.mark.parametrize("body", ["<html>a login page</html>", '{"error": "moved"}'])
def test_a_source_that_is_something_else(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("something_else")
    app.add_url_rule("/<path:path>", "any", lambda path: Response(body))
    with served(app) as url:
        monkeypatch.setenv("FRAUD_SOURCE_URL", url)
        said = refused(fraud("run", *DAY, "--warehouse", tmp_path / "lake"))
    assert "/api/" in said and "JSON" in said


def test_a_warehouse_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"miaow")
    assert f"{tmp_path / 'photos'}" in refused(fraud("run", *DAY, "--warehouse", tmp_path / "photos"))
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    assert "cat.jpg" in refused(fraud("run", *DAY, "--warehouse", tmp_path / "photos" / "cat.jpg"))
    assert "s3://" in refused(fraud("alerts", "--warehouse", "s3://bucket/lake"))


def test_a_warehouse_without_tables(tmp_path: Path) -> None:
    EmbeddedWarehouse(tmp_path / "lake")
    assert "fintech.fraud_alerts" in refused(fraud("alerts", "--warehouse", tmp_path / "lake"))


def test_a_file_to_replay_that_lacks_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"transaction_id": [1], "tx_amount": [1.0]}), tmp_path / "poor.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    days = ["--from", "2018-04-01", "--to", "2018-04-02", "--warehouse", str(tmp_path / "lake")]
    said = refused(fraud("replay", tmp_path / "poor.parquet", *days))
    assert "tx_datetime" in said and "customer_id" in said
    assert "text.parquet" in refused(fraud("replay", tmp_path / "text.parquet", *days))
    assert "absent.parquet" in refused(fraud("replay", tmp_path / "absent.parquet", *days))


def test_an_unknown_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_WAREHOSE", "here")
    said = refused(fraud("alerts"))
    assert "FRAUD_WAREHOSE" in said and "FRAUD_WAREHOUSE" in said


def test_a_bad_rule_stops_everything_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.yaml").write_text("unusual_transaction: {params: {deviations: 0}}\n")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(tmp_path / "rules.yaml"))
    said = refused(fraud("run", *DAY, "--warehouse", tmp_path / "lake"))
    assert "rules.yaml:1: unusual_transaction.params.deviations" in said and "1 to 100" in said
    assert not (tmp_path / "lake").exists()


@pytest.mark.long
def test_a_load_with_too_many_rejected_rows_keeps_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit only the `_rejected` table is written, the table keeps its rows, and the run fails with the reason."""
    labelled_file(tmp_path / "labelled.parquet", dt.date(2026, 3, 1), 1)
    with running(LabelledReplay(tmp_path / "labelled.parquet")) as url:
        monkeypatch.setenv("FRAUD_SOURCE_URL", url)
        assert fraud("run", *DAY, "--warehouse", tmp_path / "lake").exit_code == 0
    before = rows_of(EmbeddedWarehouse(tmp_path / "lake"))
    assert sum(before["transactions"].values()) == 60

    broken = Flask("broken")
    rows = [{"transaction_id": f"t{n}", "date_time": "2026-03-01T10:00:00Z", "amount": "much"} for n in range(10)]
    broken.add_url_rule("/api/transactions", "transactions", lambda: jsonify(rows))
    broken.add_url_rule("/api/customers", "customers", lambda: as_of_confirmed([]))
    empty = {"blacklist_info": [], "credit_scores": [], "fraud_reports": []}
    broken.add_url_rule("/api/externalData", "external", lambda: as_of_confirmed(empty))
    with served(broken) as url:
        monkeypatch.setenv("FRAUD_SOURCE_URL", url)
        said = refused(fraud("run", *DAY, "--warehouse", tmp_path / "lake"))
    assert "rejected_share_is_below_limit" in said
    assert "10 of 10" in said and "fintech.transactions" in said and "20%" in said
    after = rows_of(EmbeddedWarehouse(tmp_path / "lake"))
    assert after["transactions"] == before["transactions"] and after["fraud_alerts"] == before["fraud_alerts"]
    assert sum(after["transactions_rejected"].values()) == 10


def as_of_confirmed(body: object) -> Response:
    from flask import request

    response = jsonify(body)
    response.headers["X-As-Of"] = request.args.get("as_of", "2026-03-01T00:00:00Z")
    return response


def _letters(text: str) -> str:
    """The text without the whitespace and lines of tables."""
    return re.sub(r"[\s│]", "", text)


class served:  # noqa: N801
    """A Flask app behind waitress on loopback for the duration of a block; gives its URL."""

    def __init__(self, app: Flask) -> None:
        from threading import Thread

        from waitress.server import create_server

        self._server = create_server(app, host="127.0.0.1", port=0)
        self._thread = Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.effective_port}"

    def __exit__(self, *_: object) -> None:
        self._server.task_dispatcher.shutdown()
        self._server.close()
        self._thread.join(timeout=5)
