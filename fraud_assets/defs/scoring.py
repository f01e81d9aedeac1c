"""Scorecards, learned weekly from labels, and the score of every transaction."""

import json
from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import SCORECARDS, TRANSACTION_SCORES
from fraud_assets.scoring.card import Card
from hive_io import PARTITION, Table
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "detection"
OWNER = "team:fraud-analytics"


def scoring_assets(engine: Engine, partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of scorecards and scores."""
    return [_asset(engine, table, partitions) for table in (SCORECARDS, TRANSACTION_SCORES)]


def _asset(engine: Engine, table: Table, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    name = table.name
    kinds = {"hive", "python" if table is SCORECARDS else "sql"}

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(table, group=GROUP, kinds=kinds, owner=OWNER))},
        deps=deps(engine.reads(name)),
        check_specs=checks.specs(table, partitions),
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        data = engine.data(name, span, lake.warehouse)
        if isinstance(data, pa.Table):
            for row in data.to_pylist():
                context.add_asset_metadata(_shown(row["card"]), asset_key=key(name), partition_key=row[PARTITION])
        yield dg.Output(data, name)
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, table, span):
            yield from record(result)

    return asset


def _shown(text: str) -> dict[str, dg.MetadataValue]:
    """A card as the asset's page shows it."""
    card = Card.model_validate(json.loads(text))
    lines = ["| feature | from | points |", "| --- | ---: | ---: |", f"| base | | {card.base} |"]
    for part in card.features:
        for edge, points in zip(("", *part.edges), part.points, strict=True):
            lines.append(f"| {part.label} | {edge} | {points} |")
        lines.append(f"| {part.label} | unknown | {part.missing} |")
    lines += [f"| rule {rule} | | {points} |" for rule, points in card.rules.items()]
    return {
        "origin": dg.MetadataValue.text(card.origin),
        "transactions": dg.MetadataValue.int(card.transactions),
        "frauds": dg.MetadataValue.int(card.frauds),
        "card": dg.MetadataValue.md("\n".join(lines)),
    }
