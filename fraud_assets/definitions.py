"""The Dagster definitions of the project. Reads settings and rule files; opens no connection."""

from __future__ import annotations

import datetime as dt
from functools import partial

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.defs import checks, consistency_checks, coverage_checks
from fraud_assets.defs.asset_specs import daily, key
from fraud_assets.defs.detection import detection_assets
from fraud_assets.defs.features import feature_assets
from fraud_assets.defs.ingestion import api_assets
from fraud_assets.defs.latest_partition import latest_partition_checks
from fraud_assets.defs.maintenance import maintenance_job
from fraud_assets.defs.resources import source_resource
from fraud_assets.defs.schedules import schedules
from fraud_assets.defs.service_levels import service_level_assets
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import SettingsError
from fraud_assets.ingestion.http_source import Limits, SourceClient
from fraud_assets.ingestion.load import Source
from fraud_assets.ingestion.mapped_source import MappedSource
from fraud_assets.ingestion.source_file import read_source_file
from fraud_assets.monitoring.sensor import notification_sensor
from fraud_assets.schemas.sources import API_TABLES, CUSTOMERS
from fraud_assets.settings import PREFIX, Settings, read_settings
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource

JOB = "fraud_detection"


def build_definitions(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources for these settings.

    Raises:
        RuleError: a rule file is not valid.
    """
    engine = Engine(read_rule_book(overrides=settings.rules_file))
    partitions = daily(settings.first_day)
    # by name, so that no run config contains the password itself
    password = dg.EnvVar(f"{PREFIX}WAREHOUSE_PASSWORD") if settings.warehouse_password else None
    lake = WarehouseResource(location=settings.warehouse, password=password)
    latest = latest_partition_checks(watched_tables(engine), clock)
    # the health monitor evaluates these checks every minute, so runs leave them out
    selection = dg.AssetSelection.all() - dg.AssetSelection.checks(latest)
    job = dg.define_asset_job(JOB, selection=selection, description="Every asset for a range of days, from sources to alerts.")
    maintenance = maintenance_job(engine, settings.keep_days, clock)
    return dg.Definitions(
        assets=[
            *api_assets(partitions, settings.rejected_limit, engine.per_transaction, settings.correction_days, clock),
            *feature_assets(engine, partitions),
            *detection_assets(engine, partitions),
            *service_level_assets(engine, partitions),
        ],
        jobs=[job, maintenance],
        asset_checks=[latest],
        sensors=[notification_sensor(settings, watched_tables(engine), advisory_checks(engine), clock)],
        schedules=(schedules(job, maintenance, running=settings.schedules == "on") if settings.scheduler == "dagster" else []),
        resources={
            "io_manager": HiveIOManagerFactory(lake=lake),
            "lake": lake,
            "source": source_resource(partial(open_source, settings)),
        },
        # a process for each step would cost seconds; the work itself happens in the warehouse
        executor=dg.in_process_executor,
    )


def open_source(settings: Settings) -> Source:
    """The source that runs read: what the source file describes, or else the three APIs.

    Raises:
        SourceFileError: the source file has mistakes.
    """
    if settings.source is None:
        return source_client(settings)
    key = settings.mask_key.get_secret_value() if settings.mask_key else None

    def connect(url: str) -> SourceClient:
        return source_client(settings.model_copy(update={"source_url": url}))

    return MappedSource(read_source_file(settings.source), key, connect, dt.timedelta(seconds=settings.ahead_seconds))


def live_settings(settings: Settings) -> Settings:
    """Settings for `fraud watch`, which reads transactions from the three APIs.

    Raises:
        SettingsError: the source file takes transactions from elsewhere.
        SourceFileError: it has mistakes.
    """
    if settings.source is None:
        return settings
    source = read_source_file(settings.source)
    if source.apis is None or source.tables:
        raise SettingsError(
            f"{settings.source}: `fraud watch` reads the three APIs, and this describes {', '.join(source.tables)} as files. "
            "Load files with `fraud run`, from a scheduler if they come every day"
        )
    return settings.model_copy(update={"source": None, "source_url": source.apis})


def source_client(settings: Settings, attempts: int = 5) -> SourceClient:
    """A client of the three APIs, with the limits of the settings.

    Args:
        attempts: maximum number of requests for a page.
    """
    limits = Limits(
        settings.source_page_seconds,
        settings.source_page_megabytes,
        settings.source_load_seconds,
        settings.source_max_pages,
        settings.ahead_seconds,
    )
    return SourceClient(settings.source_url, attempts=attempts, limits=limits)


def watched_tables(engine: Engine) -> list[str]:
    """Names of the tables that are monitored: all but those of rejected rows, loads and latency counts."""
    return [*API_TABLES, *engine.order]


def advisory_checks(engine: Engine) -> list[dg.AssetCheckKey]:
    """Checks of the job whose failure stops nothing."""
    of_rules = [(rule.name, check) for rule in engine.book.evaluated for check in (checks.HAS_HIT, coverage_checks.COULD_JUDGE)]
    return [
        dg.AssetCheckKey(key(table), check)
        for table, check in [*of_rules, (CUSTOMERS.table.name, consistency_checks.CUSTOMERS_KNOWN)]
    ]


def defs() -> dg.Definitions:
    """The definitions that `workspace.yaml` loads."""
    return build_definitions(read_settings())
