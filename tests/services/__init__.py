"""Real servers for tests, started before them and stopped after them."""

import datetime as dt

from hive_io import HiveServer2Warehouse

ZONE = "America/St_Johns"
"""Time zone of the servers, 3.5 or 2.5 hours behind UTC, so that a result that depends on it differs visibly."""


def today() -> dt.date:
    """The current date, in UTC."""
    return dt.datetime.now(dt.UTC).date()


def drop_tables(server: HiveServer2Warehouse, *databases: str) -> None:
    """Drop all tables of these databases; a warehouse itself drops stages only."""
    for database in databases:
        for name in server.tables(database):
            server._run(f"DROP TABLE {database}.`{name}`")
