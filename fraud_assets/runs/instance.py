"""The Dagster instance of a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from fraud_assets.errors import SettingsError
from fraud_assets.runs.event_log import KeptSqliteEventLogStorage
from fraud_assets.settings import Settings
from hive_io.locations import open_warehouse

_OURS = "# Written by the fraud command; delete this line to keep your own changes.\n"


def dagster_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance that belongs to the warehouse; made if it is missing.

    Raises:
        SettingsError: its folder cannot be made.
    """
    # claims the folder, or says what is wrong with it, before Dagster writes there
    open_warehouse(settings.warehouse, settings.warehouse_password).close()
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists() or config.read_text(encoding="utf-8").startswith(_OURS):
            config.write_text(_OURS + yaml.safe_dump(_dagster_config(home)), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{home} cannot keep Dagster's records: {error.strerror}; DAGSTER_HOME names another") from None
    return dg.DagsterInstance.from_config(str(home))


def _dagster_config(home: Path) -> dict[str, Any]:
    return {
        # no usage data are sent, and no newsletter box covers the pages
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        # what a HiveServer2 was asked, in the log of the run that asked
        "python_logs": {"managed_python_loggers": ["hive_io"], "python_log_level": "INFO"},
        # a long backfill leaves room for the runs of today
        "concurrency": {"runs": {"tag_concurrency_limits": [{"key": "dagster/backfill", "limit": 1}]}},
        "event_log_storage": {
            "module": KeptSqliteEventLogStorage.__module__,
            "class": KeptSqliteEventLogStorage.__name__,
            "config": {"base_dir": str(home / "history" / "runs")},
        },
    }
