"""Source tables, each with its table of rejected rows. A load is audited before its rows are committed."""

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
"""Priority of the step that loads transactions: customers are checked against them, also when a range is loaded for the first
time."""


def api_assets(partitions: dg.PartitionsDefinition, rejected_limit: float) -> list[dg.AssetsDefinition]:
    """One step for each source table and its table of rejected rows."""
    return [_api_asset(api, partitions, rejected_limit) for api in API_TABLES.values()]


def _api_asset(api: ApiTable, partitions: dg.PartitionsDefinition, limit: float) -> dg.AssetsDefinition:
    table, rejected = api.table, api.rejected
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
        op_tags=_FIRST if api is TRANSACTIONS else None,
    )
    def asset(context: dg.AssetExecutionContext, source: SourceResource, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        batch = fetch(api, source.client, span)
        yield dg.Output(batch.rejected, rejected.name)
        try:
            audit(api, batch, limit)
        except RejectedShareTooHigh as error:
            yield _audit(api, batch, passed=False, why=str(error))
            # check the rows that the table keeps: a step that leaves a check without a result fails with that error instead
            lake.warehouse.ensure_table(table)
            yield from _results(api, lake.warehouse, span)
            return
        for day, counts in batch.days.items():
            context.add_asset_metadata(_day_metadata(counts), asset_key=key(table.name), partition_key=day)
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
        check_name=AUDIT, asset_key=key(api.table.name), passed=passed, description=why, metadata=_rejected_metadata(batch)
    )


def _day_metadata(counts: Counts) -> dict[str, int]:
    return {
        "rows served": counts.served,
        "rows loaded": counts.loaded,
        "rows rejected": counts.rejected,
        "older versions and repetitions": counts.superseded,
    }


def _rejected_metadata(batch: Batch) -> dict[str, Any]:
    """Counts by claim; never the rows, which contain personal data."""
    claims = Counter(claim for row in batch.rejected.column("claims").to_pylist() for claim in row)
    records = [dg.TableRecord({"claim": name, "rows": count}) for name, count in claims.most_common()]
    columns = dg.TableSchema([dg.TableColumn("claim"), dg.TableColumn("rows", type="int")])
    return {
        "rejected share": batch.rejected_share,
        "broken claims": dg.MetadataValue.table(records, schema=columns),
    }
