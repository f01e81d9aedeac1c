"""Dagster's SQLite event log with persistent connections.

Dagster 1.13 opens its SQLite databases again for every event, and SQLAlchemy then compiles every statement again: 10 to 20 ms
per event, with two events for each asset and day. Persistent connections are 4 to 5 times faster (see docs/decisions). Files
and schema are those of the parent class, so either class can read what the other wrote.

The overridden method is private to Dagster; this was written for 1.13, the version that `constraints.txt` pins.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

_KEPT = 8
"""Databases kept open: the index, and the runs most recently read or written."""


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """Event log storage for `event_log_storage` in dagster.yaml; takes `base_dir`, as Dagster's own does."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteEventLogStorage:
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        # one thread at a time, as in the parent class, so one connection per database is enough
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            self._engines[shard] = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
        self._engines.move_to_end(shard)
        while len(self._engines) > _KEPT:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]

    def delete_events(self, run_id: str) -> None:
        """Delete a run's events and its database file, which the parent class would leave, empty, at its full size."""
        super().delete_events(run_id)
        with self._db_lock:
            if run_id in self._engines:
                self._engines.pop(run_id).dispose()
            self._initialized_dbs.discard(run_id)
            if run_id != RUNLESS_RUN_ID:
                Path(self.path_for_shard(run_id)).unlink(missing_ok=True)

    def dispose(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
        super().dispose()
