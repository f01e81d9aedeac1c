"""Settings: defaults, variables, precedence, and errors for unknown variables and invalid values."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.errors import SettingsError
from fraud_assets.monitoring.outbox import NotSent, Outbox
from fraud_assets.settings import Settings, read_settings


def test_defaults() -> None:
    assert read_settings().model_dump() == {
        "warehouse": "warehouse",
        "warehouse_password": None,
        "source": None,
        "mask_key": None,
        "source_url": "http://127.0.0.1:5000",
        "source_page_seconds": 60.0,
        "source_page_megabytes": 256,
        "source_load_seconds": 3600.0,
        "source_max_pages": 10_000,
        "ahead_seconds": 600.0,
        "snapshot_patience": 60.0,
        "rules_file": None,
        "scorecard": None,
        "alert_score": 0.2,
        "alerts_a_day": None,
        "near_misses": None,
        "rules_folder": None,
        "lists_folder": None,
        "shipped_rules": "on",
        "first_day": dt.date(2025, 1, 1),
        "rejected_limit": 0.2,
        "correction_days": 7,
        "notify": None,
        "notify_severity": "high",
        "dagster_url": "http://127.0.0.1:3000",
        "dagster_database": None,
        "silent_after": 300.0,
        "log_format": "text",
        "keep_days": 7,
        "desk_database": None,
        "desk_url": None,
        "desk_users": None,
        "desk_user_header": None,
        "desk_proxy": "",
        "desk_webhooks": None,
        "desk_webhook_key": None,
        "scheduler": "dagster",
        "schedules": "off",
    }


def test_the_default_score_of_alerts_is_that_of_a_rule_book() -> None:
    assert read_settings().alert_score == read_rule_book().alert_score


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, tuple[str, Any]] = {
        "warehouse": ("/data/lake", "/data/lake"),
        "warehouse_password": ("secret", SecretStr("secret")),
        "source": ("sources.yaml", Path("sources.yaml")),
        "mask_key": ("secret", SecretStr("secret")),
        "source_url": ("https://sources:8443/v1", "https://sources:8443/v1"),
        "source_page_seconds": ("30", 30.0),
        "source_page_megabytes": ("64", 64),
        "source_load_seconds": ("600", 600.0),
        "source_max_pages": ("50", 50),
        "ahead_seconds": ("60", 60.0),
        "snapshot_patience": ("10", 10.0),
        "rules_file": ("rules.yaml", Path("rules.yaml")),
        "scorecard": ("card.json", Path("card.json")),
        "alert_score": ("0.5", 0.5),
        "alerts_a_day": ("40", 40),
        "near_misses": ("0.1", 0.1),
        "rules_folder": ("rules", Path("rules")),
        "lists_folder": ("lists", Path("lists")),
        "shipped_rules": ("off", "off"),
        "first_day": ("2018-04-01", dt.date(2018, 4, 1)),
        "rejected_limit": ("0.05", 0.05),
        "correction_days": ("3", 3),
        "notify": ("json://a json://b", SecretStr("json://a json://b")),
        "notify_severity": ("critical", "critical"),
        "dagster_url": ("https://dagster", "https://dagster"),
        "silent_after": ("60", 60.0),
        "log_format": ("json", "json"),
        "keep_days": ("30", 30),
        "dagster_database": ("postgresql://me@db/dagster", SecretStr("postgresql://me@db/dagster")),
        "desk_database": ("postgresql://me@db/desk", SecretStr("postgresql://me@db/desk")),
        "desk_url": ("https://desk", "https://desk"),
        "desk_users": ("users.json", Path("users.json")),
        "desk_user_header": ("X-Forwarded-User", "X-Forwarded-User"),
        "desk_webhooks": ("https://a https://b", SecretStr("https://a https://b")),
        "desk_webhook_key": ("whsec_c2VjcmV0", SecretStr("whsec_c2VjcmV0")),
        "desk_proxy": ("10.0.0.5 fd00::/64", "10.0.0.5 fd00::/64"),
        "scheduler": ("airflow", "airflow"),
        "schedules": ("on", "on"),
    }
    assert values.keys() == Settings.model_fields.keys()
    for name, (text, _) in values.items():
        monkeypatch.setenv(f"FRAUD_{name.upper()}", text)
    assert read_settings().model_dump() == {name: value for name, (_, value) in values.items()}


def test_a_given_value_takes_precedence_and_none_leaves_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_WAREHOUSE", "/from/environment")
    monkeypatch.setenv("FRAUD_REJECTED_LIMIT", "0.5")
    settings = read_settings(warehouse="/given", rejected_limit=None)
    assert (settings.warehouse, settings.rejected_limit) == ("/given", 0.5)


@pytest.mark.parametrize("name", ["FRAUD_WAREHOSE", "FRAUD_", "FRAUD_RULES", "FRAUD_warehouse"])
def test_an_unknown_variable_is_an_error_that_lists_the_settings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError) as error:
        read_settings()
    known = sorted(f"FRAUD_{setting.upper()}" for setting in Settings.model_fields)
    assert str(error.value).startswith(f"{name} ") and ", ".join(known) in str(error.value)


def test_variables_without_the_prefix_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FRAUDULENT", "MY_FRAUD_WAREHOUSE", "WAREHOUSE", "RULES_FILE"):
        monkeypatch.setenv(name, "x")
    assert read_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [
        ("FRAUD_FIRST_DAY", "yesterday", ["valid date"]),
        ("FRAUD_FIRST_DAY", "2025-02-30", ["valid date"]),
        ("FRAUD_REJECTED_LIMIT", "1.01", ["less than or equal to 1", "'1.01'"]),
        ("FRAUD_REJECTED_LIMIT", "-0.01", ["greater than or equal to 0", "'-0.01'"]),
        ("FRAUD_REJECTED_LIMIT", "nan", ["equal to", "'nan'"]),
        ("FRAUD_REJECTED_LIMIT", "20 %", ["valid number", "'20 %'"]),
        ("FRAUD_DESK_URL", "desk", ["http:// or https://", "'desk'"]),
        ("FRAUD_DESK_URL", "https://bank.example.org/desk", ["without a path", "bank.example.org"]),
        ("FRAUD_DESK_PROXY", "10.0.0.5 proxy", ["IP addresses or networks", "'proxy'"]),
        ("FRAUD_DESK_PROXY", "10.0.0.5/8", ["host bits set"]),
        ("FRAUD_DESK_USER_HEADER", "X User", ["pattern", "'X User'"]),
        ("FRAUD_SCHEDULER", "cron", ["'dagster' or 'airflow'", "'cron'"]),
        ("FRAUD_SOURCE_URL", "localhost:5000", ["http:// or https://", "'localhost:5000'"]),
        ("FRAUD_WAREHOUSE", "s3://bucket/lake", ["s3://", "hive://"]),
        ("FRAUD_WAREHOUSE", "hive://me@host/fintech", ["hive://user@host:10000"]),
        ("FRAUD_SOURCE_URL", "", ["http:// or https://", "''"]),
        ("FRAUD_SOURCE_URL", "http://:5000", ["http://host:port"]),
        ("FRAUD_SOURCE_URL", "http://source:99999", ["http://host:port", "source:99999"]),
        ("FRAUD_SOURCE_MAX_PAGES", "0", ["greater than or equal to 1", "'0'"]),
        ("FRAUD_SOURCE_PAGE_SECONDS", "0", ["greater than 0", "'0'"]),
    ],
)
def test_an_invalid_value_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, value: str, facts: list[str]) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        read_settings()
    assert str(error.value).startswith(f"{name}: ")
    assert not [fact for fact in facts if fact not in str(error.value)], str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["0", "1", "0.0", "1e-3"])
def test_the_bounds_of_the_limit_are_valid(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FRAUD_REJECTED_LIMIT", value)
    assert read_settings().rejected_limit == float(value)


def test_an_invalid_given_value_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"^FRAUD_SOURCE_URL: .*http://"):
        read_settings(source_url="ftp://x")
    with pytest.raises(SettingsError, match=r"^FRAUD_NOSUCH: "):
        read_settings(nosuch=1)


def test_dagsters_home_is_beside_the_tables_unless_dagster_home_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(warehouse="lake").dagster_home == tmp_path / "lake" / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    assert read_settings(warehouse="lake").dagster_home == Path("/elsewhere")
    monkeypatch.setenv("DAGSTER_HOME", "")
    assert read_settings(warehouse="lake").dagster_home == tmp_path / "lake" / "dagster"


def test_a_password_in_the_url_is_an_error_that_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_WAREHOUSE", "hive://me:open-sesame@host/fintech?staging=/lake")
    with pytest.raises(SettingsError, match=r"^FRAUD_WAREHOUSE: .*password.*FRAUD_WAREHOUSE_PASSWORD") as error:
        read_settings()
    assert "sesame" not in str(error.value)


_PASSWORDS = [
    "s3same",
    "open/s3same",
    "s3same?x",
    "s3same#x",
    "s3same@x",
    "s3same:x",
    "/s3same",
    "s3same//x",
    "s3same x",
    "s3same\nx",
]


@pytest.mark.parametrize("password", _PASSWORDS)
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("FRAUD_SOURCE_URL", "ftp://me:{}@host"),
        ("FRAUD_SOURCE_URL", "http://me:{}@host:port"),
        ("FRAUD_SOURCE_URL", "http://me:{}@host?token=s3same"),
        ("FRAUD_SOURCE_URL", "me:{}@host"),
        ("FRAUD_SOURCE_URL", "//host?token=s3same"),
        ("FRAUD_SOURCE_URL", "http://host/#s3same"),
        ("FRAUD_DAGSTER_URL", "ftp://me:{}@host"),
        ("FRAUD_DAGSTER_URL", "//host?token=s3same"),
        ("FRAUD_WAREHOUSE", "hive://me:{}@host/fintech"),
        ("FRAUD_WAREHOUSE", "hive://me:{}@host/fintech?staging=/lake&token=s3same"),
        ("FRAUD_WAREHOUSE", "s3://me:{}@host/fintech"),
    ],
)
def test_an_error_shows_no_part_of_a_password(monkeypatch: pytest.MonkeyPatch, name: str, form: str, password: str) -> None:
    monkeypatch.setenv(name, form.format(password))
    with pytest.raises(SettingsError, match=f"^{name}: ") as error:
        read_settings()
    assert "s3same" not in str(error.value) and "me:" not in str(error.value)


@pytest.mark.parametrize(
    "value", ["s3same", "json//s3same", "s3same:", "json:s3same", "nosuch://s3same", "  s3same  json://a "]
)
def test_an_error_about_a_target_shows_no_part_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    monkeypatch.setenv("FRAUD_NOTIFY", value)
    with pytest.raises(NotSent, match="FRAUD_NOTIFY") as error:
        Outbox(tmp_path, read_settings().notify_targets)
    assert "s3same" not in str(error.value)


def test_a_password_with_percent_escapes_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_SOURCE_URL", "https://me:a%2Fb%40c@host:8443/v1")
    settings = read_settings()
    assert settings.source_url == "https://me:a%2Fb%40c@host:8443/v1" and "a%2Fb" not in repr(settings)


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_WAREHOUSE_PASSWORD", "open-sesame")
    assert "sesame" not in f"{read_settings()!r} {read_settings().model_dump_json()}"


def test_dagster_keeps_its_records_of_a_server_on_a_local_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(warehouse="hive://me@host/fintech?staging=/lake").dagster_home == tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    assert read_settings(warehouse="hive://me@host/fintech?staging=/lake").dagster_home == Path("/elsewhere")


def test_a_warehouse_may_have_a_first_day_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(warehouse=str(tmp_path)).first_day == dt.date(2025, 1, 1)
    (tmp_path / "first_day").write_text("2026-10-25\n")
    assert read_settings(warehouse=str(tmp_path)).first_day == dt.date(2026, 10, 25)
    (tmp_path / "first_day").write_text("soon")
    with pytest.raises(SettingsError, match=r"'soon'.*YYYY-MM-DD.*FRAUD_FIRST_DAY"):
        read_settings(warehouse=str(tmp_path))
    monkeypatch.setenv("FRAUD_FIRST_DAY", "2026-02-01")
    assert read_settings(warehouse=str(tmp_path)).first_day == dt.date(2026, 2, 1)
