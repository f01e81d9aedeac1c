"""The checkpoint of the live path: how far it has read the source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import FraudError

_KEYS = {"cursor": "cursor", "day": "day", "reopened": "late_days"}
"""Keys of the file, and the attributes that they hold. Files of version 0.1 have the same keys."""


class BadCheckpoint(FraudError):
    """The checkpoint file cannot be read."""


@dataclass(frozen=True)
class Checkpoint:
    """How far the live path has read the source.

    Attributes:
        cursor: the source's cursor after the last transaction that was loaded and judged; None to read from the beginning of
            today.
        day: the latest day that has begun, `2026-01-31`.
        late_days: earlier days that received rows since they were last reconciled, sorted.
    """

    cursor: str | None = None
    day: str | None = None
    late_days: Sequence[str] = ()

    @classmethod
    def read(cls, file: Path) -> Checkpoint:
        """Read a checkpoint file; without a file, return an empty checkpoint.

        Raises:
            BadCheckpoint: the file holds something else.
        """
        if not file.exists():
            return cls()
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(stored, dict):
                raise TypeError(f"expected an object, found {type(stored).__name__}")
            if unknown := stored.keys() - _KEYS:
                raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
        except (ValueError, TypeError) as error:
            raise BadCheckpoint(
                f"{file} is not a checkpoint of `fraud watch`: {error}. Delete it to read today again from its beginning"
            ) from None
        return cls(**{_KEYS[key]: value for key, value in stored.items()})

    def write(self, file: Path) -> None:
        """Replace the checkpoint file atomically."""
        stored = {key: getattr(self, attribute) for key, attribute in _KEYS.items()}
        write_atomically(file, json.dumps(stored) + "\n")
