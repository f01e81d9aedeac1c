"""Messages to people: one for each change, in order, to every target, none lost; to a real receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask, request
from pydantic import SecretStr

from fraud_assets.cli.main import main
from fraud_assets.monitoring import outbox as outbox_module
from fraud_assets.monitoring.incidents import IncidentKind, IncidentLog
from fraud_assets.monitoring.outbox import Message, NotSent, Outbox, try_targets
from tests.fraud_fixtures import serving

LATE = Message("No transactions", "Since an hour.")
SOURCE = IncidentKind("source", "Silent", "Back", "Nothing is judged.")
RUNS = IncidentKind("runs", "Failed", "Fine", "Tables are as they were.")


class Receiver:
    """A webhook: what it got, and whether it takes anything."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.bodies: list[str] = []
        self.open = True
        self.app = Flask("receiver")
        self.app.post("/hook")(self._take)

    def _take(self) -> tuple[str, int]:
        if not self.open:
            return "", 503
        got = request.get_json()
        self.titles.append(got["title"])
        self.bodies.append(got["message"])
        return "", 200


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def target(receiver: Receiver) -> Iterator[SecretStr]:
    with serving(receiver.app) as url:
        yield SecretStr(url.replace("http://", "json://") + "/hook")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that failed is tried again at once."""
    monkeypatch.setattr(outbox_module, "_LONGEST_PAUSE", 0.0)


def test_each_target_gets_each_message_once_and_in_order(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [target, SecretStr(target.get_secret_value() + "?a=b")])
    for title in ("one", "two", "three"):
        outbox.put(Message(title, "…"))
    assert outbox.send() == [] == outbox.send()
    assert receiver.titles == ["one", "two", "three"] * 2 and not outbox.waiting


def test_what_cannot_be_sent_is_kept_and_sent_later_by_another_process_too(
    receiver: Receiver, target: SecretStr, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path, [target])
    receiver.open = False
    outbox.put(LATE)
    outbox.put(Message("second", "…"))
    (said,) = outbox.send()
    assert said == "A message could not be sent by json://…; it is kept, and tried again"
    assert outbox.send() in ([], [said]) and receiver.titles == [] and outbox.waiting == 2
    receiver.open = True
    assert Outbox(tmp_path, [target]).send() == []
    assert receiver.titles == [LATE.title, "second"] and not outbox.waiting


def test_a_target_that_fails_holds_up_no_other(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, [SecretStr("json://127.0.0.1:9/hook"), target])
    outbox.put(LATE)
    assert len(outbox.send()) == 1
    assert receiver.titles == [LATE.title] and outbox.waiting == 1


def test_a_failing_target_waits_longer_each_time(
    receiver: Receiver, target: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_LONGEST_PAUSE", 300.0)
    now = [0.0]
    monkeypatch.setattr(outbox_module.time, "monotonic", lambda: now[0])
    receiver.open = False
    outbox = Outbox(tmp_path, [target])
    outbox.put(LATE)
    tried: list[float] = []
    monkeypatch.setattr(outbox_module._Target, "takes", lambda *_: tried.append(now[0]))
    for _ in range(1_000):
        now[0] += 1
        outbox.send()
    assert tried[:6] == [1, 2, 4, 8, 16, 32] and tried[-1] - tried[-2] == 300


def test_no_target_no_message(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [])
    outbox.put(LATE)
    assert outbox.send() == [] and not outbox.waiting


def test_one_message_for_each_change_whoever_sees_it(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    late = {"transactions": lambda: "none for an hour"}
    one, other = (IncidentLog(tmp_path / "notices.json", outbox) for _ in range(2))  # as two processes
    for incidents in (one, other):
        incidents.update(RUNS, {}, ["never told"])
        for _ in range(3):
            incidents.update(SOURCE, late)
    other.update(RUNS, {"2026-01-05": lambda: "a step failed"})
    for incidents in (other, one):
        incidents.update(SOURCE, {})
    one.update(SOURCE, late)
    outbox.send()
    assert receiver.titles == ["Silent: transactions", "Failed: 2026-01-05", "Back: transactions", "Silent: transactions"]
    assert receiver.bodies[0] == "transactions: none for an hour\nNothing is judged."
    assert receiver.bodies[2].startswith("transactions: it was not since 20")


def test_many_names_are_one_message_and_what_is_neither_wrong_nor_right_stays(
    receiver: Receiver, target: SecretStr, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    incidents = IncidentLog(tmp_path / "notices.json", outbox)
    asked: list[str] = []

    def why(name: str) -> Callable[[], str]:
        return lambda: asked.append(name) or "it failed"  # type: ignore[func-returns-value]

    days = [f"day {number}" for number in range(1_000)]
    incidents.update(RUNS, {name: why(name) for name in days})
    assert len(asked) == 20, "nobody reads more"
    incidents.update(RUNS, {days[0]: why(days[0])}, right=[days[0], days[1], days[2]])
    incidents.update(RUNS, {}, right=[])
    incidents.update(RUNS, {})
    outbox.send()
    assert receiver.titles == [
        "Failed: day 0, day 1, day 2, and 997 more",
        "Fine: day 1, day 2",
        "Fine: day 0, day 3, day 4, and 995 more",
    ]
    assert len(receiver.bodies[0].splitlines()) == 22 and "980 more" in receiver.bodies[0]


def test_an_address_is_never_told(tmp_path: Path) -> None:
    secret = "token-very-secret"
    with pytest.raises(NotSent) as refused:
        Outbox(tmp_path, [SecretStr(f"nonsense://{secret}")])
    assert "nonsense://…" in str(refused.value) and secret not in str(refused.value)
    outbox = Outbox(tmp_path, [SecretStr(f"json://{secret}@127.0.0.1:9/hook")])
    outbox.put(LATE)
    assert secret not in str(outbox.send())
    for file in tmp_path.rglob("*"):
        assert secret not in file.name + (file.read_text(encoding="utf-8") if file.is_file() else "")
    with pytest.raises(NotSent, match="1 of 1") as failed:
        try_targets([SecretStr(f"json://{secret}@127.0.0.1:9/hook")])
    assert secret not in str(failed.value)


def test_the_command_tries_every_target(receiver: Receiver, target: SecretStr, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = CliRunner().invoke(main, ["notify", "test"])
    assert nobody.exit_code == 1 and "FRAUD_NOTIFY names no target" in nobody.output
    monkeypatch.setenv("FRAUD_NOTIFY", target.get_secret_value())
    fine = CliRunner().invoke(main, ["notify", "test"])
    assert fine.exit_code == 0 and fine.output == "1 targets took the message\n"
    assert receiver.titles == ["Fraud detection: a test"]
    receiver.open = False
    failed = CliRunner().invoke(main, ["notify", "test"])
    assert failed.exit_code == 1 and "1 of 1 targets did not take the message: json://…" in failed.output
