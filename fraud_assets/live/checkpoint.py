"""The checkpoint of the live path: how far it has read the source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import FraudError


class BadCheckpoint(FraudError):
    """The file that says how far the live path has come cannot be used."""


@dataclass(frozen=True)
class Checkpoint:
    """How far the live path has come.

    Attributes:
        cursor: of the last transaction that is in the lake and judged; None before the first.
        day: the last day that began, `2026-01-31`.
        reopened: earlier days that got rows since a run of the graph last brought them.
    """

    cursor: str | None = None
    day: str | None = None
    reopened: Sequence[str] = ()

    @classmethod
    def read(cls, file: Path) -> Checkpoint:
        """The checkpoint in a file; a new one where there is none.

        Raises:
            BadCheckpoint: it is not one.
        """
        if not file.exists():
            return cls()
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise BadCheckpoint(f"{file} is not what `fraud watch` wrote ({error}); delete it to begin with today") from None

    def write(self, file: Path) -> None:
        """Keep it in a file; a new one is there whole, or the old one still is."""
        write_atomically(file, json.dumps(asdict(self)) + "\n")
