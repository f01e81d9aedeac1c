"""Opening the warehouse of a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fraud_assets.cli.safe_text import shell_word
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.settings import Settings
from hive_io import HiveIOError, NotAWarehouse, Warehouse
from hive_io.locations import open_warehouse, warehouse_exists

_FOLDERS = 200
"""Most folders in which a warehouse is looked for, when the one that a command names is missing."""
_NAMED = 3
"""Most warehouses that the message names."""


def open_lake(settings: Settings) -> Warehouse:
    """Open the warehouse that the settings name, to write to it; a missing one is created.

    Raises:
        NotAWarehouse: the location cannot be used; the message says why.
    """
    return open_warehouse(settings.warehouse, settings.warehouse_password)


def read_lake(settings: Settings) -> Warehouse:
    """Open the warehouse that the settings name, to read from it. Creates nothing and needs no permission to write.

    Raises:
        NotAWarehouse: there is none; the message names those nearby.
    """
    if not warehouse_exists(settings.warehouse):
        raise NotAWarehouse(_missing(settings.warehouse))
    return open_warehouse(settings.warehouse, settings.warehouse_password, read_only=True)


def _missing(location: str) -> str:
    folder = Path(location).absolute()
    what = "is not a warehouse" if folder.exists() else "does not exist"
    found = sorted(((alerts, path) for path in _nearby(folder) if (alerts := _alerts_in(path)) is not None), reverse=True)
    lines = [f"{folder} {what}, and nothing was created."]
    for alerts, path in found[:_NAMED]:
        lines.append(f"`--warehouse {shell_word(_name(path))}` has {alerts:,} alert{'' if alerts == 1 else 's'}.")
    if not found:
        lines.append("`fraud demo` makes a warehouse with synthetic data; `fraud run` fills the one that --warehouse names.")
    return "\n".join(lines)


def _nearby(folder: Path) -> Iterator[Path]:
    """Warehouses in the folder, beside it, and in and beside the current folder."""
    seen: set[Path] = set()
    for place in (folder, folder.parent, Path.cwd(), Path.cwd().parent):
        try:
            inside = sorted(place.iterdir())[:_FOLDERS] if place.is_dir() else []
        except OSError:  # a folder that may not be listed holds nothing to name
            continue
        for path in (place, *inside):
            if path not in seen and path != folder:
                seen.add(path)
                if path.is_dir() and warehouse_exists(str(path)):
                    yield path


def _alerts_in(folder: Path) -> int | None:
    """The number of alerts in a warehouse; None if it has no alerts table or cannot be read."""
    try:
        return sum(open_warehouse(str(folder), read_only=True).partitions(FRAUD_ALERTS.full_name).values())
    except HiveIOError:
        return None


def _name(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
