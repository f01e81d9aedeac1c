"""The location of Dagster in an Airflow Connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_bridge.errors import BadConnection
from airflow_bridge.in_airflow.connection import LocalDagster, read_connection
from airflow_bridge.in_airflow.dagster_graphql import Address


@dataclass
class AirflowConnection:
    """The fields of Airflow's class. The tests that run in Airflow use the real one."""

    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    extra_dejson: dict[str, Any] = field(default_factory=dict)
    conn_id: str = "dagster_default"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "127.0.0.1", "port": 3000}, "http://127.0.0.1:3000"),
        ({"host": "127.0.0.1", "port": 3000, "schema": "https"}, "https://127.0.0.1:3000"),
        ({"host": "https://dagster.bank.example"}, "https://dagster.bank.example"),
        ({"host": "https://bank.example/dagster/", "port": 8443}, "https://bank.example:8443/dagster"),
        ({"host": "bank.example/dagster", "schema": "https"}, "https://bank.example/dagster"),
    ],
)
def test_the_url_is_built_from_the_fields(fields: dict[str, Any], url: str) -> None:
    address = read_connection(AirflowConnection(**fields))
    assert isinstance(address, Address)
    assert address.url == url


def test_credentials_and_options_are_read() -> None:
    extra = {
        "mode": "remote",
        "headers": {"Dagster-Cloud-Api-Token": "t0ken"},
        "repository_location": "fraud_assets",
        "repository": "__repository__",
        "launch_timeout": 30,
        "patience": "600",
    }
    address = read_connection(AirflowConnection("127.0.0.1", 3000, login="airflow", password="s3cret", extra_dejson=extra))
    assert address == Address(
        "http://127.0.0.1:3000",
        headers={"Dagster-Cloud-Api-Token": "t0ken"},
        auth=("airflow", "s3cret"),
        location="fraud_assets",
        repository="__repository__",
        launch_timeout=30,
        patience=600,
    )


def test_local_mode_is_read_and_hides_its_environment() -> None:
    extra = {"mode": "local", "python": "/venv/bin/python", "module": "fraud_assets.definitions", "env": {"TOKEN": "s3cret"}}
    site = read_connection(AirflowConnection(extra_dejson=extra))
    assert site == LocalDagster("/venv/bin/python", "fraud_assets.definitions", "defs", {"TOKEN": "s3cret"})
    assert "s3cret" not in repr(site)


def test_the_tasks_mode_takes_precedence() -> None:
    extra = {"mode": "local", "python": "/venv/bin/python", "module": "fraud_assets.definitions"}
    assert isinstance(read_connection(AirflowConnection("127.0.0.1", extra_dejson=extra), mode="remote"), Address)


@pytest.mark.parametrize(
    ("fields", "problem", "advice"),
    [
        ({}, "has no host", "webserver"),
        ({"host": "h", "extra_dejson": {"mode": "nearby"}}, 'the mode "nearby"', 'use "remote" or "local"'),
        ({"extra_dejson": {"mode": "local", "python": "/p"}}, "lacks module", "module"),
        ({"extra_dejson": {"mode": "local"}}, "lacks python and module", "python"),
        ({"host": "h", "extra_dejson": {"headers": ["s3cret"]}}, '"headers" in the extra', '{"headers": {'),
        ({"host": "h", "extra_dejson": {"patience": "long"}}, '"patience" in the extra', "seconds"),
        ({"host": "h", "extra_dejson": {"patience": "nan"}}, '"patience" in the extra', "seconds"),
        ({"host": "h", "extra_dejson": {"launch_timeout": 0}}, '"launch_timeout" in the extra', "seconds"),
        ({"host": "h", "extra_dejson": {"launch_timeout": -1}}, '"launch_timeout" in the extra', "seconds"),
    ],
)
def test_a_missing_or_invalid_field_is_named(fields: dict[str, Any], problem: str, advice: str) -> None:
    with pytest.raises(BadConnection, match="Airflow Connection dagster_default") as raised:
        read_connection(AirflowConnection(**fields))
    message = str(raised.value)
    assert problem in message and advice in message
    assert "s3cret" not in message
