"""What the warehouse knows of a case's customer, read with a limit on days, rows and seconds."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from sqlglot import exp

from fraud_assets.cases.evidence import evidence
from fraud_assets.cases.model import Alert, Case
from fraud_assets.cases.store import CaseStore
from fraud_assets.evaluation.rule_quality import ALL_ALERTS
from fraud_assets.explain.explain import Points, points_of
from fraud_assets.explain.tolerant_reader import TolerantReader, in_days, rows_where
from fraud_assets.schemas.evaluation import RULE_QUALITY
from fraud_assets.schemas.names import DATABASE
from hive_io import PARTITION, HiveIOError, Table, Warehouse
from hive_io.dialect import literal

DAYS_BEFORE = 45
"""Days before the customer's first alert that are read."""
DAYS_AFTER = 3
"""Days after the last alert that are read."""
LONGEST = 120
"""Days that are read at most; of an older alert, only what its case holds is shown."""
MOST_TRANSACTIONS = 400
"""The latest of these days."""
MOST_ALERTS = 100
"""Alerts whose points and merchants are read, the highest scores first."""
MOST_RELATED = 20
"""Customers that are named as related, for each kind of relation."""
_SHARED = {"counterparty_id": "counterparty", "device_id": "device", "card_id": "card"}
"""Columns whose value two customers do not usually share."""
_SECONDS = 4.0
"""Seconds that a page waits for the warehouse."""
_KEPT_SECONDS = 120.0
"""Seconds for which an answer is used again."""
_KEPT = 256
"""Answers that are kept."""
_THREADS = 2
_WAITING = 6
"""Reads in progress, beyond which a page does not wait for another."""

Row: TypeAlias = Mapping[str, Any]
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Related:
    """Another customer who shares something with this one.

    Attributes:
        kind: merchant, counterparty, device or card.
        alerts: of the other customer at this merchant; None for other kinds.
    """

    kind: str
    value: str
    customer_id: str
    alerts: int | None
    last: dt.datetime


@dataclass(frozen=True)
class CaseFacts:
    """What the warehouse knows of a case.

    Attributes:
        first, last: the days that were read.
        transactions: the customer's, latest first, at most `MOST_TRANSACTIONS`.
        profiles: rows of `customer_profiles` of the gravest alert's day, by currency.
        amounts: rows of `customer_amounts` of that day, by currency.
        customer: the latest row of `customers`; None if there is none.
        high_risk: the reason for high risk on that day.
        points: by transaction.
    """

    first: dt.date
    last: dt.date
    transactions: Sequence[Row]
    profiles: Mapping[str, Row]
    amounts: Mapping[str, Row]
    customer: Row | None
    high_risk: str | None
    points: Mapping[str, Points]
    related: Sequence[Related]


class NotRead(Exception):
    """The warehouse could not be read, or not in time. The message is for the page."""


class LakeView:
    """Reads the warehouse for the pages, in threads of its own.

    Args:
        open_lake: opens the warehouse to read it.
        tables: the tables of this version, by name.
        name: the warehouse's location, as it may be shown.
        seconds: seconds that a page waits.
    """

    def __init__(
        self, open_lake: Callable[[], Warehouse], tables: Mapping[str, Table], name: str, seconds: float = _SECONDS
    ) -> None:
        self.name = name
        self._open = open_lake
        self._tables = tables
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="desk-lake")
        self._lock = threading.Lock()
        self._lake: Warehouse | None = None
        self._running: dict[object, Future[Any]] = {}
        self._kept: OrderedDict[object, tuple[float, Any]] = OrderedDict()

    def close(self) -> None:
        """Give up reads that have not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def facts(self, case_id: str, alerts: Sequence[Alert]) -> CaseFacts:
        """What the warehouse knows of a case's customer.

        Raises:
            NotRead: with the reason.
        """
        return self._answer(_key(case_id, alerts), lambda lake: _facts(TolerantReader(lake, self._tables), alerts))

    def prepare(self, case_id: str, alerts: Sequence[Alert]) -> None:
        """Read ahead what `facts` will be asked for, unless another read is in progress."""
        key = _key(case_id, alerts)
        with self._lock:
            if not self._running and not self._is_kept(key):
                self._submit(key, lambda lake: _facts(TolerantReader(lake, self._tables), alerts))

    def evidence(self, store: CaseStore, case: Case, now: dt.datetime) -> dict[str, Any]:
        """The evidence of a case for an auditor.

        Raises:
            NotRead: with the reason.
        """
        key = ("evidence", case.case_id, case.version)
        return self._answer(key, lambda lake: evidence(store, case.case_id, lake, self._tables, now))

    def rows(self, key: str, query: exp.Query) -> list[dict[str, Any]]:
        """Rows of a query that is limited by its author.

        Args:
            key: names the query: its rows are used again for some minutes.

        Raises:
            NotRead: with the reason.
        """
        return self._answer(("rows", key), lambda lake: TolerantReader(lake, self._tables).rows(query))

    def _answer(self, key: object, read: Callable[[Warehouse], T]) -> T:
        with self._lock:
            if self._is_kept(key):
                kept: T = self._kept[key][1]
                return kept
            future = self._running.get(key)
            if future is None:
                if len(self._running) >= _WAITING:
                    raise NotRead("The warehouse is busy with other pages. Reload the page in a moment.")
                future = self._submit(key, read)
        try:
            return future.result(self._seconds)
        except NotInTime:
            raise NotRead(f"The warehouse did not answer within {self._seconds:g} s. Reload the page in a moment.") from None
        except HiveIOError as error:
            raise NotRead(f"The warehouse cannot be read: {error}") from None
        except Exception:
            raise NotRead("The warehouse cannot be read; the error is in the desk's log.") from None

    def _is_kept(self, key: object) -> bool:
        return key in self._kept and time.monotonic() - self._kept[key][0] < _KEPT_SECONDS

    def _submit(self, key: object, read: Callable[[Warehouse], T]) -> Future[T]:
        future = self._running[key] = self._pool.submit(self._read, key, read)
        return future

    def _read(self, key: object, read: Callable[[Warehouse], T]) -> T:
        try:
            if self._lake is None:
                self._lake = self._open()
            found = read(self._lake)
        except BaseException as error:
            if not isinstance(error, HiveIOError):
                _log.exception("The warehouse cannot be read")
            with self._lock:
                self._lake = None
                self._running.pop(key, None)
            raise
        with self._lock:
            self._kept[key] = time.monotonic(), found
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            self._running.pop(key, None)
        return found


def gravest_first(alerts: Sequence[Alert]) -> list[Alert]:
    """Alerts by score, the highest first, then by time."""
    return sorted(alerts, key=lambda alert: (-alert.score, alert.event_time, alert.transaction_id))


def _key(case_id: str, alerts: Sequence[Alert]) -> object:
    return "facts", case_id, len(alerts), max(alert.event_time for alert in alerts)


def _facts(reader: TolerantReader, alerts: Sequence[Alert]) -> CaseFacts:
    days = [alert.event_time.date() for alert in alerts]
    last = max(days) + dt.timedelta(days=DAYS_AFTER)
    first = max(min(days) - dt.timedelta(days=DAYS_BEFORE), last - dt.timedelta(days=LONGEST))
    gravest = max(alerts, key=lambda alert: alert.score)
    customer = {"customer_id": gravest.customer_id}
    day = {**customer, PARTITION: gravest.event_time.date().isoformat()}
    query = rows_where("transactions", **customer).where(_in_days(first, last))
    query = query.order_by(exp.column("event_time").desc(), exp.column("transaction_id").desc()).limit(MOST_TRANSACTIONS)
    transactions = reader.rows(query)
    customers = reader.rows(
        rows_where("customers", **customer).where(_in_days(first, last)).order_by(exp.column(PARTITION).desc()).limit(1)
    )
    risk = reader.rows(rows_where("high_risk_customers", **day).limit(1))
    return CaseFacts(
        first,
        last,
        transactions,
        {row["currency"] or "": row for row in reader.rows(rows_where("customer_profiles", **day))},
        {row["currency"] or "": row for row in reader.rows(rows_where("customer_amounts", **day))},
        customers[0] if customers else None,
        risk[0]["reason"] if risk else None,
        _points(reader, gravest_first(alerts)[:MOST_ALERTS], first),
        _related(reader, gravest_first(alerts)[:MOST_ALERTS], transactions, first, last),
    )


def _points(reader: TolerantReader, alerts: Sequence[Alert], first: dt.date) -> dict[str, Points]:
    ids = [literal(alert.transaction_id) for alert in alerts]
    days = sorted({alert.event_time.date().isoformat() for alert in alerts if alert.event_time.date() >= first})
    if not days:
        return {}
    of_alerts = exp.column("transaction_id").isin(*ids), exp.column(PARTITION).isin(*map(literal, days))
    scores = reader.rows(rows_where("transaction_scores").where(*of_alerts))
    features = {row["transaction_id"]: row for row in reader.rows(rows_where("transaction_features").where(*of_alerts))}
    return {row["transaction_id"]: points_of(row, features.get(row["transaction_id"], {})) for row in scores}


def _related(
    reader: TolerantReader, alerts: Sequence[Alert], transactions: Sequence[Row], first: dt.date, last: dt.date
) -> list[Related]:
    merchants = {alert.merchant_id for alert in alerts}
    flagged = {alert.transaction_id for alert in alerts}
    values = {"merchant_id": merchants}
    values |= {
        column: {row[column] for row in transactions if row["transaction_id"] in flagged and row.get(column)}
        for column in _SHARED
    }
    found: list[Related] = []
    for column, shared in values.items():
        if not shared:
            continue
        table = "fraud_alerts" if column == "merchant_id" else "transactions"
        rows = (
            exp.select(column, "customer_id", "COUNT(*) AS alerts", "MAX(event_time) AS last", dialect="hive")
            .from_(exp.table_(table, db=DATABASE))
            .where(
                exp.column(column).isin(*map(literal, sorted(shared))),
                exp.column("customer_id").neq(literal(alerts[0].customer_id)),
                _in_days(first, last),
            )
            .group_by(column, "customer_id")
            .order_by(exp.column("alerts").desc(), exp.column("customer_id").asc())
            .limit(MOST_RELATED)
        )
        found += [
            Related(
                _SHARED.get(column, "merchant"),
                row[column],
                row["customer_id"],
                row["alerts"] if column == "merchant_id" else None,
                row["last"].replace(tzinfo=dt.UTC),
            )
            for row in reader.rows(rows)
        ]
    return found


def _in_days(first: dt.date, last: dt.date) -> exp.Between:
    return in_days(first.isoformat(), last.isoformat())


def alerts_of_day(lake: LakeView, day: dt.date) -> list[dict[str, Any]]:
    """Alerts of a day by severity, from the warehouse: those that the desk has not taken yet are counted, too.

    Raises:
        NotRead: with the reason.
    """
    query = (
        exp.select("severity", "COUNT(*) AS alerts", dialect="hive")
        .from_(exp.table_("fraud_alerts", db=DATABASE))
        .where(exp.column(PARTITION).eq(literal(day.isoformat())))
        .group_by("severity")
    )
    return lake.rows(f"alerts of {day}", query)


def quality_of_rules(lake: LakeView, today: dt.date) -> list[dict[str, Any]]:
    """The latest rows of `rule_quality` up to today, all alerts first, then by name; empty if there are none.

    Raises:
        NotRead: with the reason.
    """
    latest = (
        exp.select(exp.column(PARTITION))
        .from_(exp.table_(RULE_QUALITY.name, db=DATABASE))
        .where(_in_days(today - dt.timedelta(days=LONGEST), today))
        .group_by(exp.column(PARTITION))
        .order_by(exp.column(PARTITION).desc())
        .limit(1)
    )
    days = lake.rows(f"last day of rule_quality by {today}", latest)
    if not days:
        return []
    ds = days[0][PARTITION]
    rows = lake.rows(f"rule_quality of {ds}", rows_where(RULE_QUALITY.name, **{PARTITION: ds}))
    return sorted(rows, key=lambda row: (row["rule"] != ALL_ALERTS, row["rule"]))
