"""Reads from an Airflow Connection where Dagster is. Secrets stay in `Address` and `LocalDagster`, whose repr hides them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_bridge.errors import BadConnection
from airflow_bridge.in_airflow.dagster_graphql import Address


class Connection(Protocol):
    """The fields of an Airflow Connection that are read; the same in all Airflow versions."""

    conn_id: str
    host: str | None
    port: int | None
    schema: str | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class LocalDagster:
    """A virtual environment on this machine with Dagster and the assets.

    Attributes:
        python: path of its interpreter.
        module: module with the definitions, `fraud_assets.definitions`.
        attribute: name of the definitions in the module, or of a function that returns them.
        env: environment variables for the command, added to the worker's. DAGSTER_HOME must be in one of the two.
    """

    python: str
    module: str
    attribute: str = "defs"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_connection(connection: Connection, mode: str | None = None) -> Address | LocalDagster:
    """Location of Dagster: a webserver, or a virtual environment on this machine.

    Args:
        mode: "remote" or "local". Takes precedence over the Connection's mode, whose default is "remote".

    Raises:
        BadConnection: names the field that is missing or invalid.
    """
    extra = connection.extra_dejson
    chosen = mode or extra.get("mode", "remote")
    if chosen == "local":
        return local(connection)
    if chosen == "remote":
        return remote(connection)
    raise BadConnection(f'The Airflow Connection {connection.conn_id} has the mode "{chosen}"; use "remote" or "local"')


def remote(connection: Connection) -> Address:
    """Address of Dagster's webserver.

    Raises:
        BadConnection: names the field that is missing or invalid.
    """
    extra = connection.extra_dejson
    if not connection.host:
        raise BadConnection(
            f"The Airflow Connection {connection.conn_id} has no host; set it to the host of Dagster's webserver"
        )
    # an http Connection may have the scheme in host or in schema, and a path after the host
    scheme, _, rest = connection.host.rpartition("://")
    host, _, path = rest.partition("/")
    port = f":{connection.port}" if connection.port else ""
    url = f"{scheme or connection.schema or 'http'}://{host}{port}/{path}".rstrip("/")
    return Address(
        url=url,
        headers=_texts(connection, extra, "headers"),
        auth=(connection.login, connection.password or "") if connection.login else None,
        location=extra.get("repository_location"),
        repository=extra.get("repository"),
        **{name: _seconds(connection, extra, name) for name in ("launch_timeout", "patience") if name in extra},
    )


def local(connection: Connection) -> LocalDagster:
    """Virtual environment with Dagster.

    Raises:
        BadConnection: names the field that is missing or invalid.
    """
    extra = connection.extra_dejson
    missing = [name for name in ("python", "module") if not extra.get(name)]
    if missing:
        raise BadConnection(
            f"The extra of the Airflow Connection {connection.conn_id} lacks {' and '.join(missing)}; local mode needs python, "
            "the interpreter of a virtual environment with Dagster, and module, which has the definitions"
        )
    attribute = str(extra.get("attribute", "defs"))
    return LocalDagster(str(extra["python"]), str(extra["module"]), attribute, _texts(connection, extra, "env"))


def _texts(connection: Connection, extra: Mapping[str, Any], name: str) -> dict[str, str]:
    value = extra.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        # the message omits the value, which may be a secret
        raise BadConnection(
            f'"{name}" in the extra of the Airflow Connection {connection.conn_id} is not a JSON object of strings; '
            f'write it as {{"{name}": {{"name": "value"}}}}'
        )
    return value


def _seconds(connection: Connection, extra: Mapping[str, Any], name: str) -> float:
    try:
        seconds = float(extra[name])
    except (TypeError, ValueError):
        seconds = math.nan
    if not (0 <= seconds < math.inf) or (name == "launch_timeout" and not seconds):
        raise BadConnection(
            f'"{name}" in the extra of the Airflow Connection {connection.conn_id} is not a number of seconds; '
            "give one, 120 for example"
        )
    return seconds
