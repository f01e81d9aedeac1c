"""`fraud desk`: a real process, its users and tokens."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fraud_assets.cli.main import main
from fraud_assets.desk.people import Accounts, Role
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.desk.site import PASSWORD, Person, fill_lake
from tests.services.processes import wait_until


def fraud(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)


def refused(result: Result) -> str:
    assert result.exit_code != 0 and isinstance(result.exception, SystemExit), result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A warehouse of the test's own."""
    return EmbeddedWarehouse(tmp_path / "lake").root


# --- users and tokens -------------------------------------------------------------------------------------------------


def test_users_are_added_listed_changed_and_removed(folder: Path) -> None:
    there = ["--warehouse", folder]
    done = fraud("desk", "user", "add", "ines", "--role", "investigator", *there, given=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0 and "ines is investigator" in done.output and PASSWORD not in done.output
    assert fraud("desk", *there, "user", "add", "lea", "--role", "lead", "--password-stdin", given=PASSWORD).exit_code == 0
    assert fraud("desk", "user", "add", "vera", "--role", "viewer", "--no-password", *there).exit_code == 0
    accounts = Accounts(folder / "desk_users.json")
    assert {person.name: person.role for person in accounts.people} == {"ines": "investigator", "lea": "lead", "vera": "viewer"}
    assert accounts.sign_in("ines", PASSWORD) and accounts.sign_in("lea", PASSWORD) and not accounts.sign_in("vera", "")
    listed = fraud("desk", "user", "list", *there).output
    assert re.search(r"ines.*investigator.*password", listed) and re.search(r"vera.*viewer.*proxy", listed)
    assert fraud("desk", "user", "remove", "ines", *there).exit_code == 0
    assert "no user ines; the users are lea, vera" in refused(fraud("desk", "user", "remove", "ines", *there))


def test_a_user_that_cannot_be_added(folder: Path) -> None:
    there = ["--warehouse", folder]
    short = fraud("desk", "user", "add", "ines", "--role", "lead", "--password-stdin", *there, given="short")
    assert "12 to 200" in refused(short)
    assert "not a valid name" in refused(fraud("desk", "user", "add", "a b", "--role", "lead", "--no-password", *there))
    assert "exclude each other" in refused(
        fraud("desk", "user", "add", "ines", "--role", "lead", "--no-password", "--password-stdin", *there)
    )
    assert not (folder / "desk_users.json").exists()


def test_tokens_are_shown_once(folder: Path) -> None:
    there = ["--warehouse", folder]
    token = fraud("desk", "token", "add", "tickets", "--role", "viewer", *there).output.strip()
    found = Accounts(folder / "desk_users.json").bearer(token)
    assert found is not None and (found.name, found.role) == ("tickets", Role.VIEWER)
    listed = fraud("desk", "token", "list", *there).output
    assert "tickets" in listed and token not in listed
    assert "tickets already" in refused(fraud("desk", "token", "add", "tickets", "--role", "viewer", *there))
    assert fraud("desk", "token", "remove", "tickets", *there).exit_code == 0
    assert "No tokens" in fraud("desk", "token", "list", *there).output


# --- serving ----------------------------------------------------------------------------------------------------------


@contextmanager
def served(*arguments: str, **env: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A real `fraud desk`; yields its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fraud_assets", "desk", "--port", str(port), *arguments]
    with subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.search(r"http://\S+", line):
                    yield found[0], process
                    break
            else:
                pytest.fail("the desk did not start")
        finally:
            process.kill()


@pytest.mark.slow
def test_alerts_become_cases_and_a_decision_reaches_the_warehouse(tmp_path: Path) -> None:
    lake = fill_lake(tmp_path / "lake")
    Accounts(lake / "desk_users.json").put("ines", Role.INVESTIGATOR, PASSWORD)
    with served("--warehouse", str(lake)) as (url, process):
        ines = Person(url)
        assert "Sign out" in ines.sign_in("ines").text
        cases = wait_until("a case of c1", lambda: re.findall(r"/cases/(\d+)[^>]*data-open>c1<", ines.get("/").text), 60)
        ines.get(f"/cases/{cases[0]}")
        ines.post(f"/cases/{cases[0]}/decide", decision="fraud", reason_fraud="mule")
        wait_until("two decisions in the warehouse", lambda: "2 decisions written" in ines.get("/day").text, 60)
        ines.http.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    rows = EmbeddedWarehouse(lake).read("fintech.decisions").to_pylist()
    assert {(row["transaction_id"], row["decision"]) for row in rows} == {("t1", "fraud"), ("t2", "fraud")}


@pytest.mark.slow
def test_a_desk_without_a_warehouse_says_so_on_every_page_and_creates_none(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    users = tmp_path / "users.json"
    Accounts(users).put("ines", Role.INVESTIGATOR, PASSWORD)
    database = f"sqlite:///{tmp_path / 'home' / 'desk.sqlite'}"
    with served("--warehouse", str(tmp_path / "gone"), "--database", database, FRAUD_DESK_USERS=str(users)) as (url, _):
        ines = Person(url)
        ines.sign_in("ines")

        def failing_page() -> str:
            page = ines.get("/").text
            return page if "failing since" in page else ""

        failing = wait_until("a failure", failing_page, 60)
        assert "alerts to cases" in failing and "does not exist" in failing
        ines.http.close()
    assert not (tmp_path / "gone").exists()


def test_no_file_of_the_desk_lands_in_a_folder_that_is_no_warehouse(tmp_path: Path) -> None:
    """Otherwise the folder could not become one."""
    there = ["--warehouse", tmp_path / "later"]
    for command in (["user", "add", "ines", "--role", "lead", "--no-password"], ["token", "add", "x", "--role", "lead"], []):
        assert "does not exist, and nothing was created" in refused(fraud("desk", *command, *there))
    assert not list(tmp_path.iterdir())


def test_only_loopback_without_a_proxy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["--warehouse", folder]
    assert "not a loopback address" in refused(fraud("desk", "--host", "0.0.0.0", *there))
    monkeypatch.setenv("FRAUD_DESK_USER_HEADER", "X-Forwarded-User")
    assert "belong together" in refused(fraud("desk", *there))
    assert not (folder / "desk.sqlite").exists() and not (folder / "desk_users.json").exists()


def test_webhooks_need_a_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_DESK_WEBHOOKS", "http://127.0.0.1:9/?token=s3same")
    said = refused(fraud("desk", "--warehouse", folder))
    assert "FRAUD_DESK_WEBHOOK_KEY" in said and "s3same" not in said


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1" in refused(fraud("desk", "--port", port, "--warehouse", folder))
