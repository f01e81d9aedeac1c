"""Block and watch lists that people keep, with the source's blacklist: one asset, and a check of entries that need a look."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder, DailyResult
from fraud_assets.lists.files import NamedList, read_lists
from fraud_assets.lists.review import ENDS_WITHIN, to_review
from fraud_assets.lists.rows import MATCH_DAYS, list_rows
from fraud_assets.schemas.lists import LISTS
from hive_io import Span, Warehouse
from hive_io.dagster.io_manager import WarehouseResource
from hive_io.table import DAY

GROUP = "ingestion"
OWNER = "team:fraud-analytics"
IN_USE = "entries_are_in_use"
_NAMED = 50
"""Entries that the metadata name at most."""


def list_assets(partitions: dg.PartitionsDefinition, folder: Path | None) -> list[dg.AssetsDefinition]:
    """The asset of the lists.

    Args:
        folder: with their files; None for the source's blacklist alone.
    """
    name = LISTS.name

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(LISTS, group=GROUP, kinds={"python", "hive"}, owner=OWNER))},
        deps=deps({"blacklist": None}),
        check_specs=[
            *checks.specs(LISTS, partitions),
            checks.advisory(
                name,
                IN_USE,
                f"No entry ends within {ENDS_WITHIN.days} days, and none that counts for {MATCH_DAYS} days had no transaction.",
                partitions,
            ),
        ],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        lake.warehouse.ensure_table(LISTS)
        lists = read_lists(folder)
        rows = list_rows(lists, lake.warehouse, span)
        on_last_day = [row["list_name"] for row in rows.to_pylist() if row["ds"] == span.last_ds]
        context.add_asset_metadata(
            {f"entries of {each}": on_last_day.count(each) for each in sorted({*on_last_day})},
            asset_key=key(name),
            partition_key=span.last_ds,
        )
        yield dg.Output(rows, name)
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, LISTS, span):
            yield from record(result)
        yield from record(_in_use(lake.warehouse, lists, span))

    return [asset]


def _in_use(warehouse: Warehouse, lists: Sequence[NamedList], span: Span) -> DailyResult:
    """Entries on the last day of the span that someone should look at."""
    end = dt.datetime.combine(span.last_day, dt.time(), dt.UTC) + DAY
    found = to_review(lists, warehouse, end)
    records = [dg.TableRecord({"list": each.name, "entry": each.entry, "why": each.why}) for each in found[:_NAMED]]
    columns = dg.TableSchema([dg.TableColumn("list"), dg.TableColumn("entry"), dg.TableColumn("why")])
    return DailyResult(
        check_name=IN_USE,
        asset_key=key(LISTS.name),
        failed_days=[span.last_ds] if found else (),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(found):,} entries to look at: `fraud lists show`" if found else None,
        metadata={"to look at": dg.MetadataValue.table(records, schema=columns)},
    )
