"""Scorecards, learned weekly from labels, and the score of every transaction."""

import datetime as dt
import json
from collections.abc import Iterator
from operator import itemgetter

import dagster as dg
import pyarrow as pa

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder, DailyResult
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, SCORECARDS, TRANSACTION_SCORES
from fraud_assets.scoring.card import Card
from fraud_assets.scoring.drift import drift, moves, stability_index
from fraud_assets.scoring.in_force import learned_card
from hive_io import PARTITION, Span, Table, Warehouse
from hive_io.dagster.io_manager import WarehouseResource
from hive_io.table import DAY

GROUP = "detection"
OWNER = "team:fraud-analytics"
DRIFT = "scores_are_like_those_before"
MOST_SHIFTED = 0.1
"""Largest share of transactions whose odds may shift by more than a factor of two from one card to the next. docs/scorecard.md
has the shares of half a year."""

MOVES_NAMED = 5
"""Features and rules that the metadata name for each card, those by which scores differ most."""

_COMPARED = dg.TableSchema(
    [
        *(dg.TableColumn(name) for name in ("card", "before")),
        dg.TableColumn("share shifted", "float"),
        dg.TableColumn("stability index", "float", description="Of the scores, over bands of 20 points."),
        dg.TableColumn("by points of", description="Standard deviation of the difference in points."),
    ]
)


def scoring_assets(engine: Engine, partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of scorecards and scores, and of the score that a budget of alerts needs, if there is one."""
    thresholds = [ALERT_THRESHOLDS] if engine.book.alerts_a_day else []
    return [_asset(engine, table, partitions) for table in (SCORECARDS, TRANSACTION_SCORES, *thresholds)]


def _asset(engine: Engine, table: Table, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    name = table.name
    kinds = {"hive", "python" if table is SCORECARDS else "sql"}

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(table, group=GROUP, kinds=kinds, owner=OWNER))},
        deps=deps(engine.reads(name)),
        check_specs=[*checks.specs(table, partitions), *([_drift_spec(partitions)] if table is SCORECARDS else [])],
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
        if isinstance(data, pa.Table):
            yield from record(check_drift(engine, lake.warehouse, data, span))

    return asset


def _drift_spec(partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    description = (
        f"For at most {MOST_SHIFTED:.0%} of the transactions of the day before, a card puts the odds of fraud at more than "
        "twice or less than half of what the card before it does. Passes without an earlier card that was learned."
    )
    return checks.advisory(SCORECARDS.name, DRIFT, description, partitions)


def check_drift(engine: Engine, warehouse: Warehouse, cards: pa.Table, span: Span) -> DailyResult:
    """Compare each new card with the one before it."""
    shares: dict[str, float] = {}
    compared: list[dg.TableRecord] = []
    described: list[str] = []
    rules = [rule.table for rule in engine.book.evaluated]
    for row in sorted(cards.to_pylist(), key=itemgetter(PARTITION)):
        yesterday = dt.date.fromisoformat(row[PARTITION]) - DAY
        before = learned_card(warehouse, yesterday)
        if before is None:
            continue
        card, scored = Card.model_validate_json(row["card"]), Span.days(yesterday, yesterday)
        found = drift(warehouse, card, before.card, scored, rules, engine.book.alert_score)
        shares[row[PARTITION]] = found.share
        most = [*moves(warehouse, card, before.card, scored, rules).items()][:MOVES_NAMED]
        compared.append(
            dg.TableRecord(
                {
                    "card": row["version"],
                    "before": before.version,
                    "share shifted": round(found.share, 4),
                    "stability index": round(stability_index(warehouse, card, before.card, scored, rules), 3),
                    "by points of": ", ".join(f"{name} ±{points:.1f}" for name, points in most),
                }
            )
        )
        described.append(
            f"{row['version']} after {before.version}, on {found.transactions:,} transactions of {yesterday}: "
            f"{found.share:.1%} have shifted; {found.alerts:,} alerts by score, {found.alerts_before:,} before, "
            f"{found.alerts_of_both:,} by both."
        )
    return DailyResult(
        check_name=DRIFT,
        asset_key=key(SCORECARDS.name),
        failed_days=[day for day, share in shares.items() if share > MOST_SHIFTED],
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(described) or f"No card of {span} has one before it that was learned.",
        metadata={
            "share shifted, most": max(shares.values(), default=0.0),
            "cards": dg.MetadataValue.table(compared, schema=_COMPARED),
        },
    )


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
