"""Real servers for tests, each started for them and ended after them."""

from hive_io import HiveServer2Warehouse

ZONE = "America/St_Johns"
"""Where the servers live: three and a half hours, or two and a half, behind UTC, which shows what depends on it."""


def drop_tables(server: HiveServer2Warehouse, *databases: str) -> None:
    """Leave nothing of an earlier test; a warehouse itself never drops a table."""
    for database in databases:
        for name in server.tables(database):
            server._run(f"DROP TABLE {database}.`{name}`")
