"""The Dagster definitions of the project. Reads settings and rule files; opens no connection."""

from __future__ import annotations

import datetime as dt
from functools import partial

import dagster as dg

from fraud_assets.cases.lake import desk_at
from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.configured_rules import rule_book
from fraud_assets.configured_source import connector_context, source_limits
from fraud_assets.defs import budget_check, checks, consistency_checks, coverage_checks
from fraud_assets.defs.asset_specs import daily, key
from fraud_assets.defs.cases import DESK_ANSWERS, case_assets
from fraud_assets.defs.detection import detection_assets
from fraud_assets.defs.evaluation import evaluation_assets
from fraud_assets.defs.features import feature_assets
from fraud_assets.defs.ingestion import api_assets
from fraud_assets.defs.latest_partition import latest_partition_checks
from fraud_assets.defs.lists import IN_USE, list_assets
from fraud_assets.defs.maintenance import maintenance_job
from fraud_assets.defs.near_misses import COMES_CLOSER, near_miss_assets
from fraud_assets.defs.resources import source_resource
from fraud_assets.defs.schedules import schedules
from fraud_assets.defs.scoring import DRIFT, scoring_assets
from fraud_assets.defs.service_levels import service_level_assets
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import SettingsError
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.load import Source
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFile, read_source_file
from fraud_assets.monitoring.sensor import notification_sensor
from fraud_assets.schemas.cases import CASES_DAILY, DECISIONS
from fraud_assets.schemas.detection import FRAUD_ALERTS, NEAR_MISSES, RULE_VERSIONS, SCORECARDS
from fraud_assets.schemas.evaluation import RULE_QUALITY
from fraud_assets.schemas.lists import LISTS
from fraud_assets.schemas.sources import API_TABLES, CUSTOMERS, TRANSACTIONS
from fraud_assets.settings import PREFIX, Settings, read_settings
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource

JOB = "fraud_detection"


def build_definitions(settings: Settings, clock: Clock = SYSTEM_CLOCK, since: dt.datetime | None = None) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources for these settings.

    Args:
        since: what others have written to the warehouse since then stays, as in `open_warehouse`.

    Raises:
        RuleError: a rule file is not valid.
    """
    engine = Engine(rule_book(settings))
    partitions = daily(settings.first_day)
    # by name, so that no run config contains the password itself
    password = dg.EnvVar(f"{PREFIX}WAREHOUSE_PASSWORD") if settings.warehouse_password else None
    lake = WarehouseResource(location=settings.warehouse, password=password, since=since.isoformat() if since else None)
    latest = latest_partition_checks(watched_tables(engine), clock)
    # the health monitor evaluates these checks every minute, so runs leave them out
    selection = dg.AssetSelection.all() - dg.AssetSelection.checks(latest)
    job = dg.define_asset_job(JOB, selection=selection, description="Every asset for a range of days, from sources to alerts.")
    maintenance = maintenance_job(engine, settings.keep_days, clock)
    return dg.Definitions(
        assets=[
            *api_assets(
                partitions, settings.rejected_limit, engine.per_transaction, settings.correction_days, clock, engine.apis
            ),
            *case_assets(partitions, partial(desk_at, settings.desk_database_url), clock),
            *list_assets(partitions, settings.lists),
            *feature_assets(engine, partitions),
            *detection_assets(engine, partitions, settings.rules_file),
            *near_miss_assets(engine, partitions, settings.near_misses),
            *scoring_assets(engine, partitions),
            *evaluation_assets(engine, partitions),
            *service_level_assets(engine, partitions),
        ],
        jobs=[job, maintenance],
        asset_checks=[latest],
        sensors=[notification_sensor(settings, watched_tables(engine), advisory_checks(engine, settings.near_misses), clock)],
        schedules=(schedules(job, maintenance, running=settings.schedules == "on") if settings.scheduler == "dagster" else []),
        resources={
            "io_manager": HiveIOManagerFactory(lake=lake),
            "lake": lake,
            "source": source_resource(partial(open_source, settings)),
        },
        # a process for each step would cost seconds; the work itself happens in the warehouse
        executor=dg.in_process_executor,
    )


def open_source(settings: Settings, attempts: int = 5, file: SourceFile | None = None) -> Source:
    """The source that is read: what the source file describes, or else the three APIs.

    Args:
        attempts: maximum number of requests for a page.
        file: what the source file describes, if it was read before.

    Raises:
        SourceFileError: the source file has mistakes.
    """
    if settings.source is None:
        return source_client(settings, attempts)
    key = settings.mask_key.get_secret_value() if settings.mask_key else None

    def connect(url: str) -> SourceClient:
        return source_client(settings.model_copy(update={"source_url": url}), attempts)

    return MappedSource(
        file or read_source_file(settings.source),
        key,
        connect,
        dt.timedelta(seconds=settings.ahead_seconds),
        connector_context(settings, attempts),
    )


def live_settings(settings: Settings) -> Settings:
    """Settings for `fraud watch`.

    Raises:
        SettingsError: transactions come from where later rows cannot be told from earlier ones.
        SourceFileError: the source file has mistakes.
    """
    if settings.source is None:
        return settings
    source = read_source_file(settings.source)
    if not source.tables:
        return settings.model_copy(update={"source": None, "source_url": source.apis})
    transactions = source.tables.get(TRANSACTIONS.table.name)
    if transactions is not None and (missing := transactions.origin.missing_for_watch):
        raise SettingsError(f"{settings.source}: `fraud watch` cannot tell later transactions from earlier ones: {missing}")
    return settings


def source_client(settings: Settings, attempts: int = 5) -> SourceClient:
    """A client of the three APIs, with the limits of the settings.

    Args:
        attempts: maximum number of requests for a page.
    """
    return SourceClient(settings.source_url, attempts=attempts, limits=source_limits(settings))


def watched_tables(engine: Engine) -> list[str]:
    """Names of the tables that are monitored: all but those of rejected rows, loads, latency counts and near misses."""
    others = (RULE_QUALITY.name, RULE_VERSIONS.name, CASES_DAILY.name)
    return [*API_TABLES, DECISIONS.name, LISTS.name, *engine.order, *others]


def advisory_checks(engine: Engine, near_misses: float | None = None) -> list[dg.AssetCheckKey]:
    """Checks of the job whose failure stops nothing.

    Args:
        near_misses: as in the settings.
    """
    of_rules = [(rule.name, check) for rule in engine.book.evaluated for check in (checks.HAS_HIT, coverage_checks.COULD_JUDGE)]
    of_tables = [
        (CUSTOMERS.table.name, consistency_checks.CUSTOMERS_KNOWN),
        (LISTS.name, IN_USE),
        (DECISIONS.name, DESK_ANSWERS),
        (CASES_DAILY.name, DESK_ANSWERS),
        (SCORECARDS.name, DRIFT),
        *([(FRAUD_ALERTS.name, budget_check.WITHIN_BUDGET)] if engine.book.alerts_a_day else []),
        *([(NEAR_MISSES.name, COMES_CLOSER)] if near_misses is not None else []),
    ]
    return [dg.AssetCheckKey(key(table), check) for table, check in [*of_rules, *of_tables]]


def defs() -> dg.Definitions:
    """The definitions that `workspace.yaml` loads."""
    return build_definitions(read_settings())
