"""Service levels (volume, latency, rejected rows), the last table of a run, with its plot; and the counts of `fraud watch`."""

import base64
import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.column_lineage import lineage_metadata
from fraud_assets.defs.daily_results import DailyRecorder
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.monitoring import LATENCIES, SERVICE_LEVELS
from hive_io import Span
from hive_io.dagster.io_manager import WarehouseResource
from hive_io.dagster.table_slices import asset_metadata
from hive_io.rows import conform
from hive_io.table import DAY

GROUP = "detection"
OWNER = "team:data-platform"
PLOTTED = dt.timedelta(days=7)
"""Time span of the plot, up to the last day of the run."""


def service_level_assets(engine: Engine, partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The asset of the service levels, and the spec of the latency counts, which `fraud watch` writes and no run computes."""
    latencies = dg.AssetSpec(
        key(LATENCIES.name),
        description=LATENCIES.description,
        group_name=GROUP,
        owners=[OWNER],
        kinds={"hive"},
        metadata=asset_metadata(LATENCIES),
        partitions_def=partitions,
    )
    return [latencies, _levels_asset(engine, partitions)]


def _levels_asset(engine: Engine, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    name = SERVICE_LEVELS.name

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(SERVICE_LEVELS, group=GROUP, kinds={"hive", "sql"}, owner=OWNER))},
        deps=deps(engine.reads(name)),
        check_specs=checks.specs(SERVICE_LEVELS, partitions),
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        from fraud_assets.defs.service_plot import plot  # takes half a second, and only this step needs it

        span = span_of(context)
        lake.warehouse.ensure_table(LATENCIES)
        lake.warehouse.ensure_table(SERVICE_LEVELS)
        # few rows: computed once, then both plotted and written
        levels = conform(SERVICE_LEVELS, lake.warehouse.query(engine.query(name, span)))
        first = span.last_day - PLOTTED + DAY
        if first < span.first_day:
            before = Span.days(first, span.first_day - DAY)
            plotted = pa.concat_tables([lake.warehouse.read(SERVICE_LEVELS.full_name, span=before), levels])
        else:
            plotted = levels
        png = base64.b64encode(plot(plotted)).decode()
        context.add_asset_metadata(
            {"last days": dg.MetadataValue.md(f"![Service levels](data:image/png;base64,{png})")},
            asset_key=key(name),
            partition_key=span.last_ds,
        )
        yield dg.Output(levels, name, metadata=lineage_metadata(engine, name))
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, SERVICE_LEVELS, span):
            yield from record(result)

    return asset
