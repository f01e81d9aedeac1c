"""Log lines of services: their fields, and that each record is written once."""

import datetime as dt
import io
import json
import logging
from collections.abc import Iterator

import dagster as dg
import pytest

from fraud_assets.logs import PROJECT, LogFormat, log_to

LIVE = logging.getLogger("fraud_assets.live")


class Log:
    """A stream that receives the log lines of a test."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self._handlers: list[logging.Handler] = []

    def begin(self, log_format: LogFormat) -> None:
        self._handlers.append(log_to(log_format, self.stream))

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def end(self) -> None:
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    level = logging.getLogger(PROJECT).level
    yield log
    log.end()
    logging.getLogger(PROJECT).setLevel(level)


def test_a_line_of_text_has_time_level_and_message(log: Log) -> None:
    log.begin("text")
    before = dt.datetime.now(dt.UTC)
    LIVE.info("%d transactions", 412)
    LIVE.warning("100 % of the disk is used")
    [first, second] = log.lines
    time, level, message = first.split(" ", 2)
    assert (level, message) == ("INFO", "412 transactions")
    assert time.endswith("Z") and abs(dt.datetime.fromisoformat(time) - before) < dt.timedelta(minutes=10)
    assert second.split(" ", 2)[1:] == ["WARNING", "100 % of the disk is used"]


def test_colours_of_a_library_are_left_out(log: Log) -> None:
    log.begin("text")
    LIVE.warning("Generic error \x1b[31m↳\x1b[0m no space")
    [line] = log.lines
    assert line.endswith("WARNING Generic error ↳ no space")


def test_only_a_record_starts_a_line_of_text(log: Log) -> None:
    log.begin("text")
    LIVE.error("a run failed\n2026-01-31T10:00:00.000Z INFO all is well")
    [first, second] = log.lines
    assert first.endswith(" ERROR a run failed") and second.startswith("  ")


@pytest.mark.parametrize("message", ["412 transactions", "two\nlines", 'quotes "" and Zoë', "\u2028"])
def test_a_line_of_json_is_an_object(log: Log, message: str) -> None:
    log.begin("json")
    LIVE.warning(message)
    [text, end] = log.stream.getvalue().split("\n")
    fields = json.loads(text)
    assert end == "" and fields.keys() == {"time", "level", "logger", "message"}
    assert (fields["level"], fields["logger"], fields["message"]) == ("WARNING", "fraud_assets.live", message)
    assert dt.datetime.fromisoformat(fields["time"]).utcoffset() == dt.timedelta()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_is_part_of_its_record(log: Log, log_format: LogFormat) -> None:
    log.begin(log_format)
    try:
        raise ValueError("the cause")
    except ValueError:
        LIVE.exception("a step failed")
    text = log.stream.getvalue()
    assert "a step failed" in text and "ValueError: the cause" in text
    assert sum(not line.startswith(" ") for line in log.lines) == 1


def test_libraries_are_heard_from_warnings_on(log: Log) -> None:
    log.begin("json")
    for name in ("fraud_assets.live", "fraud_assets", "hive_io.statements", "httpx", "fraud_assets_of_another_project"):
        logging.getLogger(name).warning("%s warns", name)
        logging.getLogger(name).info("%s informs", name)
        logging.getLogger(name).debug("%s debugs", name)
    messages = [json.loads(line)["message"] for line in log.lines]
    assert [message for message in messages if not message.endswith("warns")] == [
        "fraud_assets.live informs",
        "fraud_assets informs",
    ]
    assert len(messages) == 7


def test_records_of_a_dagster_run_are_not_repeated(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    managed = logging.getLogger("hive_io.statements")

    @dg.op
    def speak(context: dg.OpExecutionContext) -> None:
        context.log.error("by the context")
        dg.get_dagster_logger().error("by the logger of Dagster")
        managed.error("by a managed logger")
        LIVE.info("by the live path")

    @dg.job
    def job() -> None:
        speak()

    log.begin("text")
    overrides = {"python_logs": {"managed_python_loggers": ["hive_io"], "python_log_level": "INFO"}}
    with dg.instance_for_test(overrides=overrides) as instance:
        run = job.execute_in_process(instance=instance)
        kept = [entry.user_message for entry in instance.all_logs(run.run_id)]
    console = capfd.readouterr().err + log.stream.getvalue()
    for message in ("by the context", "by the logger of Dagster", "by a managed logger"):
        assert console.count(message) == 1 and kept.count(message) == 1
        assert message not in log.stream.getvalue()
    assert console.count("by the live path") == log.stream.getvalue().count("by the live path") == 1
