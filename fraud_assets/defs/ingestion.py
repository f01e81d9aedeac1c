"""What the APIs give: five tables, each with its rejected twin. Audited before anything is committed."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg

from fraud_assets.defs import checks, consistency_checks
from fraud_assets.defs.asset_specs import BACKFILL, key, span_of, spec
from fraud_assets.defs.resources import SourceResource
from fraud_assets.ingestion.batch import Batch, Counts
from fraud_assets.ingestion.load import RejectedShareTooHigh, audit, fetch
from fraud_assets.schemas.sources import API_TABLES, CUSTOMERS, TRANSACTIONS, ApiTable
from hive_io import Span, Warehouse
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "ingestion"
OWNER = "team:data-platform"
AUDIT = "rejected_share_is_below_limit"
_FIRST = {"dagster/priority": "1"}
"""Of the step of transactions: customers are held against them, also where a range is brought for the first time."""


def api_assets(partitions: dg.PartitionsDefinition, rejected_limit: float) -> list[dg.AssetsDefinition]:
    """An asset for each API table and its twin."""
    return [_api_asset(api, partitions, rejected_limit) for api in API_TABLES.values()]


def _api_asset(api: ApiTable, partitions: dg.PartitionsDefinition, limit: float) -> dg.AssetsDefinition:
    table, twin = api.table, api.rejected
    good = spec(table, group=GROUP, kinds={"python", "hive"}, owner=OWNER, skippable=True)
    bad = spec(twin, group=GROUP, kinds={"python", "hive"}, owner=OWNER, upsert=True)

    @dg.multi_asset(
        name=table.name,
        outs={
            table.name: dg.AssetOut.from_spec(good, is_required=False),
            twin.name: dg.AssetOut.from_spec(bad),
        },
        check_specs=[
            *checks.specs(table, partitions),
            *([consistency_checks.customers_spec(partitions)] if api is CUSTOMERS else []),
            checks.blocking(
                table, AUDIT, f"At most {limit:.0%} of the rows were refused; else the table keeps what it had.", partitions
            ),
        ],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
        op_tags=_FIRST if api is TRANSACTIONS else None,
    )
    def asset(context: dg.AssetExecutionContext, source: SourceResource, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        batch = fetch(api, source.client, span)
        yield dg.Output(batch.rejected, twin.name)
        try:
            audit(api, batch, limit)
        except RejectedShareTooHigh as error:
            yield _audit(api, batch, passed=False, why=str(error))
            # of what the table keeps: a step that owes a check fails for that, too, and says so first
            lake.warehouse.ensure_table(table)
            yield from _results(api, lake.warehouse, span)
            return
        for day, counts in batch.days.items():
            context.add_asset_metadata(_told(counts), asset_key=key(table.name), partition_key=day)
        yield dg.Output(batch.rows, table.name)
        yield _audit(api, batch, passed=True)
        yield from _results(api, lake.warehouse, span)

    return asset


def _results(api: ApiTable, warehouse: Warehouse, span: Span) -> Iterator[dg.AssetCheckResult]:
    yield from checks.results(warehouse, api.table, span)
    if api is CUSTOMERS:
        yield consistency_checks.customers_are_known(warehouse, span)


def _audit(api: ApiTable, batch: Batch, *, passed: bool, why: str | None = None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=AUDIT, asset_key=key(api.table.name), passed=passed, description=why, metadata=_refused(batch)
    )


def _told(counts: Counts) -> dict[str, int]:
    return {
        "rows served": counts.served,
        "rows loaded": counts.loaded,
        "rows rejected": counts.rejected,
        "older versions and repetitions": counts.superseded,
    }


def _refused(batch: Batch) -> dict[str, Any]:
    """Counts by claim; never the rows, which are personal data."""
    claims = Counter(claim for row in batch.rejected.column("claims").to_pylist() for claim in row)
    records = [dg.TableRecord({"claim": name, "rows": count}) for name, count in claims.most_common()]
    columns = dg.TableSchema([dg.TableColumn("claim"), dg.TableColumn("rows", type="int")])
    return {
        "rejected share": batch.rejected_share,
        "broken consistency_checks": dg.MetadataValue.table(records, schema=columns),
    }
