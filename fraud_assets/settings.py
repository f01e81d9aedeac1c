"""Settings from the environment, in variables that start with FRAUD_. No other module reads the environment."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import hive_io
from fraud_assets.errors import SettingsError

PREFIX = "FRAUD_"
_HAS_PASSWORD = re.compile(r"(?<=//)[^/@]*:[^/]*(?=@)")


class Settings(BaseSettings):
    """Settings of the pipeline.

    Attributes:
        warehouse: folder of the embedded warehouse, or `hive://user@host:10000/fintech?staging=/shared/folder`.
        warehouse_password: password of the HiveServer2 user, which the URL must not contain; None for no password.
        source_url: base URL of the three source APIs.
        rules_file: YAML file with params, weights, severities and statuses that override the rule files; None for no overrides.
        first_day: first partition of every asset, a UTC day.
        rejected_limit: largest share of rejected rows in a load, 0 to 1; above it, the table keeps its previous rows.
        notify: notification targets as apprise URLs, separated by blanks; None sends nothing.
        notify_severity: lowest severity of alerts to notify about; `none` sends no alerts.
        dagster_url: base URL of the Dagster UI, for links in messages.
        silent_after: seconds without a transaction before the source counts as silent.
        log_format: format of the log lines of `fraud watch`, as text or as JSON, one object per line.
        keep_days: retention of replaced files in days, for tables that the live path does not write.
        scheduler: the scheduler that starts runs; `airflow` removes Dagster's schedules.
        schedules: initial state of Dagster's schedules; the UI can change it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    warehouse: str = "warehouse"
    warehouse_password: SecretStr | None = None
    source_url: str = "http://127.0.0.1:5000"
    rules_file: Path | None = None
    first_day: dt.date = dt.date(2025, 1, 1)
    rejected_limit: Annotated[float, Field(ge=0, le=1)] = 0.2
    notify: SecretStr | None = None
    notify_severity: Literal["low", "medium", "high", "critical", "none"] = "high"
    dagster_url: str = "http://127.0.0.1:3000"
    silent_after: Annotated[float, Field(gt=0)] = 300
    log_format: Literal["text", "json"] = "text"
    keep_days: Annotated[int, Field(ge=1)] = 7
    scheduler: Literal["dagster", "airflow"] = "dagster"
    schedules: Literal["on", "off"] = "off"

    @field_validator("source_url", "dagster_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("expected a URL that starts with http:// or https://")
        return value

    @field_validator("warehouse")
    @classmethod
    def _is_folder_or_server(cls, value: str) -> str:
        if "://" in value:
            try:
                hive_io.HiveServer.of(value)
            except hive_io.NotAWarehouse as error:
                where = f", as {PREFIX}WAREHOUSE_PASSWORD" if _HAS_PASSWORD.search(value) else ""
                raise ValueError(f"{error}{where}") from None
        return value

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's records of this warehouse; DAGSTER_HOME takes precedence.

        By default it is beside the tables of an embedded warehouse, or `./dagster` for a HiveServer2: Dagster's SQLite database
        needs a local disk.
        """
        home = os.environ.get("DAGSTER_HOME")
        if home:
            return Path(home)
        return Path("dagster").absolute() if "://" in self.warehouse else Path(self.warehouse).absolute() / "dagster"

    @property
    def notify_targets(self) -> list[SecretStr]:
        """Each target of `notify`."""
        return [SecretStr(target) for target in self.notify.get_secret_value().split()] if self.notify else []

    @property
    def state_folder(self) -> Path:
        """Folder of the checkpoint of `fraud watch`: that of the embedded warehouse, or Dagster's folder for a HiveServer2."""
        return self.dagster_home if "://" in self.warehouse else Path(self.warehouse).absolute()


def read_settings(**given: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        given: values by setting name. A value takes precedence over the environment; None leaves the environment's value.

    Raises:
        SettingsError: an unknown FRAUD_ variable, or an invalid value.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"{name} is not a setting; the settings are {', '.join(sorted(known))}")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        message = first["msg"].removeprefix("Value error, ")
        shown = _HAS_PASSWORD.sub("…", repr(first["input"]))
        raise SettingsError(f"{name}: {message} (given: {shown})") from None
