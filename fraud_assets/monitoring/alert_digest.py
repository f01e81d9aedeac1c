"""Notifications of new alerts: a digest, at most every 15 minutes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel, TypeAdapter
from sqlglot import exp

from fraud_assets.atomic_write import write_atomically
from fraud_assets.monitoring.incidents import LOCK_SECONDS
from fraud_assets.monitoring.outbox import Message, Outbox
from fraud_assets.monitoring.state_files import read_state
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.sql.windows import hiveql, table_node
from hive_io import PARTITION, HiveQL
from hive_io.dialect import literal

BETWEEN_DIGESTS = dt.timedelta(minutes=15)
"""Least time between two digests: at most four an hour, however many alerts there are."""
_LISTED = 10
"""Alerts that a digest lists, the highest scores first."""


class _Notified(BaseModel):
    """When the last digest was written, and the alerts that were notified, by day."""

    at: AwareDatetime | None = None
    told: dict[str, list[str]] = {}


_STATE = TypeAdapter(_Notified)


class AlertDigest:
    """Notifies of each alert once, in digests.

    Args:
        file: records the alerts that were notified, and when the last digest was written.
    """

    def __init__(self, file: Path, outbox: Outbox) -> None:
        self._file = file
        self._outbox = outbox
        self._lock = FileLock(file.with_suffix(".lock"), timeout=LOCK_SECONDS)

    def notify(
        self,
        alerts: Iterable[Mapping[str, Any]],
        days: Sequence[str],
        now: dt.datetime,
        severity: str,
        link: str,
        desk: str | None = None,
    ) -> None:
        """Write a digest of the alerts not notified yet, unless the last digest is younger than `BETWEEN_DIGESTS`.

        Args:
            alerts: rows of `alerts_query` for these days.
            days: days whose notified alerts stay recorded; those of other days are forgotten.
            severity: the lowest severity among the alerts, for the title.
            link: the address of the alerts in Dagster.
            desk: the address of the desk, for links to cases; None for no links.
        """
        with self._lock:
            state = read_state(self._file, _STATE, "alerts of the last two days may be notified again") or _Notified()
            # a time in the future is that of a clock which was set back
            if state.at and dt.timedelta() <= now - state.at < BETWEEN_DIGESTS:
                return
            notified = {day: set(state.told.get(day, ())) for day in days}
            new = [alert for alert in alerts if alert["transaction_id"] not in notified[alert[PARTITION]]]
            if not new:
                return
            new.sort(key=lambda alert: (-alert["score"], alert["transaction_id"]))
            self._outbox.put(_digest(new, severity, link, desk))
            for alert in new:
                notified[alert[PARTITION]].add(alert["transaction_id"])
            # after the message: a process killed in between notifies twice rather than never
            stored = {"at": now.isoformat(), "told": {day: sorted(ids) for day, ids in notified.items()}}
            write_atomically(self._file, json.dumps(stored) + "\n")


def _digest(alerts: Sequence[Mapping[str, Any]], severity: str, link: str, desk: str | None) -> Message:
    lines = []
    for a in alerts[:_LISTED]:
        rules = ", ".join(a["rules"])
        lines.append(f"{a['transaction_id']}: {a['score']:.3f}, {a['severity']}, {rules}, {a['event_time']:%H:%M:%S} UTC")
        if desk:
            lines.append(f"  {desk.rstrip('/')}/transactions/{quote(a['transaction_id'], safe='')}")
    if len(alerts) > _LISTED:
        lines = [f"The {_LISTED} highest scores:", *lines]
    lines += [f"Explain the first: fraud explain {alerts[0]['transaction_id']}", f"All alerts: {link}"]
    if desk:
        lines.append(f"All open cases: {desk.rstrip('/')}/")
    noun = "alert" if len(alerts) == 1 else "alerts"
    return Message(f"{len(alerts):,} new {noun} of severity {severity} or higher", "\n".join(lines))


def alerts_query(days: Sequence[str], severities: Sequence[str]) -> HiveQL:
    """Alerts of these days and severities."""
    tree = (
        exp.select("transaction_id", "event_time", "score", "severity", "rules", PARTITION)
        .from_(table_node(FRAUD_ALERTS))
        .where(exp.column(PARTITION).isin(*map(literal, days)), exp.column("severity").isin(*map(literal, severities)))
    )
    return hiveql(tree)
