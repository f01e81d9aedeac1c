"""Messages about new alerts, a digest every 15 minutes at most."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlglot import exp

from fraud_assets.atomic_write import write_atomically
from fraud_assets.monitoring.outbox import Message, Outbox
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.sql.windows import hiveql
from hive_io import PARTITION, HiveQL
from hive_io.dialect import literal

BETWEEN_ALERTS = dt.timedelta(minutes=15)
"""Between two messages of alerts: four an hour at most, however many alerts there are."""


_HIGHEST = 10


class AlertDigest:
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
            write_atomically(self._file, json.dumps(said) + "\n")


def _alerts_query(days: Sequence[str], severities: Sequence[str]) -> HiveQL:
    tree = (
        exp.select("transaction_id", "event_time", "score", "severity", "rules", PARTITION)
        .from_(exp.table_(FRAUD_ALERTS.name, db=FRAUD_ALERTS.database))
        .where(exp.column(PARTITION).isin(*map(literal, days)), exp.column("severity").isin(*map(literal, severities)))
    )
    return hiveql(tree)
