"""Stages: tables that hold the mapped rows of one load of a source that is read in place, until it ends.

Each load has a stage of its own, so that two loads of a day at once do not meet. A load that is killed leaves its stage behind.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from fraud_assets.schemas.names import DATABASE
from hive_io import HiveIOError, NotAWarehouse, Warehouse

GRACE = dt.timedelta(days=1)
"""Age at which a stage counts as left behind. Longer than any load takes."""
_BEGUN = "%Y%m%dt%H%M%S"
_NAME = re.compile(r".+_in_place_(\d{8}t\d{6})_[0-9a-f]{8}")


def stage_name(table: str, now: dt.datetime) -> str:
    """A name for the stage of a load that begins now, which no other has.

    Args:
        now: aware.
    """
    return f"{table}_in_place_{now.astimezone(dt.UTC):{_BEGUN}}_{uuid4().hex[:8]}"


def begun_at(name: str) -> dt.datetime | None:
    """When the load of a stage began; None if the table is no stage."""
    found = _NAME.fullmatch(name)
    return dt.datetime.strptime(found[1], _BEGUN).replace(tzinfo=dt.UTC) if found else None


@contextmanager
def dropped_if_failed(warehouse: Warehouse, stage: str) -> Iterator[None]:
    """Within the context, a failure drops the stage.

    Args:
        stage: `database.name`.
    """
    try:
        yield
    except NotAWarehouse:
        # to drop it would wait for the server once more; a later load does it
        raise
    except BaseException:
        with suppress(HiveIOError):
            warehouse.drop(stage)
        raise


def drop_abandoned(warehouse: Warehouse, now: dt.datetime) -> None:
    """Drop the stages that loads have left behind.

    Args:
        now: aware.

    Raises:
        HiveIOError: the warehouse does not answer.
    """
    for name in warehouse.tables(DATABASE):
        begun = begun_at(name)
        if begun is not None and begun < now - GRACE:
            warehouse.drop(f"{DATABASE}.{name}")
