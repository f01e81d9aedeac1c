"""Settings: the only reader of the environment. Every variable starts with FRAUD_."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fraud_assets.errors import SettingsError

PREFIX = "FRAUD_"


class Settings(BaseSettings):
    """What can be set from outside; see the README for what each is for.

    Attributes:
        warehouse: the folder of the embedded warehouse.
        source_url: where the three source APIs are.
        rules_file: a YAML file with params, weights and states of rules that differ from their files.
        first_day: the first partition of every asset.
        rejected_limit: share of refused rows over which a load is not trusted.
        scheduler: who starts runs. With airflow, Dagster's own schedules do not exist.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    warehouse: str = "warehouse"
    source_url: str = "http://127.0.0.1:5000"
    rules_file: Path | None = None
    first_day: dt.date = dt.date(2025, 1, 1)
    rejected_limit: Annotated[float, Field(ge=0, le=1)] = 0.2
    scheduler: Literal["dagster", "airflow"] = "dagster"

    @field_validator("source_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("starts with http:// or https://")
        return value

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps what it knows of this warehouse: beside its tables, unless DAGSTER_HOME says otherwise."""
        home = os.environ.get("DAGSTER_HOME")
        return Path(home) if home else Path(self.warehouse).absolute() / "dagster"


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
        raise SettingsError(f"{name}: {message} (given: {first['input']!r})") from None
