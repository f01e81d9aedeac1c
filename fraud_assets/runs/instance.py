"""The Dagster instance that belongs to a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from filelock import FileLock

from fraud_assets.errors import SettingsError
from fraud_assets.runs.event_log import KeptSqliteEventLogStorage, LocatedSqliteRunStorage
from fraud_assets.runs.interrupts import held_interrupts
from fraud_assets.settings import Settings
from hive_io.locations import open_warehouse

_STARTED_WITHIN = 120
"""Seconds to wait for other processes that open the same instance for the first time."""
_OURS = "# Written by the fraud command; delete this line to keep your own changes.\n"


def dagster_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the warehouse's Dagster instance; it is created if missing.

    Raises:
        NotAWarehouse: the location of the warehouse cannot be used.
        SettingsError: its folder cannot be created or written.
    """
    # creates the warehouse, or reports why it cannot be used, before Dagster writes into its folder
    open_warehouse(settings.warehouse, settings.warehouse_password).close()
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists() or config.read_text(encoding="utf-8").startswith(_OURS):
            config.write_text(_OURS + yaml.safe_dump(_dagster_config(home)), encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{home} cannot store Dagster's records: {error.strerror}; set DAGSTER_HOME to another folder"
        ) from None
    # of several first starts at once, or of one that is interrupted, none may leave half a database
    with held_interrupts(), FileLock(home / "starting.lock", timeout=_STARTED_WITHIN):
        instance = dg.DagsterInstance.from_config(str(home))
        instance.get_runs_count()
    return instance


def _dagster_config(home: Path) -> dict[str, Any]:
    return {
        # send no usage data, and do not cover the pages with a newsletter dialog
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        # write the statements sent to a HiveServer2 into the log of the run
        "python_logs": {"managed_python_loggers": ["hive_io"], "python_log_level": "INFO"},
        # one backfill run at a time, so that runs of today are not delayed
        "concurrency": {"runs": {"tag_concurrency_limits": [{"key": "dagster/backfill", "limit": 1}]}},
        "run_storage": {
            "module": LocatedSqliteRunStorage.__module__,
            "class": LocatedSqliteRunStorage.__name__,
            "config": {"base_dir": str(home / "history")},
        },
        "event_log_storage": {
            "module": KeptSqliteEventLogStorage.__module__,
            "class": KeptSqliteEventLogStorage.__name__,
            "config": {"base_dir": str(home / "history" / "runs")},
        },
    }
