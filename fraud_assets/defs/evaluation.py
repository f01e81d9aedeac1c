"""Quality of rules and alerts, measured against the labels after every run; each rule's page shows its own."""

import base64
from collections.abc import Iterator, Sequence

import dagster as dg
import pyarrow as pa

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.daily_results import DailyRecorder
from fraud_assets.engine.engine import Engine
from fraud_assets.evaluation.daily_quality import DailyQuality, daily_quality, recent_hits, window_of
from fraud_assets.evaluation.rule_quality import Interval, Quality
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.evaluation import LABELS, RULE_QUALITY
from hive_io import Span, Warehouse
from hive_io.dagster.io_manager import WarehouseResource
from hive_io.table import DAY

GROUP = "evaluation"
OWNER = "team:fraud-analytics"


def evaluation_assets(engine: Engine, partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The asset of the rules' quality."""
    rules = engine.book.evaluated
    name = RULE_QUALITY.name

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(RULE_QUALITY, group=GROUP, kinds={"hive", "python"}, owner=OWNER))},
        deps=deps(dict.fromkeys([LABELS.name, *(rule.name for rule in rules), FRAUD_ALERTS.name])),
        check_specs=checks.specs(RULE_QUALITY, partitions),
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        from fraud_assets.defs.quality_plot import plot  # takes half a second, and only this step needs it

        span = span_of(context)
        # one selected alone, before the first run of a rule
        for table in (LABELS, FRAUD_ALERTS, RULE_QUALITY, *(rule.table for rule in rules)):
            lake.warehouse.ensure_table(table)
        measured = daily_quality(lake.warehouse, rules, span)
        png = base64.b64encode(plot(_plotted(lake.warehouse, measured, span))).decode()
        context.add_asset_metadata(
            {"precision and recall": dg.MetadataValue.md(f"![Quality of rules](data:image/png;base64,{png})")},
            asset_key=key(name),
            partition_key=span.last_ds,
        )
        yield dg.Output(measured.rows, name)
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, RULE_QUALITY, span):
            yield from record(result)
        hits = recent_hits(lake.warehouse, rules, measured.window)
        for each in measured.last[1:]:
            # the materialization of a rule is earlier than the labels; its page shows the observation beside it
            yield dg.AssetObservation(
                key(each.rule), partition=span.last_ds, metadata=_facts(each, measured.window, hits.get(each.rule, ()))
            )

    return [asset]


def _plotted(warehouse: Warehouse, measured: DailyQuality, span: Span) -> pa.Table:
    """The rows of the last 28 days, with those that earlier runs wrote."""
    first = window_of(span.last_day).first_day
    if first >= span.first_day:
        return measured.rows
    before = Span.days(first, span.first_day - DAY)
    return pa.concat_tables([warehouse.read(RULE_QUALITY.full_name, span=before), measured.rows])


def _facts(each: Quality, window: Span, hits: Sequence[str]) -> dict[str, dg.MetadataValue]:
    """What the page of a rule shows of its quality."""
    facts: dict[str, dg.MetadataValue] = {
        "precision": dg.MetadataValue.text(
            f"{_share(each.precision, each.precision_interval)}: {each.frauds:,} frauds among {each.matured:,} matured hits"
        ),
        "recall": dg.MetadataValue.text(
            f"{_share(each.recall, each.recall_interval)}: {each.caught:,} of {each.known:,} known frauds, "
            f"{each.only:,} of them hit by no other rule"
        ),
        "measured on": dg.MetadataValue.text(f"{window}, {each.hits:,} hits; labels known by {window.last_day}"),
    }
    if hits:
        facts["recent hits"] = dg.MetadataValue.json(list(hits))
    return facts


def _share(share: float | None, interval: Interval | None) -> str:
    return "not known" if share is None or interval is None else f"{share:.1%} ({interval[0]:.0%} to {interval[1]:.0%})"
