"""What is wrong at present, by Dagster's records and by the lake, told to people.

Whoever looks tells: a sensor of Dagster, and `fraud watch`. Both may run; each change is told once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial

import dagster as dg
from dagster import DagsterEventType

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.latest_partition import latest_partition
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.monitoring.alert_digest import AlertDigest, _alerts_query
from fraud_assets.monitoring.incidents import IncidentKind, IncidentLog
from fraud_assets.monitoring.outbox import Outbox
from fraud_assets.monitoring.run_history import days_of, what_failed
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.names import DATABASE
from fraud_assets.settings import Settings
from hive_io import TableNotFound, Warehouse
from hive_io.table import DAY

STALE = IncidentKind(
    "stale", "Late", "Fresh again", "Alerts rest on tables that are older than they should be. Do the schedules run?"
)


MISSING = IncidentKind("missing", "No partition of the latest day", "The latest day is there", "That day is not judged yet.")


RUNS = IncidentKind("runs", "A run failed, of", "Runs succeed again, of", "Tables of these days are as they were before.")


CHECKS = IncidentKind("checks", "A check fails", "Checks pass again", "Nothing was stopped; somebody should look.")


LOOK_BACK = dt.timedelta(days=1)
"""Runs that ended before are nobody's news."""


class HealthMonitor:
    """Looks at what is wrong and puts what is news into the outbox.

    Args:
        tables: names of the tables that people rely on.
        checks: checks that stop nothing when they fail.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        warehouse: Warehouse,
        tables: Sequence[str],
        checks: Sequence[dg.AssetCheckKey],
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._warehouse = warehouse
        self._tables = {table: key(table) for table in tables}
        self._checks = checks
        self.outbox = Outbox(settings.state_folder / "outbox", settings.notify_targets)
        self.incidents = IncidentLog(settings.state_folder / "incidents.json", self.outbox)
        self._alerts = AlertDigest(settings.state_folder / "alerts_told.json", self.outbox)

    def check(self, now: dt.datetime) -> None:
        """Look at everything once; what is news waits in the outbox then."""
        self._stale()
        self._missing(now)
        self._failed_runs(now)
        self._failing_checks()
        if self._settings.notify_severity != "none":
            self._grave_alerts(now)

    def link(self, *path: str) -> str:
        """The address of a page of Dagster."""
        return "/".join([self._settings.dagster_url.rstrip("/"), *path])

    def _asset_link(self, table: str) -> str:
        return self.link("assets", DATABASE, table)

    def _stale(self) -> None:
        states = self._instance.get_freshness_state_records(list(self._tables.values()))
        late, fresh = {}, set()
        for table, asset in self._tables.items():
            record = states.get(asset)
            state = record.freshness_state.value if record else None
            if record and state in ("WARN", "FAIL"):
                late[table] = partial(self._since, table, record.updated_at)
            elif state == "PASS":
                fresh.add(table)
        self.incidents.update(STALE, late, fresh)

    def _since(self, table: str, since: dt.datetime) -> str:
        return f"late since {since:%Y-%m-%d %H:%M} (UTC). {self._asset_link(table)}"

    def _missing(self, now: dt.datetime) -> None:
        missing = {}
        for table, asset in self._tables.items():
            result = latest_partition(self._instance, asset, now)
            if not result.passed and self._instance.get_latest_materialization_event(asset) is None:
                continue  # never made at all: nobody waits for it yet
            self._report(result)
            if not result.passed:
                missing[table] = partial("{} {}".format, result.description, self._asset_link(table))
        self.incidents.update(MISSING, missing)

    def _report(self, result: dg.AssetCheckEvaluation) -> None:
        """Record a result where it differs from the last, so that the records do not grow by what stays the same."""
        known = self._last_result(result.asset_check_key)
        if known is None or (known.passed, known.description) != (result.passed, result.description):
            self._instance.report_runless_asset_event(result)

    def _last_result(self, check: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
        """What a check last said; None before it did, and while a run is about to evaluate it again."""
        record = self._instance.get_latest_asset_check_evaluation_record(check)
        event = record.event.dagster_event if record and record.event else None
        if event is None or event.event_type is not DagsterEventType.ASSET_CHECK_EVALUATION:
            return None
        return event.asset_check_evaluation_data

    def _failed_runs(self, now: dt.datetime) -> None:
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
        failed, fine = {}, set()
        # the newest first: what the last run of a day did is what holds
        for record in self._instance.get_run_records(dg.RunsFilter(statuses=ended, updated_after=now - LOOK_BACK)):
            run = record.dagster_run
            for name in [f"{run.job_name} of {day}" for day in days_of(run)] or [run.job_name]:
                if name in failed or name in fine:
                    continue
                if run.is_success:
                    fine.add(name)
                else:
                    failed[name] = partial(self._why, run.run_id)
        self.incidents.update(RUNS, failed, fine)

    def _why(self, run_id: str) -> str:
        wanted = {DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
        entries = self._instance.all_logs(run_id, of_type=wanted)
        return f"{what_failed([e.dagster_event for e in entries if e.dagster_event])} {self.link('runs', run_id)}"

    def _failing_checks(self) -> None:
        failing, fine = {}, set()
        for check in self._checks:
            result = self._last_result(check)
            if result is None:
                continue
            name = f"{check.name} of {check.asset_key.path[-1]}"
            if result.passed:
                fine.add(name)
            else:
                failing[name] = partial("{} {}".format, result.description, self._asset_link(check.asset_key.path[-1]))
        self.incidents.update(CHECKS, failing, fine)

    def _grave_alerts(self, now: dt.datetime) -> None:
        days = [(now - DAY).date().isoformat(), now.date().isoformat()]
        grave = SEVERITIES[SEVERITIES.index(self._settings.notify_severity) :]
        try:
            found = self._warehouse.query(_alerts_query(days, grave)).to_pylist()
        except TableNotFound:  # nothing was judged yet
            return
        self._alerts.tell(found, days, now, self._settings.notify_severity, self._asset_link(FRAUD_ALERTS.name))
