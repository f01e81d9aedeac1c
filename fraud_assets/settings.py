"""Settings from the environment, in variables that start with FRAUD_. No other module reads the environment."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import hive_io
from fraud_assets.addresses import public
from fraud_assets.errors import SettingsError

PREFIX = "FRAUD_"
DAGSTER_DATABASE = PREFIX + "DAGSTER_DATABASE"
"""The variable that `dagster.yaml` names, so that every process of Dagster reads the address from its environment."""
_ADDRESSES = {"dagster_url", "desk_url", "source_url", "warehouse"}


class Settings(BaseSettings):
    """Settings of the pipeline.

    Attributes:
        warehouse: folder of the embedded warehouse, or `hive://user@host:10000/fintech?staging=/shared/folder`.
        warehouse_password: password of the HiveServer2 user, which the URL must not contain; None for no password.
        source_url: base URL of the three source APIs.
        source: source file that says where each table comes from; None for the three APIs at `source_url`.
        mask_key: secret of the keyed hashes of `mask: hash` in a source file; None if it has none.
        source_page_seconds: seconds for a page of the source, from the request to its last byte.
        source_page_megabytes: largest size of a page, after decompression.
        source_load_seconds: seconds for all pages of a load.
        source_max_pages: most pages of a load.
        ahead_seconds: seconds by which a transaction may be later than its arrival at the source; beyond, it is rejected.
        snapshot_patience: seconds for which detection waits for snapshots when a day begins.
        scorecard: JSON file with a scorecard that is in force instead of the learned ones; None for the learned ones.
        alert_score: score from which a transaction is an alert although no rule hit it; 1 for none.
        alerts_a_day: most alerts a day on average, those of rules among them: what score a day needs for an alert without a hit
            follows from the days before, and at first is `alert_score`; None for `alert_score` on every day.
        near_misses: distance from a hit within which near misses are stored, above 0 and below 1; None stores none.
        rules_file: YAML file with params, weights, severities and statuses that override the rule files; None for no overrides.
        rules_folder: folder with rule files of the company's own; None for those of this package alone.
        lists_folder: folder with block and watch lists; by default `lists` in the `rules_folder`.
        shipped_rules: `off` leaves out the rules of this package.
        first_day: first partition of every asset, a UTC day; by default that of the `first_day_file`, if there is one.
        rejected_limit: largest share of rejected rows in a load, 0 to 1; above it, the table keeps its previous rows.
        correction_days: largest number of days by which a correction may move a transaction; 0 removes no earlier version.
        notify: notification targets as apprise URLs, separated by blanks; None sends nothing.
        notify_severity: lowest severity of alerts to notify about; `none` sends no alerts.
        dagster_url: base URL of the Dagster UI, for links in messages.
        dagster_database: `postgresql://` URL of the database of Dagster's records; None for SQLite files in `dagster_home`.
        silent_after: seconds without a transaction before the source counts as silent.
        log_format: format of the log lines of `fraud watch`, as text or as JSON, one object per line.
        keep_days: retention of replaced files in days, for tables that the live path does not write.
        desk_database: SQLAlchemy URL of the database of cases, SQLite or PostgreSQL; by default `desk.sqlite` in the
            `state_folder`.
        desk_url: address at which people open the desk, for links in messages; None for no links.
        desk_users: file of the desk's users and tokens; None for `desk_users.json` in the `state_folder`.
        desk_user_header: header in which a reverse proxy names the desk's user; None for the desk's own passwords.
        desk_proxy: addresses of that proxy, as IP addresses or networks separated by blanks.
        desk_webhooks: addresses to which the desk posts each step of a case, separated by blanks; None for none.
        desk_webhook_key: secret that signs these posts, base64 of at least 24 bytes; `whsec_` may precede it.
        scheduler: the scheduler that starts runs; `airflow` removes Dagster's schedules.
        schedules: initial state of Dagster's schedules; the UI can change it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    warehouse: str = "warehouse"
    warehouse_password: SecretStr | None = None
    source_url: Annotated[str, Field(repr=False)] = "http://127.0.0.1:5000"
    source: Path | None = None
    mask_key: SecretStr | None = None
    source_page_seconds: Annotated[float, Field(gt=0)] = 60
    source_page_megabytes: Annotated[int, Field(ge=1)] = 256
    source_load_seconds: Annotated[float, Field(gt=0)] = 3600
    source_max_pages: Annotated[int, Field(ge=1)] = 10_000
    ahead_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600
    snapshot_patience: Annotated[float, Field(ge=0)] = 60
    rules_file: Path | None = None
    scorecard: Path | None = None
    alert_score: Annotated[float, Field(gt=0, le=1)] = 0.2
    alerts_a_day: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    near_misses: Annotated[float, Field(gt=0, lt=1)] | None = None
    rules_folder: Path | None = None
    lists_folder: Path | None = None
    shipped_rules: Literal["on", "off"] = "on"
    first_day: dt.date = dt.date(2025, 1, 1)
    rejected_limit: Annotated[float, Field(ge=0, le=1)] = 0.2
    correction_days: Annotated[int, Field(ge=0, le=90)] = 7
    notify: SecretStr | None = None
    notify_severity: Literal["low", "medium", "high", "critical", "none"] = "high"
    dagster_url: str = "http://127.0.0.1:3000"
    dagster_database: SecretStr | None = None
    silent_after: Annotated[float, Field(gt=0)] = 300
    log_format: Literal["text", "json"] = "text"
    keep_days: Annotated[int, Field(ge=1)] = 7
    desk_database: SecretStr | None = None
    desk_url: str | None = None
    desk_users: Path | None = None
    desk_user_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")] | None = None
    desk_proxy: str = ""
    desk_webhooks: SecretStr | None = None
    desk_webhook_key: SecretStr | None = None
    scheduler: Literal["dagster", "airflow"] = "dagster"
    schedules: Literal["on", "off"] = "off"

    @field_validator("source_url", "dagster_url", "desk_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("expected a URL that starts with http:// or https://")
        return value

    @field_validator("source_url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        if "?" in value or "#" in value:
            raise ValueError(
                "expected a base URL without ? and #; in a user or password, write %3F, %23, %2F and %40 for ? # / @"
            )
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or "@" in parts.path or port == 0:
            raise ValueError("expected http://host:port/…; in a user or password, write %2F and %40 for / @") from None
        return value

    @field_validator("desk_url")
    @classmethod
    def _is_site(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
                raise ValueError("expected https://host or https://host:port, without a path")
        return value

    @field_validator("dagster_database")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parts = urlsplit(value.get_secret_value())
                is_database = parts.scheme == "postgresql" and parts.port != 0 and bool(parts.path.strip("/"))
            except ValueError:
                is_database = False
            if not is_database:
                raise ValueError("expected postgresql://user:password@host:5432/database; write %2F and %40 for / @ in them")
        return value

    @field_validator("desk_proxy")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for address in value.split():
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise ValueError(f"expected IP addresses or networks, such as 10.0.0.5 or 10.0.0.0/28: {error}") from None
        return value

    @field_validator("warehouse")
    @classmethod
    def _is_folder_or_server(cls, value: str) -> str:
        if "://" in value:
            try:
                hive_io.HiveServer.of(value)
            except hive_io.NotAWarehouse as error:
                where = f", as {PREFIX}WAREHOUSE_PASSWORD" if re.search("//[^/@]*:[^/]*@", value) else ""
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
    def lists(self) -> Path | None:
        """Folder of the lists; None if no setting names one."""
        return self.lists_folder or (self.rules_folder / "lists" if self.rules_folder else None)

    @property
    def notify_targets(self) -> list[SecretStr]:
        """Each target of `notify`."""
        return [SecretStr(target) for target in self.notify.get_secret_value().split()] if self.notify else []

    @property
    def state_folder(self) -> Path:
        """Folder of the checkpoint of `fraud watch`: that of the embedded warehouse, or Dagster's folder for a HiveServer2."""
        return self.dagster_home if "://" in self.warehouse else Path(self.warehouse).absolute()

    @property
    def desk_database_url(self) -> str:
        """SQLAlchemy URL of the database of cases, with its password."""
        if self.desk_database is not None:
            return self.desk_database.get_secret_value()
        return f"sqlite:///{self.state_folder / 'desk.sqlite'}"

    @property
    def desk_users_file(self) -> Path:
        """File of the desk's users and tokens."""
        return self.desk_users or self.state_folder / "desk_users.json"

    @property
    def first_day_file(self) -> Path:
        """File with the first day of a warehouse, in its `state_folder`. Only `fraud demo` writes it, for its own warehouse."""
        return self.state_folder / "first_day"


def environment_variable(name: str) -> str | None:
    """The value of a variable that a source file names, such as a token; None if it is not set."""
    return os.environ.get(name)


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
        return _with_own_first_day(Settings(**{name: value for name, value in given.items() if value is not None}))
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {message} (given: {_shown(str(first['loc'][0]), first['input'])})") from None


def _with_own_first_day(settings: Settings) -> Settings:
    if "first_day" in settings.model_fields_set:
        return settings
    try:
        text = settings.first_day_file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return settings
    except OSError as error:
        raise SettingsError(f"{settings.first_day_file} cannot be read: {error.strerror}; or set {PREFIX}FIRST_DAY") from None
    try:
        return settings.model_copy(update={"first_day": dt.date.fromisoformat(text)})
    except ValueError:
        raise SettingsError(
            f"{settings.first_day_file}: {text[:40]!r} is not a valid date; write YYYY-MM-DD, or set {PREFIX}FIRST_DAY"
        ) from None


def _shown(setting: str, value: object) -> str:
    """An invalid value, without what may be secret."""
    if setting not in Settings.model_fields or Settings.model_fields[setting].annotation == SecretStr | None:
        return "a value that is not shown"
    return repr(public(value) if setting in _ADDRESSES and isinstance(value, str) else value)
