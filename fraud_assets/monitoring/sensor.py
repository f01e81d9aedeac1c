"""What watches, whoever schedules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from fraud_assets.monitoring.health import HealthMonitor
from fraud_assets.settings import Settings
from hive_io.locations import open_warehouse

EVERY = 60
"""Seconds between two looks."""


def notification_sensor(settings: Settings, tables: Sequence[str], checks: Sequence[dg.AssetCheckKey]) -> dg.SensorDefinition:
    """Tells people what is late, missing, failed or very suspicious; runs from the start where targets are named."""
    told = bool(settings.notify_targets)

    @dg.sensor(
        name="tell_people",
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING if told else dg.DefaultSensorStatus.STOPPED,
        description="Sends messages to FRAUD_NOTIFY: late tables, missing days, failed runs, failing checks, grave alerts.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        warehouse = open_warehouse(settings.warehouse, settings.warehouse_password)
        try:
            monitor = HealthMonitor(settings, context.instance, warehouse, tables, checks)
            monitor.check(dt.datetime.now(dt.UTC))
        finally:
            warehouse.close()
        went_wrong = monitor.outbox.send()
        return dg.SkipReason("; ".join(went_wrong) or f"{monitor.outbox.waiting} messages wait")

    return sensor
