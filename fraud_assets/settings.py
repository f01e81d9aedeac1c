"""Settings: the only reader of the environment. Every variable starts with FRAUD_."""

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
    """What can be set from outside; see the README for what each is for.

    Attributes:
        warehouse: the folder of the embedded warehouse, or `hive://user@host:10000/fintech?staging=/shared/folder`.
        warehouse_password: of the user of a HiveServer2; a password in the address itself is refused.
        source_url: where the three source APIs are.
        rules_file: a YAML file with params, weights and states of rules that differ from their files.
        first_day: the first partition of every asset.
        rejected_limit: share of refused rows over which a load is not trusted.
        notify: whom to tell when something is wrong: targets as apprise reads them, with blanks between.
        notify_severity: the lowest severity of alerts that people are told of, or none.
        dagster_url: where people open Dagster, for the links in messages.
        silent_after: seconds without a transaction after which the source is called silent.
        keep_days: how long files of replaced rows are kept, of the tables that the live path does not write.
        scheduler: who starts runs. With airflow, Dagster's own schedules do not exist.
        schedules: whether Dagster's own schedules run before somebody starts them in the UI.
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
    keep_days: Annotated[int, Field(ge=1)] = 7
    scheduler: Literal["dagster", "airflow"] = "dagster"
    schedules: Literal["on", "off"] = "off"

    @field_validator("source_url", "dagster_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("starts with http:// or https://")
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
        """Where Dagster keeps what it knows of this warehouse, unless DAGSTER_HOME says otherwise.

        Beside the tables of an embedded warehouse; for a HiveServer2, `./dagster`: its database wants a local disk.
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
        """Where `fraud watch` keeps how far it has come: beside the tables that it speaks of, where they are in a folder."""
        return self.dagster_home if "://" in self.warehouse else Path(self.warehouse).absolute()


def read_settings(**given: Any) -> Settings:
    """The settings from the environment; `given` goes before it, None is as if not given.

    Raises:
        SettingsError: an unknown FRAUD_ variable, or a value that cannot be used.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"{name} is not a setting; there are {', '.join(sorted(known))}")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        message = first["msg"].removeprefix("Value error, ")
        shown = _HAS_PASSWORD.sub("…", repr(first["input"]))
        raise SettingsError(f"{name}: {message} (given: {shown})") from None
