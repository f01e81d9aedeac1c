"""The Dagster definitions of the project. Reads settings and rule files; opens no connection."""

from __future__ import annotations

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.defs import checks, consistency_checks, coverage_checks
from fraud_assets.defs.asset_specs import daily, key
from fraud_assets.defs.detection import detection_assets
from fraud_assets.defs.features import feature_assets
from fraud_assets.defs.ingestion import api_assets
from fraud_assets.defs.latest_partition import latest_partition_checks
from fraud_assets.defs.maintenance import maintenance_job
from fraud_assets.defs.resources import SourceResource
from fraud_assets.defs.schedules import schedules
from fraud_assets.defs.service_levels import service_level_assets
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
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
            *api_assets(partitions, settings.rejected_limit),
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
            "source": SourceResource(base_url=settings.source_url),
        },
        # a process for each step would cost seconds; the work itself happens in the warehouse
        executor=dg.in_process_executor,
    )


def watched_tables(engine: Engine) -> list[str]:
    """Names of the tables that are monitored: all but those of rejected rows and latency counts."""
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
