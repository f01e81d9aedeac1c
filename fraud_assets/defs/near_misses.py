"""Near misses of all rules, if the settings ask for them: one asset, and a check that finds who comes closer each time."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder, DailyResult
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import NEAR_MISSES
from fraud_assets.workshop.near import CREEPING
from fraud_assets.workshop.stored_near import CREEP_DAYS, near_miss_rows, stored_creeping
from hive_io import Reader
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "detection"
OWNER = "team:fraud-analytics"
COMES_CLOSER = "no_customer_comes_closer"
_NAMED = 50
"""Customers that the metadata name at most."""


def near_miss_assets(engine: Engine, partitions: dg.PartitionsDefinition, within: float | None) -> list[dg.AssetsDefinition]:
    """The asset of near misses; none if `within`, the largest distance, is None."""
    if within is None:
        return []
    name, rules = NEAR_MISSES.name, engine.book.evaluated
    reads = dict.fromkeys(sorted({table for rule in rules for table in engine.reads(rule.name)}))
    closer = f"No customer's last near misses of a rule, {CREEPING} within {CREEP_DAYS} days, came closer each time."

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(NEAR_MISSES, group=GROUP, kinds={"python", "hive"}, owner=OWNER))},
        deps=deps(reads),
        check_specs=[*checks.specs(NEAR_MISSES, partitions), checks.advisory(name, COMES_CLOSER, closer, partitions)],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        yield dg.Output(near_miss_rows(rules, engine.tables, lake.warehouse, span, within), name)
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, NEAR_MISSES, span):
            yield from record(result)
        yield from record(_comes_closer(lake.warehouse, span.last_day))

    return [asset]


def _comes_closer(reader: Reader, day: dt.date) -> DailyResult:
    found = stored_creeping(reader, day)
    records = [
        dg.TableRecord({"rule": rule, "customer": customer, "missed by": ", ".join(f"{each.distance:.1%}" for each in run)})
        for (rule, customer), run in [*found.items()][:_NAMED]
    ]
    columns = dg.TableSchema([dg.TableColumn("rule"), dg.TableColumn("customer"), dg.TableColumn("missed by")])
    return DailyResult(
        check_name=COMES_CLOSER,
        asset_key=key(NEAR_MISSES.name),
        failed_days=[day.isoformat()] if found else (),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(found):,} customers come closer to a rule each time" if found else None,
        metadata={"customers": dg.MetadataValue.table(records, schema=columns)},
    )
