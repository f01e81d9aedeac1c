"""The pipeline's health, from Dagster's records and the lake: opens and resolves incidents, and notifies of severe alerts.

A Dagster sensor and `fraud watch` both check it. Both may run at once; each change is notified once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial

import dagster as dg
from dagster import DagsterEventType

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.latest_partition import latest_partition
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.monitoring.alert_digest import AlertDigest, alerts_query
from fraud_assets.monitoring.incidents import IncidentKind, IncidentLog
from fraud_assets.monitoring.outbox import Outbox
from fraud_assets.monitoring.run_history import days_of, what_failed
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.settings import Settings
from hive_io import TableNotFound, Warehouse
from hive_io.table import DAY

STALE = IncidentKind(
    "stale",
    "Late tables",
    "Resolved: late tables",
    "Alerts are computed from outdated tables. Check that the schedules run.",
)
MISSING = IncidentKind(
    "missing", "Missing latest day", "Resolved: missing latest day", "The transactions of that day have not been judged yet."
)
RUNS = IncidentKind(
    "runs", "Failed runs", "Resolved: failed runs", "Tables that a failed run did not write still have their previous rows."
)
CHECKS = IncidentKind("checks", "Failing checks", "Resolved: failing checks", "These checks stop no run. Please investigate.")

KINDS = (STALE, MISSING, RUNS, CHECKS)
"""Every kind of incident that this module opens."""

RUNS_SINCE = dt.timedelta(days=1)
"""Age up to which ended runs are considered."""


class HealthMonitor:
    """Checks the pipeline and puts messages about changes into the outbox.

    Args:
        tables: names of the tables to monitor.
        checks: advisory checks to monitor; a failed blocking check fails its run.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        warehouse: Warehouse,
        tables: Sequence[str],
        checks: Sequence[dg.AssetCheckKey],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._warehouse = warehouse
        self._tables = {table: key(table) for table in tables}
        self._checks = checks
        self._clock = clock
        self.outbox = Outbox(settings.state_folder / "outbox", settings.notify_targets)
        self.incidents = IncidentLog(settings.state_folder / "notices.json", self.outbox, clock)
        self._alerts = AlertDigest(settings.state_folder / "alerts_told.json", self.outbox)

    def check(self) -> None:
        """Check everything once. Messages wait in the outbox afterwards."""
        now = self._clock.now()
        self._check_freshness()
        self._check_latest_partitions(now)
        self._check_runs(now)
        self._check_checks()
        if self._settings.notify_severity != "none":
            self._notify_of_alerts(now)

    def link(self, *path: str) -> str:
        """The address of a page in Dagster."""
        return "/".join([self._settings.dagster_url.rstrip("/"), *path])

    def _asset_link(self, table: str) -> str:
        return self.link("assets", DATABASE, table)

    def _check_freshness(self) -> None:
        states = self._instance.get_freshness_state_records(list(self._tables.values()))
        late, fresh = {}, set()
        for table, asset in self._tables.items():
            record = states.get(asset)
            state = record.freshness_state.value if record else None
            if record and state in ("WARN", "FAIL"):
                late[table] = partial(self._late_since, table, record.updated_at)
            elif state == "PASS":
                fresh.add(table)
        self.incidents.update(STALE, late, fresh)

    def _late_since(self, table: str, since: dt.datetime) -> str:
        return f"late since {since:%Y-%m-%d %H:%M} (UTC). {self._asset_link(table)}"

    def _check_latest_partitions(self, now: dt.datetime) -> None:
        missing = {}
        for table, asset in self._tables.items():
            result = latest_partition(self._instance, asset, now)
            if not result.passed and self._instance.get_latest_materialization_event(asset) is None:
                continue  # never materialized: not in use yet
            self._record_if_changed(result)
            if not result.passed:
                missing[table] = partial("{} {}".format, result.description, self._asset_link(table))
        self.incidents.update(MISSING, missing)

    def _record_if_changed(self, result: dg.AssetCheckEvaluation) -> None:
        """Record a check result in Dagster if it differs from the last one, so that its records do not grow every minute."""
        last = self._last_result(result.asset_check_key)
        if last is None or (last.passed, last.description) != (result.passed, result.description):
            self._instance.report_runless_asset_event(result)

    def _last_result(self, check: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
        """The last result of a check; None if it has none, or if a run has planned its next evaluation."""
        record = self._instance.get_latest_asset_check_evaluation_record(check)
        event = record.event.dagster_event if record and record.event else None
        if event is None or event.event_type is not DagsterEventType.ASSET_CHECK_EVALUATION:
            return None
        return event.asset_check_evaluation_data

    def _check_runs(self, now: dt.datetime) -> None:
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
        failed, succeeded = {}, set()
        # newest first: the last run of a day decides
        for record in self._instance.get_run_records(dg.RunsFilter(statuses=ended, updated_after=now - RUNS_SINCE)):
            run = record.dagster_run
            for name in [f"{run.job_name} of {day}" for day in days_of(run)] or [run.job_name]:
                if name in failed or name in succeeded:
                    continue
                if run.is_success:
                    succeeded.add(name)
                else:
                    failed[name] = partial(self._errors_of, run.run_id)
        self.incidents.update(RUNS, failed, succeeded)

    def _errors_of(self, run_id: str) -> str:
        types = {DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
        entries = self._instance.all_logs(run_id, of_type=types)
        return f"{what_failed([e.dagster_event for e in entries if e.dagster_event])} {self.link('runs', run_id)}"

    def _check_checks(self) -> None:
        failing, passed = {}, set()
        for check in self._checks:
            result = self._last_result(check)
            if result is None:
                continue
            table = check.asset_key.path[-1]
            name = f"{check.name} of {table}"
            if result.passed:
                passed.add(name)
            else:
                failing[name] = partial("{} {}".format, result.description, self._asset_link(table))
        self.incidents.update(CHECKS, failing, passed)

    def _notify_of_alerts(self, now: dt.datetime) -> None:
        days = [(now - DAY).date().isoformat(), now.date().isoformat()]
        lowest = self._settings.notify_severity
        severities = SEVERITIES[SEVERITIES.index(lowest) :]
        try:
            alerts = self._warehouse.query(alerts_query(days, severities)).to_pylist()
        except TableNotFound:  # nothing has been judged yet
            return
        link = self._asset_link(FRAUD_ALERTS.name)
        self._alerts.notify(alerts, days, now, lowest, link, self._settings.desk_url)
