"""Secrets of settings appear in no outlet: what is printed, logged, recorded, exported, or passed to a process.

A command that is not listed in `OUTLETS` fails a test: add it there, with what makes it read every setting, or say in `SILENT`
why it shows none.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import click
import pytest
from flask import Flask, Response, request

from fraud_assets.cli.main import main
from mock_sources import World, create_app
from mock_sources.serving import serving
from tests.services.postgresql import new_database, postgresql
from tests.services.processes import free_port, wait_until

pytestmark = pytest.mark.slow

DAY = "2026-11-02"
HANGS = 180
CANARIES = {
    "the source's user": "canaryuser7",
    "the source's password": "canarypass7",
    "a target's token": "canarytoken7",
    "the warehouse's password": "canaryhive7",
    "the mask's key": "canarymask7canarymask7canarymask7",
    "the webhooks' key": "canaryhook7canaryhook7canaryhook7canaryhook7",
    "a webhook's token": "canarypath7",
    "the records' password": "canaryrecords7",
}

OUTLETS: dict[str, list[str]] = {
    "airflow export": ["--out", "{folder}/dags"],
    "alerts": [],
    "alerts diff": [DAY],
    "cases decide": ["1", "--as", "fraud", "--reason", "mule"],
    "cases export": ["1", "--out", "{folder}/case.html"],
    "cases lift": ["1"],
    "cases list": [],
    "cases show": ["1"],
    "cases suppress": ["customer", "c1", "--until", "2030-01-01", "--why", "x"],
    "cases suppressions": [],
    "cases sync": [],
    "desk": [],
    "desk token list": [],
    "desk user add": ["lee", "--role", "viewer", "--no-password"],
    "desk user list": [],
    "desk user remove": ["lee"],
    "evaluate": ["--from", DAY, "--to", "2026-11-03"],
    "explain": ["{transaction}"],
    "lists add": ["cards", "card", "tok", "--kind", "block", "--why", "x"],
    "lists remove": ["cards", "card", "tok", "--why", "x"],
    "lists show": [],
    "notify test": [],
    "rejected list": [],
    "rejected retry": ["transactions"],
    "rules check": [],
    "rules list": [],
    "rules quality": ["--from", DAY, "--to", "2026-11-03"],
    "run": ["--from", DAY, "--to", "2026-11-03"],
    "ui": [],
    "upkeep": [],
    "watch": [],
}
"""Commands that read settings, and their arguments. Those of `PROCESSES` run until they are stopped."""
PROCESSES = {"desk", "ui", "watch"}
SILENT = {
    "airflow": "a group",
    "desk token add": "shows the new token once, which is its purpose",
    "desk token remove": "needs such a token's name",
    "features": "reads rule and feature files",
    "hive": "reads no setting",
    "sources": "reads no setting",
    "rules": "writes rule files and pages from them",
    "demo": "a run with a source of its own",
    "replay": "a run with a source of its own",
}
"""Commands, or groups with all their commands, that show no setting, with the reason."""


def commands() -> Iterator[str]:
    """Full names of all commands that do something."""

    def walk(command: click.Command, name: str) -> Iterator[str]:
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield name
            for child in command.list_commands(click.Context(command)):
                found = command.get_command(click.Context(command), child)
                assert found is not None
                yield from walk(found, f"{name} {child}".strip())
        else:
            yield name

    yield from walk(main, "")


def test_every_command_is_listed() -> None:
    listed = {*OUTLETS, *SILENT}
    unlisted = [name for name in commands() if name not in listed and name.partition(" ")[0] not in SILENT]
    assert unlisted == [], "add them to OUTLETS, or to SILENT with the reason"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder, and an environment with a canary in every secret, for a source that requires its user and password."""
    folder = tmp_path_factory.mktemp("outlets")
    app = create_app(World(customers=60, merchants=60, fraud_rate=0.1))
    user, password = CANARIES["the source's user"], CANARIES["the source's password"]
    expected = "Basic " + base64.b64encode(f"{user}:{password}/x@y".encode()).decode()

    @app.before_request
    def authorize() -> Response | None:
        return None if request.headers.get("Authorization") == expected else Response("no", 401)

    hook = Flask("hook")
    hook.post("/<path:path>")(lambda path: "")
    # without PostgreSQL on PATH, everything else is searched
    server = postgresql(CANARIES["the records' password"]) if shutil.which("postgres") else nullcontext()
    with serving(app, threads=8) as url, serving(hook) as target, server as database:
        address = url.replace("http://", f"http://{user}:{password}%2Fx%40y@")
        token = CANARIES["a target's token"]
        settings = {
            "FRAUD_WAREHOUSE": str(folder / "lake"),
            "FRAUD_SOURCE_URL": address,
            "FRAUD_FIRST_DAY": "2026-11-01",
            "FRAUD_LISTS_FOLDER": str(folder / "lists"),
            "FRAUD_NOTIFY": target.replace("http://", "json://") + f"/hook/{token}",
            "FRAUD_WAREHOUSE_PASSWORD": CANARIES["the warehouse's password"],
            "FRAUD_MASK_KEY": CANARIES["the mask's key"],
            "FRAUD_DESK_WEBHOOKS": target + "/" + CANARIES["a webhook's token"],
            "FRAUD_DESK_WEBHOOK_KEY": CANARIES["the webhooks' key"],
        }
        if database is not None:
            settings["FRAUD_DAGSTER_DATABASE"] = new_database(database)
        yield folder, {**{k: v for k, v in os.environ.items() if not k.startswith("FRAUD_")}, **settings}


def leaks(text: str) -> list[str]:
    return [name for name, canary in CANARIES.items() if canary in text]


def in_files(folder: Path) -> dict[str, list[str]]:
    """Canaries in each file of a folder, with binary files read as text."""
    texts = {str(file.relative_to(folder)): file.read_bytes().decode("latin-1") for file in folder.rglob("*") if file.is_file()}
    return {name: found for name, text in texts.items() if (found := leaks(text))}


def command_lines(pid: int) -> str:
    """Command lines of a process and of all that it started."""
    lines: list[str] = []
    for process in Path("/proc").iterdir():
        try:
            status = process.joinpath("stat").read_text()
            line = process.joinpath("cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
        if process.name == str(pid) or f" {pid} " in status:
            lines.append(line)
    return "\n".join(lines)


def fraud(name: str, arguments: list[str], env: dict[str, str], folder: Path) -> str:
    """Run a command and return what it prints, and its command lines while it ran."""
    command = [sys.executable, "-m", "fraud_assets", *name.split(), *arguments]
    log = folder / "output"
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT) as process:
        seen: set[str] = set()
        stopped = threading.Event()

        def look() -> None:
            while not stopped.wait(0.2):
                seen.add(command_lines(process.pid))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            if name in PROCESSES:
                serves = {"desk": b"Fraud desk: http", "ui": b"Serving dagster-webserver"}.get(name)
                holds = lambda: serves in log.read_bytes() if serves else (folder / "lake/watching.json").exists()  # noqa: E731
                wait_until(name, lambda: holds() or process.poll() is not None, HANGS)
                time.sleep(3)
                process.terminate()
            process.wait(timeout=HANGS)
        finally:
            stopped.set()
            watcher.join()
            process.kill()
    output = log.read_text(errors="replace")
    log.unlink()
    return "\n".join([output, *seen])


@pytest.mark.parametrize(
    "name",
    ["run", *(pytest.param(name, marks=[] if name in PROCESSES else pytest.mark.long) for name in OUTLETS if name != "run")],
)
def test_no_outlet_shows_a_secret(name: str, site: tuple[Path, dict[str, str]]) -> None:
    folder, env = site
    arguments = [each.format(folder=folder, transaction="tx") for each in OUTLETS[name]]
    if name in ("desk", "ui"):
        arguments = ["--port", str(free_port())]
    if name == "desk" and not (folder / "lake").exists():
        fraud("run", OUTLETS["run"], env, folder)  # tests may run in any order
    output = fraud(name, arguments, env, folder)
    assert leaks(output) == [], output
    if name == "desk":
        assert "Fraud desk: http" in output, output
    if name == "run":
        assert "Run " in output and (folder / "lake" / "dagster").exists(), output
    # tables, run records, event logs, messages, checkpoints, exported DAGs
    assert in_files(folder) == {}


@pytest.mark.parametrize("name", ["run", "watch"])
def test_no_error_about_the_source_shows_a_secret(name: str, site: tuple[Path, dict[str, str]]) -> None:
    folder, env = site
    wrong = {**env, "FRAUD_SOURCE_URL": env["FRAUD_SOURCE_URL"].replace("canarypass7", "canarypass77")}
    output = fraud(name, OUTLETS[name], wrong, folder)
    assert "401" in output or name == "watch"
    assert leaks(output) == [] and in_files(folder) == {}
