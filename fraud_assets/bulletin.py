"""What is wrong at present, by Dagster's records and by the lake, told to people.

Whoever looks tells: a sensor of Dagster, and `fraud watch`. Both may run; each change is told once.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from filelock import FileLock
from sqlglot import exp

from fraud_assets.defs.latest_day import latest_day
from fraud_assets.defs.partitions import key
from fraud_assets.files import write_whole
from fraud_assets.notify import Message, Notices, Outbox, Topic
from fraud_assets.queries import hiveql
from fraud_assets.rule_book import SEVERITIES
from fraud_assets.run_records import days_of, what_failed
from fraud_assets.schemas import DATABASE, FRAUD_ALERTS
from fraud_assets.settings import Settings
from hive_io import PARTITION, HiveQL, TableNotFound, Warehouse
from hive_io.dialect import literal
from hive_io.table import DAY

STALE = Topic("stale", "Late", "Fresh again", "Alerts rest on tables that are older than they should be. Do the schedules run?")
MISSING = Topic("missing", "No partition of the latest day", "The latest day is there", "That day is not judged yet.")
RUNS = Topic("runs", "A run failed, of", "Runs succeed again, of", "Tables of these days are as they were before.")
CHECKS = Topic("checks", "A check fails", "Checks pass again", "Nothing was stopped; somebody should look.")

LOOK_BACK = dt.timedelta(days=1)
"""Runs that ended before are nobody's news."""
BETWEEN_ALERTS = dt.timedelta(minutes=15)
"""Between two messages of alerts: four an hour at most, however many alerts there are."""
_HIGHEST = 10


class Bulletin:
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
        self.notices = Notices(settings.state_folder / "notices.json", self.outbox)
        self._alerts = AlertsTold(settings.state_folder / "alerts_told.json", self.outbox)

    def look(self, now: dt.datetime) -> None:
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
        self.notices.tell(STALE, late, fresh)

    def _since(self, table: str, since: dt.datetime) -> str:
        return f"late since {since:%Y-%m-%d %H:%M} (UTC). {self._asset_link(table)}"

    def _missing(self, now: dt.datetime) -> None:
        missing = {}
        for table, asset in self._tables.items():
            result = latest_day(self._instance, asset, now)
            if not result.passed and self._instance.get_latest_materialization_event(asset) is None:
                continue  # never made at all: nobody waits for it yet
            self._report(result)
            if not result.passed:
                missing[table] = partial("{} {}".format, result.description, self._asset_link(table))
        self.notices.tell(MISSING, missing)

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
        self.notices.tell(RUNS, failed, fine)

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
        self.notices.tell(CHECKS, failing, fine)

    def _grave_alerts(self, now: dt.datetime) -> None:
        days = [(now - DAY).date().isoformat(), now.date().isoformat()]
        grave = SEVERITIES[SEVERITIES.index(self._settings.notify_severity) :]
        try:
            found = self._warehouse.query(_alerts_query(days, grave)).to_pylist()
        except TableNotFound:  # nothing was judged yet
            return
        self._alerts.tell(found, days, now, self._settings.notify_severity, self._asset_link(FRAUD_ALERTS.name))


class AlertsTold:
    """Which alerts people were told of, so that each is told once, in groups.

    Args:
        file: where that is kept.
    """

    def __init__(self, file: Path, outbox: Outbox) -> None:
        self._file = file
        self._outbox = outbox
        self._lock = FileLock(file.with_suffix(".lock"))

    def tell(self, found: Iterable[Mapping[str, Any]], days: Sequence[str], now: dt.datetime, severity: str, link: str) -> None:
        """Tell of the alerts that nobody was told of, unless that was done less than `BETWEEN_ALERTS` ago.

        Args:
            found: the alerts of these days.
            days: only of these is remembered what was told.
        """
        with self._lock:
            kept = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {"at": None, "told": {}}
            if kept["at"] and now - dt.datetime.fromisoformat(kept["at"]) < BETWEEN_ALERTS:
                return
            told = {day: set(kept["told"].get(day, ())) for day in days}
            news = [alert for alert in found if alert["transaction_id"] not in told[alert[PARTITION]]]
            if not news:
                return
            news.sort(key=lambda alert: (-alert["score"], alert["transaction_id"]))
            lines = [
                f"{a['transaction_id']}: {a['score']:.3f}, {a['severity']}, {', '.join(a['rules'])}, {a['event_time']:%H:%M:%S}"
                for a in news[:_HIGHEST]
            ]
            if len(news) > _HIGHEST:
                lines = [f"The {_HIGHEST} highest scores:", *lines]
            lines += [f"Why: fraud explain {news[0]['transaction_id']}", f"All: {link}"]
            self._outbox.put(Message(f"{len(news):,} new alerts of severity {severity} or higher", "\n".join(lines)))
            for alert in news:
                told[alert[PARTITION]].add(alert["transaction_id"])
            said = {"at": now.isoformat(), "told": {day: sorted(ids) for day, ids in told.items()}}
            write_whole(self._file, json.dumps(said) + "\n")


def _alerts_query(days: Sequence[str], severities: Sequence[str]) -> HiveQL:
    tree = (
        exp.select("transaction_id", "event_time", "score", "severity", "rules", PARTITION)
        .from_(exp.table_(FRAUD_ALERTS.name, db=FRAUD_ALERTS.database))
        .where(exp.column(PARTITION).isin(*map(literal, days)), exp.column("severity").isin(*map(literal, severities)))
    )
    return hiveql(tree)
