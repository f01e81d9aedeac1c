"""Source tables, each with its table of rejected rows. A load is audited before its rows are committed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.defs import checks, consistency_checks
from fraud_assets.defs.asset_specs import BACKFILL, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder, DailyResult
from fraud_assets.defs.unmatched_entries import unmatched_metadata
from fraud_assets.engine.corrections import Removed, remove_moved
from fraud_assets.ingestion.batch import Batch, Counts, QueriedBatch
from fraud_assets.ingestion.load import RejectedShareTooHigh, Source, audit, fetch, stage_of
from fraud_assets.ingestion.loads import load_records, with_first_seen
from fraud_assets.schemas.sources import API_TABLES, BLACKLIST, CUSTOMERS, TRANSACTIONS, ApiTable
from hive_io import HiveQL, Span, Table, Warehouse
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "ingestion"
OWNER = "team:data-platform"
AUDIT = "rejected_share_is_below_limit"
_FIRST = {"dagster/priority": "1"}
"""Priority of the step that loads transactions: customers are checked against them, also when a range is loaded for the first
time."""


def api_assets(
    partitions: dg.PartitionsDefinition,
    rejected_limit: float,
    per_transaction: Sequence[Table],
    correction_days: int,
    clock: Clock = SYSTEM_CLOCK,
    apis: Mapping[str, ApiTable] = API_TABLES,
) -> list[dg.AssetsDefinition]:
    """One step for each source table, its table of rejected rows, and the record of its loads, if it has one.

    Args:
        per_transaction, correction_days: as for `remove_moved`.
        clock: the time of the loads.
        apis: the source tables, with the columns that a source file adds.
    """
    transactions = apis[TRANSACTIONS.table.name].table

    def remove(warehouse: Warehouse, span: Span) -> Removed:
        return remove_moved(warehouse, per_transaction, span, correction_days, transactions)

    return [_api_asset(api, partitions, rejected_limit, remove, clock) for api in apis.values()]


def _api_asset(
    api: ApiTable,
    partitions: dg.PartitionsDefinition,
    limit: float,
    remove: Callable[[Warehouse, Span], Removed],
    clock: Clock,
) -> dg.AssetsDefinition:
    table, rejected, loads = api.table, api.rejected, api.loads
    is_transactions = table.name == TRANSACTIONS.table.name
    table_spec = spec(table, group=GROUP, kinds={"python", "hive"}, owner=OWNER, skippable=True)
    rejected_spec = spec(rejected, group=GROUP, kinds={"python", "hive"}, owner=OWNER, upsert=True)

    @dg.multi_asset(
        name=table.name,
        outs={
            table.name: dg.AssetOut.from_spec(table_spec, is_required=False),
            rejected.name: dg.AssetOut.from_spec(rejected_spec),
        },
        check_specs=[
            *checks.specs(table, partitions),
            *([consistency_checks.customers_spec(partitions)] if api is CUSTOMERS else []),
            checks.blocking(
                table,
                AUDIT,
                f"At most {limit:.0%} of the rows were rejected. If more were, the table keeps its previous rows.",
                partitions,
            ),
        ],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
        op_tags=_FIRST if is_transactions else None,
    )
    def asset(context: dg.AssetExecutionContext, source: dg.ResourceParam[Source], lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        record = DailyRecorder(context)
        batch = fetch(api, source, span, lake.warehouse, clock)
        with stage_of(lake.warehouse, batch):
            yield dg.Output(batch.rejected, rejected.name)
            try:
                audit(api, batch, limit)
            except RejectedShareTooHigh as error:
                yield from record(_audit(api, batch, failed_days=checks.days_of(span), why=str(error)))
                # check the rows that the table keeps: a step that leaves a check without a result fails with that error instead
                for kept in (table, loads) if loads else (table,):
                    lake.warehouse.ensure_table(kept)
                for result in _results(api, lake.warehouse, span):
                    yield from record(result)
                return
            rows = with_first_seen(api, lake.warehouse, batch.rows, batch.asked_at)
            for day, counts in batch.days.items():
                context.add_asset_metadata(_day_metadata(api, counts), asset_key=key(table.name), partition_key=day)
            if api is BLACKLIST and not isinstance(rows, HiveQL):
                unmatched = unmatched_metadata(lake.warehouse, rows, span)
                context.add_asset_metadata(unmatched, asset_key=key(table.name), partition_key=span.last_ds)
            yield dg.Output(rows, table.name)
        # the rows are written by now
        if loads:
            counted = {day: counts.loaded for day, counts in batch.days.items()}
            lake.warehouse.replace(loads, load_records(api, lake.warehouse, batch, span, counted), span)
        removed = remove(lake.warehouse, span) if is_transactions else None
        yield from record(_audit(api, batch, removed=removed))
        for result in _results(api, lake.warehouse, span):
            yield from record(result)

    return asset


def _results(api: ApiTable, warehouse: Warehouse, span: Span) -> Iterator[DailyResult]:
    yield from checks.results(warehouse, api.table, span)
    if api is CUSTOMERS:
        yield consistency_checks.customers_are_known(warehouse, span)


def _audit(
    api: ApiTable,
    batch: Batch | QueriedBatch,
    *,
    failed_days: Sequence[str] = (),
    why: str | None = None,
    removed: Removed | None = None,
) -> DailyResult:
    metadata = _rejected_metadata(batch)
    if removed and removed.rows:
        metadata["corrected to another day"] = {ds: len(times) for ds, times in removed.times.items()}
        days = ", ".join(removed.times)
        why = f"Corrections moved {removed.rows:,} transactions from {days} to other days. Rerun these days."
    return DailyResult(
        check_name=AUDIT, asset_key=key(api.table.name), failed_days=failed_days, description=why, metadata=metadata
    )


def _day_metadata(api: ApiTable, counts: Counts) -> dict[str, int]:
    rounded = {"rows with rounded amounts": counts.rounded} if api.currency_of else {}
    return {
        "rows served": counts.served,
        "rows loaded": counts.loaded,
        "rows rejected": counts.rejected,
        "older versions and repetitions": counts.superseded,
        **rounded,
    }


def _rejected_metadata(batch: Batch | QueriedBatch) -> dict[str, Any]:
    """Counts by claim; never the rows, which contain personal data."""
    records = [dg.TableRecord({"claim": name, "rows": count}) for name, count in batch.broken_claims.most_common()]
    columns = dg.TableSchema([dg.TableColumn("claim"), dg.TableColumn("rows", type="int")])
    return {
        "rejected share": batch.rejected_share,
        "broken claims": dg.MetadataValue.table(records, schema=columns),
    }
