"""Incidents and the outbox, with a real receiver: one message per change, in order, to every target, none lost."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock, Timeout
from flask import Flask, request
from pydantic import SecretStr

from fraud_assets.cli.main import main
from fraud_assets.clock import Clock
from fraud_assets.monitoring import incidents as incidents_module
from fraud_assets.monitoring import outbox as outbox_module
from fraud_assets.monitoring.alert_digest import AlertDigest
from fraud_assets.monitoring.incidents import IncidentKind, IncidentLog
from fraud_assets.monitoring.outbox import Message, NotSent, Outbox, try_targets
from mock_sources.serving import serving

MESSAGE = Message("No transactions", "For an hour.")
SOURCE = IncidentKind("source", "Silent source", "Resolved: silent source", "Nothing is judged.")
RUNS = IncidentKind("runs", "Failed runs", "Resolved: failed runs", "Tables are unchanged.")
NOW = dt.datetime(2026, 1, 5, 23, 59, 59, tzinfo=dt.UTC)


class Receiver:
    """A webhook.

    Attributes:
        titles, bodies: of the messages it has accepted.
        open: whether it accepts messages.
        refuses: titles that it answers with status 400.
    """

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.bodies: list[str] = []
        self.open = True
        self.refuses: set[str] = set()
        self.app = Flask("receiver")
        self.app.post("/hook")(self._receive)

    def _receive(self) -> tuple[str, int]:
        if not self.open:
            return "", 503
        message = request.get_json()
        if message["title"] in self.refuses:
            return "", 400
        self.titles.append(message["title"])
        self.bodies.append(message["message"])
        return "", 200


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def target(receiver: Receiver) -> Iterator[SecretStr]:
    with serving(receiver.app) as url:
        yield SecretStr(url.replace("http://", "json://") + "/hook")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing targets are retried at once."""
    monkeypatch.setattr(outbox_module, "_LONGEST_PAUSE", 0.0)


def test_each_target_gets_each_message_once_and_in_order(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [target, SecretStr(target.get_secret_value() + "?a=b")])
    for title in ("one", "two", "three"):
        outbox.put(Message(title, "…"))
    assert outbox.send() == [] == outbox.send()
    assert receiver.titles == ["one", "two", "three"] * 2 and not outbox.waiting


def test_a_message_that_a_target_refuses_does_not_block_the_others(
    receiver: Receiver, target: SecretStr, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    receiver.refuses = {"refused", "refused, too"}
    for title in ("refused", "refused, too", "one", "two"):
        outbox.put(Message(title, "…"))
    for number in range(20):
        outbox.send()
        outbox.put(Message(f"later {number}", "…"))
    for _ in range(50):
        outbox.send()
    assert set(receiver.titles) == {"one", "two", *(f"later {number}" for number in range(20))}
    assert len(receiver.titles) == 22, "each once"
    assert outbox.waiting == 0
    given_up = [json.loads(file.read_text())["title"] for file in sorted((tmp_path / "outbox" / "refused").iterdir())]
    assert given_up == ["refused", "refused, too"]


def test_a_refused_message_is_kept_until_others_are_accepted(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    receiver.refuses = {"refused"}
    outbox.put(Message("refused", "…"))
    for _ in range(10):
        outbox.send()
    assert outbox.waiting == 1 and not (tmp_path / "outbox" / "refused").exists()
    receiver.open = False
    outbox.put(Message("other", "…"))
    for _ in range(10):
        outbox.send()
    assert outbox.waiting == 2 and not (tmp_path / "outbox" / "refused").exists(), "a target that is down refuses nothing"


def test_descriptions_are_made_without_the_lock(tmp_path: Path) -> None:
    file = tmp_path / "notices.json"
    log, other = (IncidentLog(file, Outbox(tmp_path / "outbox", [])) for _ in range(2))

    def describe() -> str:
        with FileLock(file.with_suffix(".lock")).acquire(timeout=0):
            return "it fails"

    log.update(RUNS, {"a run": describe})
    other.update(RUNS, {"a run": pytest.fail})
    assert json.loads(file.read_text())["runs"].keys() == {"a run"}


def test_a_lock_that_another_process_keeps_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents_module, "LOCK_SECONDS", 0.1)
    file = tmp_path / "notices.json"
    with FileLock(file.with_suffix(".lock")), pytest.raises(Timeout):
        IncidentLog(file, Outbox(tmp_path / "outbox", [])).update(RUNS, {"a run": lambda: "it fails"})


def test_a_message_that_cannot_be_sent_is_kept_and_sent_later_even_by_another_process(
    receiver: Receiver, target: SecretStr, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path, [target])
    receiver.open = False
    outbox.put(MESSAGE)
    outbox.put(Message("second", "…"))
    (error,) = outbox.send()
    assert "json://…" in error
    assert outbox.send() in ([], [error]) and receiver.titles == [] and outbox.waiting == 2
    receiver.open = True
    assert Outbox(tmp_path, [target]).send() == []
    assert receiver.titles == [MESSAGE.title, "second"] and not outbox.waiting


def test_a_failing_target_does_not_delay_the_others(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, [SecretStr("json://127.0.0.1:9/hook"), target])
    outbox.put(MESSAGE)
    assert len(outbox.send()) == 1
    assert receiver.titles == [MESSAGE.title] and outbox.waiting == 1


def test_a_failing_target_waits_longer_each_time(
    receiver: Receiver, target: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_LONGEST_PAUSE", 300.0)
    now = [0.0]
    monkeypatch.setattr(outbox_module.time, "monotonic", lambda: now[0])
    receiver.open = False
    outbox = Outbox(tmp_path, [target])
    outbox.put(MESSAGE)
    attempts: list[float] = []
    monkeypatch.setattr(outbox_module._Target, "deliver", lambda *_: attempts.append(now[0]))
    for _ in range(1_000):
        now[0] += 1
        outbox.send()
    assert attempts[:6] == [1, 2, 4, 8, 16, 32] and attempts[-1] - attempts[-2] == 300


def test_without_targets_no_message_is_kept(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [])
    outbox.put(MESSAGE)
    assert outbox.send() == [] and not outbox.waiting


def test_one_message_for_each_change_with_two_processes(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    late = {"transactions": lambda: "none for an hour"}
    one, other = (IncidentLog(tmp_path / "notices.json", outbox, Clock(lambda: NOW)) for _ in range(2))
    for incidents in (one, other):
        incidents.update(RUNS, {}, ["never opened"])
        for _ in range(3):
            incidents.update(SOURCE, late)
    other.update(RUNS, {"2026-01-05": lambda: "a step failed"})
    for incidents in (other, one):
        incidents.update(SOURCE, {})
    one.update(SOURCE, late)
    outbox.send()
    assert receiver.titles == [
        "Silent source: transactions",
        "Failed runs: 2026-01-05",
        "Resolved: silent source: transactions",
        "Silent source: transactions",
    ]
    assert receiver.bodies[0] == "transactions: none for an hour\nNothing is judged."
    assert all(fact in receiver.bodies[2] for fact in ("transactions", "2026-01-05 23:59:59 (UTC)"))


def test_the_file_of_open_incidents(tmp_path: Path) -> None:
    """The next process, of this version or an older one, reads what this one wrote."""
    file = tmp_path / "notices.json"
    time = [NOW]
    incidents = IncidentLog(file, Outbox(tmp_path / "outbox", []), Clock(lambda: time[0]))
    incidents.update(SOURCE, {"transactions": lambda: "none"})
    time[0] += dt.timedelta(seconds=1)
    incidents.update(RUNS, {"a": lambda: "failed", "b": lambda: "failed"})
    incidents.update(RUNS, {}, healthy=["b"])
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "source": {"transactions": "2026-01-05 23:59:59"},
        "runs": {"a": "2026-01-06 00:00:00"},
    }


def test_the_files_of_waiting_messages(tmp_path: Path) -> None:
    """One for each target; another process may send them."""
    targets = [SecretStr(f"json://127.0.0.1:9/{name}") for name in ("one", "other")]
    Outbox(tmp_path / "outbox", targets).put(MESSAGE)
    files = sorted((tmp_path / "outbox").glob("*.json"))
    assert len(files) == 2
    for file in files:
        message = json.loads(file.read_text(encoding="utf-8"))
        assert message == {"title": MESSAGE.title, "body": MESSAGE.body, "good": False}


DAMAGED = {
    "empty": b"",
    "cut": b'{"title": "No tra',
    "other bytes": b"\xff\xfe\x00",
    "nested deep": b"[" * 100_000,
    "a list": b"[]",
    "null": b"null",
    "other types": b'{"title": 5, "body": ["x"], "source": [], "told": 7}',
    "types deep inside": b'{"source": {"a": 5}, "told": {"2026-01-05": 5}, "title": "x"}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_message_is_moved_aside_and_the_others_are_sent(
    receiver: Receiver, target: SecretStr, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    for title in ("one", "damaged", "two"):
        outbox.put(Message(title, "…"))
    damaged = sorted((tmp_path / "outbox").glob("*.json"))[1]
    damaged.write_bytes(content)
    assert outbox.send() == []
    assert receiver.titles == ["one", "two"] and outbox.waiting == 0
    assert [file.name for file in (tmp_path / "outbox").glob("*.damaged")] == [damaged.name + ".damaged"]
    assert (tmp_path / "outbox" / f"{damaged.name}.damaged").read_bytes() == content
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert str(damaged) in warning and ".damaged" in warning
    assert outbox.send() == [] and len(receiver.titles) == 2


@pytest.mark.parametrize(
    "content",
    [
        '{"title": "readable", "body": "b"}',
        '{"title": "readable", "body": "b", "good": "yes", "severity": 5}',
        '{"title": "readable", "body": "\\ud800b", "good": null}',
    ],
)
def test_a_message_that_can_be_read_is_sent(receiver: Receiver, target: SecretStr, tmp_path: Path, content: str) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    outbox.put(MESSAGE)
    (file,) = (tmp_path / "outbox").glob("*.json")
    file.write_text(content, encoding="utf-8")
    assert outbox.send() == []
    assert receiver.titles == ["readable"] and receiver.bodies[0].endswith("b")
    assert not list((tmp_path / "outbox").glob("*.json*"))


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_of_open_incidents_is_moved_aside_and_what_is_open_is_reported_again(
    receiver: Receiver, target: SecretStr, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file, outbox = tmp_path / "notices.json", Outbox(tmp_path / "outbox", [target])
    for _ in range(2):
        file.write_bytes(content)
        IncidentLog(file, outbox, Clock(lambda: NOW)).update(SOURCE, {"transactions": lambda: "none"})
    assert json.loads(file.read_text(encoding="utf-8")) == {"source": {"transactions": "2026-01-05 23:59:59"}}
    outbox.send()
    assert receiver.titles == ["Silent source: transactions"] * 2
    kept = sorted(tmp_path.glob("*.damaged"))
    assert [each.name for each in kept] == ["notices.json.2.damaged", "notices.json.damaged"]
    assert {each.read_bytes() for each in kept} == {content}
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2 and all(str(file) in warning for warning in warnings)


def an_alert(name: str) -> dict[str, object]:
    time = dt.datetime(2026, 1, 5, 12)
    return {"transaction_id": name, "ds": "2026-01-05", "score": 0.5, "severity": "high", "rules": ["r"], "event_time": time}


@pytest.mark.parametrize("content", [*DAMAGED.values(), b'{"at": "yesterday"}', b'{"at": "2026-01-05T10:00:00"}', b'{"at": 5}'])
def test_a_damaged_file_of_notified_alerts_is_moved_aside_and_no_alert_is_lost(tmp_path: Path, content: bytes) -> None:
    target = SecretStr("json://127.0.0.1:9/hook")
    file, outbox = tmp_path / "alerts_told.json", Outbox(tmp_path / "outbox", [target])
    file.write_bytes(content)
    AlertDigest(file, outbox).notify([an_alert("t1")], ["2026-01-05"], NOW, "high", "http://127.0.0.1/alerts")
    assert json.loads(file.read_text(encoding="utf-8")) == {"at": NOW.isoformat(), "told": {"2026-01-05": ["t1"]}}
    assert outbox.waiting == 1
    assert (tmp_path / "alerts_told.json.damaged").read_bytes() == content


def test_a_digest_is_due_after_the_clock_was_set_back(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [SecretStr("json://127.0.0.1:9/hook")])
    digest = AlertDigest(tmp_path / "alerts_told.json", outbox)
    for hours, name in ((1, "t1"), (0, "t2")):
        digest.notify([an_alert(name)], ["2026-01-05"], NOW + dt.timedelta(hours=hours), "high", "http://127.0.0.1")
    assert outbox.waiting == 2


def test_many_names_are_one_message_and_unknown_ones_stay_open(receiver: Receiver, target: SecretStr, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", [target])
    incidents = IncidentLog(tmp_path / "notices.json", outbox)
    described: list[str] = []

    def describe(name: str) -> Callable[[], str]:
        return lambda: described.append(name) or "it failed"  # type: ignore[func-returns-value]

    days = [f"day {number}" for number in range(1_000)]
    incidents.update(RUNS, {name: describe(name) for name in days})
    assert len(described) == 20, "a message lists no more"
    incidents.update(RUNS, {days[0]: describe(days[0])}, healthy=[days[0], days[1], days[2]])
    incidents.update(RUNS, {}, healthy=[])
    incidents.update(RUNS, {})
    outbox.send()
    assert receiver.titles == [
        "Failed runs: day 0, day 1, day 2, and 997 more",
        "Resolved: failed runs: day 1, day 2",
        "Resolved: failed runs: day 0, day 3, day 4, and 995 more",
    ]
    assert len(receiver.bodies[0].splitlines()) == 22 and "980 more" in receiver.bodies[0]


def test_an_address_is_never_shown(tmp_path: Path) -> None:
    secret = "token-very-secret"
    with pytest.raises(NotSent) as not_supported:
        Outbox(tmp_path, [SecretStr(f"nonsense://{secret}")])
    assert "nonsense://…" in str(not_supported.value) and secret not in str(not_supported.value)
    outbox = Outbox(tmp_path, [SecretStr(f"json://{secret}@127.0.0.1:9/hook")])
    outbox.put(MESSAGE)
    assert secret not in str(outbox.send())
    for file in tmp_path.rglob("*"):
        assert secret not in file.name + (file.read_text(encoding="utf-8") if file.is_file() else "")
    with pytest.raises(NotSent, match="1 of 1") as failed:
        try_targets([SecretStr(f"json://{secret}@127.0.0.1:9/hook")])
    assert secret not in str(failed.value)


def test_the_command_tries_every_target(receiver: Receiver, target: SecretStr, monkeypatch: pytest.MonkeyPatch) -> None:
    no_target = CliRunner().invoke(main, ["notify", "test"])
    assert no_target.exit_code == 1 and "FRAUD_NOTIFY" in no_target.output
    monkeypatch.setenv("FRAUD_NOTIFY", target.get_secret_value())
    sent = CliRunner().invoke(main, ["notify", "test"])
    assert sent.exit_code == 0 and "1 target" in sent.output
    (title,) = receiver.titles
    assert "Fraud detection" in title and "test" in title
    receiver.open = False
    failed = CliRunner().invoke(main, ["notify", "test"])
    assert failed.exit_code == 1 and "1 of 1" in failed.output and "json://…" in failed.output
