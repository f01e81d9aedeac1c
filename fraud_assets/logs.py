"""Log lines of services: one record per line, as text or as JSON, with the time in UTC."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
from typing import Literal, TextIO, TypeAlias

LogFormat: TypeAlias = Literal["text", "json"]

PROJECT = "fraud_assets"
"""Parent of the loggers of all packages, such as `fraud_assets.live`."""


class TextFormatter(logging.Formatter):
    """`2026-01-31T10:00:00.000Z INFO message`; further lines of a message are indented, so that only a record starts a line."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname} {_message(record, self)}".replace("\n", "\n  ")


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with `time`, `level`, `logger` and `message`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record, self),
        }
        return json.dumps(fields, ensure_ascii=False)


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def log_to(log_format: LogFormat, stream: TextIO | None = None) -> logging.Handler:
    """Write the project's records from INFO on, and those of libraries from WARNING on, to a stream (default: stdout).

    Records of a Dagster run go to the log of that run, as before, and are not repeated here.
    """
    handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(_FORMATTERS[log_format]())
    handler.addFilter(_is_wanted)
    logging.getLogger().addHandler(handler)
    logging.getLogger(PROJECT).setLevel(logging.INFO)
    return handler


def _is_wanted(record: logging.LogRecord) -> bool:
    # Dagster marks a record that it has taken into the log of a run
    if hasattr(record, "dagster_meta"):
        return False
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] == PROJECT


def _time(record: logging.LogRecord) -> str:
    time = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    message = record.getMessage()
    text = f"{message}\n{formatter.formatException(record.exc_info)}" if record.exc_info else message
    # delta-rs colours its errors, also where no terminal is
    return _COLOUR.sub("", text)
