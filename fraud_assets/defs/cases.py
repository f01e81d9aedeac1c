"""Decisions of the desk, and its days. If its database does not answer, the lake keeps its rows, and a check warns."""

from collections.abc import Callable, Iterator

import dagster as dg
import pyarrow as pa

from fraud_assets.cases.lake import cases_daily_of, decisions_of, write_decisions
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder, DailyResult
from fraud_assets.errors import DeskDatabaseError
from fraud_assets.schemas.cases import CASES_DAILY, DECISIONS
from hive_io import Span, Table, Warehouse
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "cases"
OWNER = "team:fraud-analytics"
DESK_ANSWERS = "desk_answers"

OpenDesk = Callable[[], CaseStore | None]
"""Opens the store of cases; None if there is no desk."""


def case_assets(
    partitions: dg.PartitionsDefinition, open_desk: OpenDesk, clock: Clock = SYSTEM_CLOCK
) -> list[dg.AssetsDefinition]:
    """The assets of decisions and of the desk's days."""

    def decisions(store: CaseStore, warehouse: Warehouse, span: Span) -> pa.Table:
        # decisions of the last minutes before the span, too
        write_decisions(store, warehouse)
        return decisions_of(store, span)

    def daily(store: CaseStore, warehouse: Warehouse, span: Span) -> pa.Table:
        return cases_daily_of(store, span, clock.now())

    return [
        _asset(DECISIONS, partitions, open_desk, decisions, []),
        _asset(CASES_DAILY, partitions, open_desk, daily, deps({DECISIONS.name: None})),
    ]


def _asset(
    table: Table,
    partitions: dg.PartitionsDefinition,
    open_desk: OpenDesk,
    rows_of: Callable[[CaseStore, Warehouse, Span], pa.Table],
    upstream: list[dg.AssetDep],
) -> dg.AssetsDefinition:
    name = table.name
    # rows are added by key: a machine without the desk's database must not remove what another wrote
    asset_spec = spec(table, group=GROUP, kinds={"python", "hive"}, owner=OWNER, upsert=True)

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(asset_spec)},
        deps=upstream,
        check_specs=[
            *checks.specs(table, partitions),
            checks.advisory(
                name, DESK_ANSWERS, "The desk's database was read. If it was not, the rows written before stay.", partitions
            ),
        ],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        lake.warehouse.ensure_table(table)
        rows, problem = table.arrow_schema.empty_table(), None
        try:
            store = open_desk()
            if store is not None:
                try:
                    rows = rows_of(store, lake.warehouse, span)
                finally:
                    store.close()
        except DeskDatabaseError as error:
            problem = str(error)
        yield dg.Output(rows, name)
        record = DailyRecorder(context)
        yield from record(
            DailyResult(
                check_name=DESK_ANSWERS,
                asset_key=key(name),
                failed_days=checks.days_of(span) if problem else (),
                severity=dg.AssetCheckSeverity.WARN,
                description=problem,
            )
        )
        for result in checks.results(lake.warehouse, table, span):
            yield from record(result)

    return asset
