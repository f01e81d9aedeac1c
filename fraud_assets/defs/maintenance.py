"""The maintenance job: compaction, vacuum and retention. It materializes no asset and changes no row."""

from collections.abc import Mapping

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import TableMaintenance, maintain
from fraud_assets.schemas.names import DATABASE
from hive_io.dagster.io_manager import WarehouseResource

MAINTENANCE = "lake_upkeep"
FILES, MIB, ROWS = "files", "MiB", "rows"
GROWTH = " since the last upkeep"
"""Suffix of the labels `MiB` and `rows` for their growth, which is reported from the second run on."""


def maintenance_job(engine: Engine, keep_days: int, clock: Clock = SYSTEM_CLOCK) -> dg.JobDefinition:
    """The job. It reports each table's figures as an observation of its asset, which Dagster plots over time.

    Args:
        keep_days: retention, in days, of replaced files; tables that the live path writes keep theirs for an hour.
    """

    @dg.op(
        name="all_tables",  # must differ from the job's name, or Dagster takes the two for one
        out=dg.Out(dg.Nothing),
        description="Compacts the small files of past days and deletes replaced files after their retention, table by table.",
    )
    def all_tables(context: dg.OpExecutionContext, lake: WarehouseResource) -> None:
        for result in maintain(engine, lake.warehouse, keep_days, clock.today()):
            figures = figures_of(result, _last_observed(context.instance, result.table))
            context.log_event(dg.AssetObservation(_own_key(result.table), metadata=dict(figures)))
            context.log.info("%s: %s", result.table, ", ".join(f"{name} {value}" for name, value in figures.items()))

    @dg.job(
        name=MAINTENANCE,
        description="Compacts the small files of past days and deletes replaced files after their retention. Changes no row.",
    )
    def job() -> None:
        all_tables()

    return job


def figures_of(result: TableMaintenance, last: Mapping[str, dg.MetadataValue]) -> dict[str, float]:
    """The figures of a table, as observation metadata.

    Args:
        last: the metadata of the table's previous observation, or empty.
    """
    figures: dict[str, float] = {
        f"{FILES} before": result.before.files,
        FILES: result.after.files,
        f"{MIB} before": _mib(result.before.bytes),
        MIB: _mib(result.after.bytes),
        ROWS: result.rows,
        "days compacted": len(result.compacted),
    }
    for name in (MIB, ROWS):
        if name in last:
            figures[name + GROWTH] = round(figures[name] - float(str(last[name].value)), 3)
    return figures


def _last_observed(instance: dg.DagsterInstance, table: str) -> Mapping[str, dg.MetadataValue]:
    records = instance.fetch_observations(_own_key(table), limit=1).records
    observation = records[0].asset_observation if records else None
    return observation.metadata if observation else {}


def _own_key(table: str) -> dg.AssetKey:
    """A key for each table, also for a record of loads, which the asset of another table writes."""
    return dg.AssetKey([DATABASE, table])


def _mib(size: int) -> float:
    return round(size / 2**20, 3)
