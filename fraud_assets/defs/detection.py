"""Rules, one asset each and one step for all of them, and the alerts made of their hits."""

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from fraud_assets.defs import budget_check, checks, consistency_checks, coverage_checks, gate_check
from fraud_assets.defs.asset_specs import BACKFILL, deps, key, span_of, spec
from fraud_assets.defs.column_lineage import lineage_metadata
from fraud_assets.defs.daily_results import DailyRecorder
from fraud_assets.detection import rule_facts
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_check import orphaned_tables, orphans_named
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import FRAUD_ALERTS, RULE_VERSIONS
from fraud_assets.workshop.versions import version_rows
from hive_io.dagster.io_manager import WarehouseResource

GROUP = "detection"
OWNER = "team:fraud-analytics"


def detection_assets(
    engine: Engine, partitions: dg.PartitionsDefinition, rules_file: Path | None = None
) -> list[dg.AssetsDefinition]:
    """Assets of all rules that are not retired, of their versions, and of the alerts.

    Args:
        rules_file: whose history says what was promoted.
    """
    rules = [_rules_asset(engine, partitions, rules_file)] if engine.book.evaluated else []
    return [*rules, _versions_asset(engine, partitions, rules_file), _alerts_asset(engine, partitions)]


def _rules_asset(engine: Engine, partitions: dg.PartitionsDefinition, rules_file: Path | None) -> dg.AssetsDefinition:
    rules = engine.book.evaluated
    tables_read = {table for rule in rules for table in engine.reads(rule.name)}

    @dg.multi_asset(
        name="rules",
        outs={rule.name: dg.AssetOut.from_spec(_rule_spec(rule), is_required=False) for rule in rules},
        deps=deps(dict.fromkeys(sorted(tables_read))),
        internal_asset_deps={rule.name: {key(table) for table in engine.reads(rule.name)} for rule in rules},
        check_specs=[check for rule in rules for check in _rule_checks(rule, partitions)],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
        can_subset=True,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        selected = [rule for rule in rules if rule.name in context.op_execution_context.selected_output_names]
        transactions = coverage_checks.transactions_by_day(lake.warehouse, span)
        record = DailyRecorder(context)
        for rule in selected:
            recorder = coverage_checks.CoverageRecorder(context, rule.name, transactions)
            query = engine.counted_hits(rule.name, span)
            query.then = recorder
            yield dg.Output(query, rule.name, metadata=lineage_metadata(engine, rule.name))
            for result in checks.results(lake.warehouse, rule.table, span):
                yield from record(result)
            yield from record(checks.has_hit(lake.warehouse, rule.table, recorder.hits, recorder.judged, span))
            yield from record(coverage_checks.could_judge(context.instance, rule.name, recorder.days))
            if rule.status == "active":
                yield from record(gate_check.passed_the_gate(rule, rules_file, span))
        # one query for all rules, after all are written
        pauses = consistency_checks.pauses_of(context.run.tags, lake)
        tables = [rule.table for rule in selected]
        for result in consistency_checks.hits_have_transactions(lake.warehouse, tables, span, pauses):
            yield from record(result)

    return asset


def _rule_checks(rule: Rule, partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    has_hit = f"The rule has hit on its last {checks.DEAD_AFTER} days with transactions, or could judge none."
    return [
        *checks.specs(rule.table, partitions),
        consistency_checks.hits_spec(rule.table, partitions),
        checks.advisory(rule.name, checks.HAS_HIT, has_hit, partitions),
        coverage_checks.could_judge_spec(rule, partitions),
        *([gate_check.passed_the_gate_spec(rule, partitions)] if rule.status == "active" else []),
    ]


def _rule_spec(rule: Rule) -> dg.AssetSpec:
    table = rule.table
    return spec(
        table,
        group=GROUP,
        kinds={"hive", "sql"},
        owner=OWNER,
        facts=_facts(rule),
        code_version=rule.version,
        tags={"severity": rule.severity, "status": rule.status},
    )


def _facts(rule: Rule) -> dict[str, dg.MetadataValue]:
    """What the page of a rule shows besides its table: blind spot, params in force, and SQL."""
    names = ("param", "in force", "default", "bounds", "meaning")
    params = [
        dg.TableRecord(dict(zip(names, (each.name, each.value, each.default, each.bounds, each.description), strict=True)))
        for each in rule_facts.params(rule)
    ]
    facts: dict[str, dg.MetadataValue] = {"blind spot": dg.MetadataValue.text(rule.file.meta.blind_spot)}
    if params:
        columns = dg.TableSchema([dg.TableColumn(name) for name in names])
        facts["params in force"] = dg.MetadataValue.table(params, schema=columns)
    # a fence that is longer than any in the file: the text stays code
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", rule.file.text)), default=0))
    facts["SQL"] = dg.MetadataValue.md(f"{fence}sql\n{rule.file.text.strip()}\n{fence}")
    return facts


def _versions_asset(engine: Engine, partitions: dg.PartitionsDefinition, rules_file: Path | None) -> dg.AssetsDefinition:
    name, rules = RULE_VERSIONS.name, engine.book.evaluated
    asset_spec = spec(RULE_VERSIONS, group=GROUP, kinds={"python", "hive"}, owner=OWNER, upsert=True)

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(asset_spec)},
        deps=deps(dict.fromkeys(rule.name for rule in rules)),
        check_specs=checks.specs(RULE_VERSIONS, partitions),
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        lake.warehouse.ensure_table(RULE_VERSIONS)
        yield dg.Output(version_rows(rules, rules_file, span), name)
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, RULE_VERSIONS, span):
            yield from record(result)

    return asset


def _alerts_asset(engine: Engine, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    name, budget = FRAUD_ALERTS.name, engine.book.alerts_a_day
    of_budget = [budget_check.spec(budget, partitions)] if budget else []

    @dg.multi_asset(
        name=name,
        outs={name: dg.AssetOut.from_spec(spec(FRAUD_ALERTS, group=GROUP, kinds={"hive", "sql"}, owner=OWNER))},
        deps=deps(engine.reads(name)),
        check_specs=[*checks.specs(FRAUD_ALERTS, partitions), consistency_checks.alerts_spec(partitions), *of_budget],
        partitions_def=partitions,
        backfill_policy=BACKFILL,
    )
    def asset(context: dg.AssetExecutionContext, lake: WarehouseResource) -> Iterator[object]:
        span = span_of(context)
        if orphans := orphaned_tables(lake.warehouse, engine.book.rules):
            context.log.warning(orphans_named(orphans))
        yield dg.Output(engine.query(name, span), name)
        record = DailyRecorder(context)
        for result in checks.results(lake.warehouse, FRAUD_ALERTS, span):
            yield from record(result)
        alerting = [rule.table for rule in engine.book.alerting]
        pauses = consistency_checks.pauses_of(context.run.tags, lake)
        score, by_day = engine.book.alert_score, budget is not None
        yield from record(consistency_checks.alerts_are_the_active_hits(lake.warehouse, alerting, span, pauses, score, by_day))
        if budget:
            yield from record(budget_check.alerts_are_within_budget(lake.warehouse, budget, span))

    return asset
