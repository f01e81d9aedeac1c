"""Dagster's SQLite records: an event log with persistent connections, and runs that its timeline shows.

Dagster 1.13 opens its SQLite databases again for every event, and SQLAlchemy then compiles every statement again: 10 to 20 ms
per event, with two events for each asset and day. Persistent connections are 4 to 5 times faster (see docs/decisions). Files
and schema are those of the parent class, so either class can read what the other wrote.

Evaluations of a check on many days are stored together, where the parent class commits every one by itself.

A run of this process belongs to no code location, and Dagster's timeline leaves such runs out. It is stored as a run of the
location in `workspace.yaml`, which `fraud ui` opens.

The overridden methods are private to Dagster; this was written for 1.13, the version that `constraints.txt` pins.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckKey, DagsterEventType, DagsterRun, EventLogEntry
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import ConfigurableClassData
from sqlalchemy import bindparam, create_engine, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

_KEPT = 8
"""Databases kept open: the index, and the runs most recently read or written."""
LOCATION, MODULE, ATTRIBUTE = "fraud_assets", "fraud_assets.definitions", "defs"
"""The code location of `workspace.yaml`."""


class LocatedSqliteRunStorage(SqliteRunStorage):
    """Run storage for `run_storage` in dagster.yaml; takes `base_dir`, as Dagster's own does."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> LocatedSqliteRunStorage:
        # the parent class would make one of its own
        return cls.from_local(inst_data=inst_data, **config_value)

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run; one without a code location as a run of ours."""
        return super().add_run(located(dagster_run))


def located(run: DagsterRun) -> DagsterRun:
    """A run as it is stored: one without a code location is a run of ours."""
    return run.with_job_origin(_origin(run.job_name)) if run.remote_job_origin is None else run


def _origin(job: str) -> RemoteJobOrigin:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE, attribute=ATTRIBUTE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(loadable_target_origin=target, location_name=LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), job)


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

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store evaluations of one check in one run, which were planned by day, with a few statements; others one by one."""
        if not is_about_one_check(events):
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_connection() as connection:
            store_evaluations(connection, events, rows)

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


def is_about_one_check(events: Sequence[EventLogEntry]) -> bool:
    """True if all events are evaluations of one check in one run."""
    about = {(event.run_id, event.dagster_event_type, _check_of(event)) for event in events}
    _, kind, check = about.pop() if len(about) == 1 else ("", None, None)
    return kind is DagsterEventType.ASSET_CHECK_EVALUATION and check is not None


def store_evaluations(connection: Connection, events: Sequence[EventLogEntry], rows: Sequence[Mapping[str, Any]]) -> None:
    """Store evaluations of one check in one run, in a transaction.

    Args:
        rows: the events as rows of `SqlEventLogStorageTable`.
    """
    check = _check_of(events[0])
    assert check is not None
    insert = SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
    table = AssetCheckExecutionsTable
    of_run = (
        (table.c.asset_key == check.asset_key.to_string())
        & (table.c.check_name == check.name)
        & (table.c.run_id == events[0].run_id)
    )
    ids = connection.execute(insert, rows).scalars().all()
    records = [_execution(event, row, event_id) for event, row, event_id in zip(events, rows, ids, strict=True)]
    planned = set(connection.execute(select(table.c.partition).where(of_run)).scalars())
    update = table.update().where(of_run, table.c.partition == bindparam("planned_partition"))
    if known := [{**record, "planned_partition": record["partition"]} for record in records if record["partition"] in planned]:
        connection.execute(update, known)
    if unplanned := [record for record in records if record["partition"] not in planned]:
        connection.execute(table.insert(), unplanned)


def _check_of(event: EventLogEntry) -> AssetCheckKey | None:
    data = event.dagster_event.event_specific_data if event.dagster_event else None
    return data.asset_check_key if isinstance(data, AssetCheckEvaluation) else None


def _execution(event: EventLogEntry, row: Mapping[str, Any], event_id: int) -> dict[str, Any]:
    """The row of `AssetCheckExecutionsTable` for an evaluation that is stored under this id."""
    assert event.dagster_event is not None
    evaluation = event.dagster_event.asset_check_evaluation_data
    status = AssetCheckExecutionRecordStatus.SUCCEEDED if evaluation.passed else AssetCheckExecutionRecordStatus.FAILED
    target = evaluation.target_materialization_data
    return {
        "asset_key": evaluation.asset_key.to_string(),
        "check_name": evaluation.check_name,
        "partition": evaluation.partition,
        "run_id": event.run_id,
        "execution_status": status.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": event_id,
        "materialization_event_storage_id": target.storage_id if target else None,
    }
