"""The sensor that checks the pipeline's health, whichever scheduler starts the runs."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.monitoring.health import HealthMonitor
from fraud_assets.settings import Settings
from hive_io.locations import open_warehouse

EVERY = 60
"""Seconds between two evaluations."""


def notification_sensor(
    settings: Settings, tables: Sequence[str], checks: Sequence[dg.AssetCheckKey], clock: Clock = SYSTEM_CLOCK
) -> dg.SensorDefinition:
    """The sensor that notifies of incidents and new alerts. It runs from the start if FRAUD_NOTIFY names a target."""
    status = dg.DefaultSensorStatus.RUNNING if settings.notify_targets else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="tell_people",
        minimum_interval_seconds=EVERY,
        default_status=status,
        description="Notifies FRAUD_NOTIFY of late tables, missing partitions, failed runs, failing checks and severe alerts.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        warehouse = open_warehouse(settings.warehouse, settings.warehouse_password)
        try:
            monitor = HealthMonitor(settings, context.instance, warehouse, tables, checks, clock)
            monitor.check()
        finally:
            warehouse.close()
        errors = monitor.outbox.send()
        return dg.SkipReason("; ".join(errors) or f"{monitor.outbox.waiting} messages waiting")

    return sensor
