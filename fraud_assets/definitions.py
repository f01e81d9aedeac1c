"""Where everything meets. Reads settings and rule files; connects to nothing."""

from __future__ import annotations

import dagster as dg

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


def build_definitions(settings: Settings) -> dg.Definitions:
    """All assets, checks, resources and jobs, for these settings.

    Raises:
        RuleError: a rule file cannot be used; nothing has run.
    """
    engine = Engine(read_rule_book(overrides=settings.rules_file))
    partitions = daily(settings.first_day)
    # by name, so that the password itself is in no config
    password = dg.EnvVar(f"{PREFIX}WAREHOUSE_PASSWORD") if settings.warehouse_password else None
    lake = WarehouseResource(location=settings.warehouse, password=password)
    latest = latest_partition_checks(watched_tables(engine))
    # those are asked all the time, not once a run
    selection = dg.AssetSelection.all() - dg.AssetSelection.checks(latest)
    job = dg.define_asset_job(JOB, selection=selection, description="A day, or a range of days, from the sources to alerts.")
    upkeep = maintenance_job(engine, settings.keep_days)
    return dg.Definitions(
        assets=[
            *api_assets(partitions, settings.rejected_limit),
            *feature_assets(engine, partitions),
            *detection_assets(engine, partitions),
            *service_level_assets(engine, partitions),
        ],
        jobs=[job, upkeep],
        asset_checks=[latest],
        sensors=[notification_sensor(settings, watched_tables(engine), advisory_checks(engine))],
        schedules=schedules(job, upkeep, running=settings.schedules == "on") if settings.scheduler == "dagster" else [],
        resources={
            "io_manager": HiveIOManagerFactory(lake=lake),
            "lake": lake,
            "source": SourceResource(base_url=settings.source_url),
        },
        # a process a step costs seconds each; the work itself is in the warehouse
        executor=dg.in_process_executor,
    )


def watched_tables(engine: Engine) -> list[str]:
    """Tables that people rely on: all but refused rows."""
    return [*API_TABLES, *engine.order]


def advisory_checks(engine: Engine) -> list[dg.AssetCheckKey]:
    """Checks of the job that stop nothing when they fail."""
    of_rules = [(rule.name, check) for rule in engine.book.evaluated for check in (checks.HAS_HIT, coverage_checks.COULD_JUDGE)]
    return [
        dg.AssetCheckKey(key(table), check)
        for table, check in [*of_rules, (CUSTOMERS.table.name, consistency_checks.CUSTOMERS_KNOWN)]
    ]


def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_definitions(read_settings())
