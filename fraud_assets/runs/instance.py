"""The Dagster instance that belongs to a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from filelock import FileLock

from fraud_assets.atomic_write import write_atomically
from fraud_assets.errors import SettingsError
from fraud_assets.runs.event_log import KeptSqliteEventLogStorage, LocatedSqliteRunStorage
from fraud_assets.runs.interrupts import held_interrupts
from fraud_assets.settings import DAGSTER_DATABASE, Settings
from hive_io.locations import open_warehouse

_STARTED_WITHIN = 120
"""Seconds to wait for other processes that open the same instance for the first time."""
_OURS = "# Written by the fraud command; delete this line to keep your own changes.\n"


def dagster_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the warehouse's Dagster instance; it is created if missing.

    Raises:
        NotAWarehouse: the location of the warehouse cannot be used.
        SettingsError: its folder cannot be created or written, or the database of its records cannot be used.
    """
    # creates the warehouse, or reports why it cannot be used, before Dagster writes into its folder
    open_warehouse(settings.warehouse, settings.warehouse_password).close()
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        existing = config.read_text(encoding="utf-8") if config.exists() else _OURS
        _check_database(settings, existing, config)
        if existing.startswith(_OURS):
            storages = _in_sqlite(home) if settings.dagster_database is None else _in_postgresql()
            write_atomically(config, _OURS + yaml.safe_dump({**_GENERAL, **storages}))
    except OSError as error:
        raise SettingsError(
            f"{home} cannot store Dagster's records: {error.strerror}; set DAGSTER_HOME to another folder"
        ) from None
    # of several first starts at once, or of one that is interrupted, none may leave half a database
    with held_interrupts(), FileLock(home / "starting.lock", timeout=_STARTED_WITHIN):
        instance = dg.DagsterInstance.from_config(str(home))
        instance.get_runs_count()
    return instance


def _check_database(settings: Settings, config: str, file: Path) -> None:
    """Connect to the database of the records, if a setting or `dagster.yaml` names one."""
    if settings.dagster_database is None:
        if DAGSTER_DATABASE in config:
            raise SettingsError(
                f"{file} says that Dagster's records are in PostgreSQL, and {DAGSTER_DATABASE} is not set. Set it; or delete "
                "the file, to begin records in SQLite"
            )
        return
    try:
        from fraud_assets.runs.postgresql_records import check_records
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{DAGSTER_DATABASE} needs {error.name}; `pip install 'fraud-assets[dagster-postgresql]'`"
        ) from None
    check_records(settings.dagster_database.get_secret_value())


_GENERAL: dict[str, Any] = {
    # send no usage data, and do not cover the pages with a newsletter dialog
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    # write the statements sent to a HiveServer2 into the log of the run
    "python_logs": {"managed_python_loggers": ["hive_io"], "python_log_level": "INFO"},
    # one backfill run at a time, so that runs of today are not delayed
    "concurrency": {"runs": {"tag_concurrency_limits": [{"key": "dagster/backfill", "limit": 1}]}},
}


def _in_sqlite(home: Path) -> dict[str, Any]:
    return {
        "run_storage": _storage(LocatedSqliteRunStorage, base_dir=str(home / "history")),
        "event_log_storage": _storage(KeptSqliteEventLogStorage, base_dir=str(home / "history" / "runs")),
    }


def _in_postgresql() -> dict[str, Any]:
    # an extra
    from fraud_assets.runs.postgresql_records import (
        KeptPostgresEventLogStorage,
        KeptPostgresScheduleStorage,
        LocatedPostgresRunStorage,
    )

    # every process reads the address from its environment: it has a password
    url = {"env": DAGSTER_DATABASE}
    return {
        "run_storage": _storage(LocatedPostgresRunStorage, postgres_url=url),
        "event_log_storage": _storage(KeptPostgresEventLogStorage, postgres_url=url),
        "schedule_storage": _storage(KeptPostgresScheduleStorage, postgres_url=url),
    }


def _storage(storage: type, **config: object) -> dict[str, Any]:
    return {"module": storage.__module__, "class": storage.__name__, "config": config}
