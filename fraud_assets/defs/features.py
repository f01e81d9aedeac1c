"""Daily activity and point-in-time profiles, computed by queries that run in the warehouse."""

from collections.abc import Iterator

import dagster as dg

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, span_of, spec
from fraud_assets.defs.column_lineage import lineage_metadata
from fraud_assets.defs.daily_results import DailyRecorder
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from hive_io import HiveQL
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "features"
OWNER = "team:fraud-analytics"


def feature_assets(engine: Engine, partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """An asset for each feature table that is computed before the rules, and for the features of transactions."""
    return [_feature_asset(engine, name, partitions) for name in (*engine.upstream_features, TRANSACTION_FEATURES.name)]


def _feature_asset(engine: Engine, name: str, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    table = engine.tables[name]
    asset_spec = spec(table, group=GROUP, kinds={"hive", "sql"}, owner=OWNER)

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(asset_spec)},
        deps=deps(engine.reads(name)),
        check_specs=checks.specs(table, partitions),
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        query: HiveQL = engine.query(name, span)
        yield dg.Output(query, name, metadata=lineage_metadata(engine, name))
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, table, span):
            yield from record(result)

    return asset
