"""Work that the live path has put off: tables of the day that are missing, and late transactions that are not judged yet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from fraud_assets.atomic_write import write_atomically
from fraud_assets.live.checkpoint import BadCheckpoint


class MissingTable(BaseModel):
    """A table whose rows for a day could not be loaded when the day began.

    Attributes:
        table: name without the database.
        day: the day that needs them.
        instead: the earlier day whose snapshot is used instead; None if there is none, or if the table holds events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    day: dt.date
    instead: dt.date | None = None


class Pending(BaseModel):
    """What is put off; written before the checkpoint that makes it necessary.

    Attributes:
        missing: tables to load.
        unjudged: first and last event time of late transactions that wait to be judged, one pair for each day, newest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: tuple[MissingTable, ...] = ()
    unjudged: tuple[tuple[AwareDatetime, AwareDatetime], ...] = ()

    @classmethod
    def read(cls, file: Path) -> Pending:
        """Read the file; without a file, nothing is put off.

        Raises:
            BadCheckpoint: the file holds something else.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            raise BadCheckpoint(
                f"{file} does not hold what `fraud watch` has put off: {first['msg']}. Delete it, and run today and the days "
                "with late-arriving data again with `fraud run`"
            ) from None

    def write(self, file: Path) -> None:
        """Replace the file atomically."""
        write_atomically(file, self.model_dump_json() + "\n")
