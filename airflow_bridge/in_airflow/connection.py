"""What an Airflow Connection says about Dagster. Secrets stay inside `Address` and `LocalDagster`, whose repr hides them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_bridge.errors import BadConnection
from airflow_bridge.in_airflow.dagster_graphql import Address


class Connection(Protocol):
    """The fields of an Airflow Connection that are read; alike in all versions."""

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
    """A virtual environment on this machine that has Dagster and the assets.

    Attributes:
        python: its interpreter.
        module: where the definitions are, `fraud_assets.definitions`.
        attribute: of the module: the definitions, or a function that gives them.
        env: set for the command, beside the worker's own; DAGSTER_HOME is among them, or in the worker's.
    """

    python: str
    module: str
    attribute: str = "defs"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_connection(connection: Connection, mode: str | None = None) -> Address | LocalDagster:
    """Where Dagster is.

    Args:
        mode: "remote" or "local"; goes before the Connection's own, which goes before "remote".

    Raises:
        BadConnection: with the field that is missing or wrong.
    """
    extra = connection.extra_dejson
    wanted = mode or extra.get("mode", "remote")
    if wanted == "local":
        return local(connection)
    if wanted == "remote":
        return remote(connection)
    raise BadConnection(f'The Airflow Connection {connection.conn_id} has the mode "{wanted}"; it is "remote" or "local"')


def remote(connection: Connection) -> Address:
    """Where Dagster's webserver is.

    Raises:
        BadConnection: with the field that is missing or wrong.
    """
    extra = connection.extra_dejson
    if not connection.host:
        raise BadConnection(f"The Airflow Connection {connection.conn_id} has no host; give that of Dagster's webserver")
    # Airflow's http connections may have the scheme in host or in schema, and a path after the host
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
    """Which virtual environment has Dagster.

    Raises:
        BadConnection: with the field that is missing or wrong.
    """
    extra = connection.extra_dejson
    missing = [name for name in ("python", "module") if not extra.get(name)]
    if missing:
        raise BadConnection(
            f"The Airflow Connection {connection.conn_id} lacks {' and '.join(missing)} in its extra: "
            "local mode needs the path of a virtual environment's python and the module of the definitions"
        )
    attribute = str(extra.get("attribute", "defs"))
    return LocalDagster(str(extra["python"]), str(extra["module"]), attribute, _texts(connection, extra, "env"))


def _texts(connection: Connection, extra: Mapping[str, Any], name: str) -> dict[str, str]:
    value = extra.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        # the value is not shown: it may be a secret
        raise BadConnection(f'"{name}" in the extra of the Airflow Connection {connection.conn_id} is an object of texts')
    return value


def _seconds(connection: Connection, extra: Mapping[str, Any], name: str) -> float:
    try:
        return float(extra[name])
    except (TypeError, ValueError):
        raise BadConnection(
            f'"{name}" in the extra of the Airflow Connection {connection.conn_id} is a number of seconds'
        ) from None
