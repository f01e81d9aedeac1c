"""The checkpoint of the live path: how far it has read the source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import FraudError
from hive_io.table import is_day

_KEYS = {"cursor": "cursor", "day": "day", "day_cursor": "day_cursor", "reopened": "late_days"}
"""Keys of the file, and the attributes that they hold. Files of earlier releases lack some."""


class BadCheckpoint(FraudError):
    """The checkpoint file cannot be read."""


def _valid_day(text: str) -> str:
    if not is_day(text):
        raise ValueError(f"{text!r} is not a valid date; expected YYYY-MM-DD")
    return text


_Day: TypeAlias = Annotated[str, AfterValidator(_valid_day)]


class _Stored(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cursor: str | None = None
    day: _Day | None = None
    day_cursor: str | None = None
    reopened: list[_Day] = []


def _reason(error: ValidationError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


@dataclass(frozen=True)
class Checkpoint:
    """How far the live path has read the source.

    Attributes:
        cursor: the source's cursor after the last transaction that was loaded and judged; None to read from the beginning of
            today.
        day: the latest day that has begun, `2026-01-31`.
        late_days: earlier days that received rows since they were last reconciled, sorted.
        day_cursor: the cursor when the latest day began. After a concurrent write, what has arrived since is read again, late
            rows of earlier days too.
    """

    cursor: str | None = None
    day: str | None = None
    late_days: Sequence[str] = ()
    day_cursor: str | None = None

    @classmethod
    def read(cls, file: Path) -> Checkpoint:
        """Read a checkpoint file; without a file, return an empty checkpoint.

        Raises:
            BadCheckpoint: the file holds something else.
        """
        try:
            stored = _Stored.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return cls()
        except (ValidationError, OSError) as error:
            raise BadCheckpoint(
                f"{file} is not a checkpoint of `fraud watch`: {_reason(error)}. "
                "Delete it to read today again from its beginning"
            ) from None
        return cls(**{_KEYS[key]: value for key, value in stored})

    def write(self, file: Path) -> None:
        """Replace the checkpoint file atomically."""
        stored = {key: getattr(self, attribute) for key, attribute in _KEYS.items()}
        write_atomically(file, json.dumps(stored) + "\n")
