"""The job of the lake's maintain: not of the asset graph, it changes no row."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from fraud_assets.defs.asset_specs import key
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import TableMaintenance, maintain
from hive_io.dagster.io_manager import WarehouseResource

UPKEEP = "lake_upkeep"
FILES, MIB, ROWS = "files", "MiB", "rows"
SINCE = " since the last maintain"
"""Behind `MiB` and `rows`: how much more there is; from the second time on."""


def maintenance_job(engine: Engine, keep_days: int) -> dg.JobDefinition:
    """The job; each table's figures are an observation of its asset, which Dagster plots over time.

    Args:
        keep_days: how long files of replaced rows are kept, of the tables that the live path does not write.
    """

    @dg.op(
        name="all_tables",  # not the job's: Dagster would take the two for one
        out=dg.Out(dg.Nothing),
        description="Puts small files together and deletes those whose time is over, table by table.",
    )
    def all_tables(context: dg.OpExecutionContext, lake: WarehouseResource) -> None:
        for done in maintain(engine, lake.warehouse, keep_days, dt.datetime.now(dt.UTC).date()):
            figures = figures_of(done, _last(context.instance, done.table))
            context.log_event(dg.AssetObservation(key(done.table), metadata=dict(figures)))
            context.log.info("%s: %s", done.table, ", ".join(f"{name} {value}" for name, value in figures.items()))

    @dg.job(name=UPKEEP, description="Small files of past days put together, files of replaced rows deleted. Changes no row.")
    def job() -> None:
        all_tables()

    return job


def figures_of(done: TableMaintenance, last: Mapping[str, dg.MetadataValue]) -> dict[str, float]:
    """What is shown of a table.

    Args:
        last: what was shown of it last time, or nothing.
    """
    figures: dict[str, float] = {
        f"{FILES} before": done.before.files,
        FILES: done.after.files,
        f"{MIB} before": _mib(done.before.bytes),
        MIB: _mib(done.after.bytes),
        ROWS: done.rows,
        "days compacted": len(done.compacted),
    }
    for name in (MIB, ROWS):
        if name in last:
            figures[name + SINCE] = round(figures[name] - float(str(last[name].value)), 3)
    return figures


def _last(instance: dg.DagsterInstance, table: str) -> Mapping[str, dg.MetadataValue]:
    records = instance.fetch_observations(key(table), limit=1).records
    seen = records[0].asset_observation if records else None
    return seen.metadata if seen else {}


def _mib(size: int) -> float:
    return round(size / 2**20, 3)
