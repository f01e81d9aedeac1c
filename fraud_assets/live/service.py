"""`fraud watch`: polls the source, reports to Dagster and starts reconciliation runs until it is stopped."""

from __future__ import annotations

import datetime as dt
import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.definitions import advisory_checks, watched_tables
from fraud_assets.defs.asset_specs import key
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import vacuum
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.live.latencies import Latencies
from fraud_assets.live.micro_batch import TRANSACTIONS, MicroBatch, MicroBatcher
from fraud_assets.live.timer import Timer
from fraud_assets.monitoring.health import HealthMonitor
from fraud_assets.monitoring.incidents import IncidentKind
from fraud_assets.runs.batch import RunFailed, run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.retention import delete_old_runs
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.settings import Settings
from hive_io import HiveIOError, Span
from hive_io.locations import open_warehouse
from hive_io.table import DAY, ranges

log = logging.getLogger("fraud_assets.live")

TAG = {"fraud/started_by": "watch"}
"""Tag of reconciliation runs."""
REPORT_EVERY = 60.0
"""Seconds between two reports to Dagster. Dagster keeps every event, so one per poll would fill the disk."""
REPORTED = (TRANSACTIONS.table.name, FRAUD_ALERTS.name)
"""Tables whose materializations are reported; the others are reported by reconciliation runs."""
SHARE_OF_RUNS = 0.03
"""Largest share of wall-clock time for reconciliation runs, which block the live path; a longer run comes less often. With
the arrivals that each run delays, it must stay under 0.05: otherwise more than one in twenty transactions waits for a run."""
KEPT_RUNS = dt.timedelta(days=1)
"""Retention of reconciliation runs that a later run has superseded."""
CHECKPOINT_FILE = "watch.json"
LONGEST_PAUSE = 30.0
"""Seconds between two attempts of a poll at most, unless the source asks for more."""
SEND_EVERY = 1.0
"""Seconds between two deliveries of queued messages."""
MIN_ROWS = 50
"""Fewest rows per report for which a share of rejected rows is meaningful."""

SOURCE = IncidentKind(
    "source",
    "No arrivals",
    "Resolved: no arrivals",
    "Transactions are judged only after they have arrived. Check the source and the connection to it.",
)
REJECTED = IncidentKind(
    "rejected",
    "High share of rejected rows",
    "Resolved: high share of rejected rows",
    "No rule judges rejected rows. `transactions_rejected` holds them, with the claims that they violate.",
)
_CONCURRENT_WRITE = "Concurrent write detected: another run has replaced the current day; reading it again from its beginning"


@dataclass
class Tally:
    """Counts and latencies since the last report."""

    served: int = 0
    rejected: int = 0
    seconds: list[pa.Array] = field(default_factory=list)

    def add(self, batch: MicroBatch, seconds: pa.Array) -> None:
        self.served += batch.served
        self.rejected += batch.rejected
        self.seconds.append(seconds)

    def quantiles(self) -> tuple[float, float] | None:
        """Median and 95th percentile of the seconds from arrival at the source to judgment; None without arrival times."""
        waited = pa.chunked_array(self.seconds, pa.float64()).drop_null()
        if not len(waited):
            return None
        median, high = pc.quantile(waited, q=[0.5, 0.95]).to_pylist()
        return median, high


def seconds_since(arrived: pa.Array, now: dt.datetime) -> pa.Array:
    """Seconds from each TIMESTAMP (UTC, without a zone) until now."""
    waited = pc.cast(pc.subtract(pa.scalar(now.replace(tzinfo=None), pa.timestamp("us")), arrived), pa.int64())
    return pc.divide(waited.cast(pa.float64()), 1e6)


class Watch:
    """Polls the source until it is stopped.

    Args:
        every: seconds between the beginnings of two polls.
        reconcile: seconds between two reconciliation runs; longer if a run takes more than `SHARE_OF_RUNS` of them.
        clock: wall-clock time, for the current day and latencies.
        timer: elapsed time, for pauses and intervals.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        source: SourceClient,
        every: float,
        reconcile: float,
        clock: Clock,
        timer: Timer,
    ) -> None:
        engine = Engine(read_rule_book(overrides=settings.rules_file))
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._every = every
        self._between_runs = reconcile
        self._clock = clock
        self._timer = timer
        self._warehouse = open_warehouse(settings.warehouse, settings.warehouse_password)
        self._batcher = MicroBatcher(
            engine,
            source,
            self._warehouse,
            settings.state_folder / CHECKPOINT_FILE,
            settings.first_day,
            settings.rejected_limit,
        )
        self._health = HealthMonitor(
            settings, instance, self._warehouse, watched_tables(engine), advisory_checks(engine), clock
        )
        self._last_arrival = timer.seconds()
        self._tally = Tally()
        self._latencies = Latencies()

    def run(self, stop: Event) -> None:
        """Poll until `stop` is set; a poll or run in progress is completed first."""
        # in a thread of its own: a target that hangs must not delay the live path
        sender = Thread(target=self._send_messages, args=(stop,), name="messages")
        sender.start()
        # objects that exist now stay to the end; the garbage collector need not visit them again and again
        gc.collect()
        gc.freeze()
        try:
            self._poll_and_reconcile(stop)
        finally:
            gc.unfreeze()
            stop.set()
            sender.join()
            self._warehouse.close()

    def _send_messages(self, stop: Event) -> None:
        stopped = False
        while not stopped:
            # once more after the stop: what was queued until then is sent
            stopped = stop.wait(SEND_EVERY)
            for failure in self._health.outbox.send():
                log.warning(failure)

    def _poll_and_reconcile(self, stop: Event) -> None:
        run_at = self._timer.seconds() + self._between_runs
        report_at = self._timer.seconds() + REPORT_EVERY
        while not stop.is_set():
            began = self._timer.seconds()
            self._poll_with_retries(stop)
            self._check_silence("The source answers and has no new transactions.")
            if self._timer.seconds() >= report_at:
                self._report()
                self._postpone_if_it_fails(self._health.check)
                report_at = self._timer.seconds() + REPORT_EVERY
            if self._timer.seconds() >= run_at and not stop.is_set():
                run_began = self._timer.seconds()
                if self._settings.scheduler == "dagster":
                    self._reconcile()
                    self._postpone_if_it_fails(self._health.check)
                self._postpone_if_it_fails(self._vacuum)
                run_seconds = self._timer.seconds() - run_began
                run_at = self._timer.seconds() + max(self._between_runs, run_seconds / SHARE_OF_RUNS)
            self._timer.pause(stop, max(0.0, began + self._every - self._timer.seconds()))
        self._report()

    def _poll_with_retries(self, stop: Event) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type((SourceError, HiveIOError)),
            wait=_pause,
            stop=stop_when_event_set(stop),
            sleep=lambda seconds: self._timer.pause(stop, seconds),
            before_sleep=self._log_failed_poll,
            retry_error_callback=self._log_last_failed_poll,
        )
        retrying(self._poll, stop)

    def _log_failed_poll(self, state: RetryCallState) -> None:
        self._log_and_check_silence(state, f"retrying in {state.upcoming_sleep:.0f} s")

    def _log_last_failed_poll(self, state: RetryCallState) -> None:
        self._log_and_check_silence(state, "not retried, because the watch was stopped")

    def _log_and_check_silence(self, state: RetryCallState, next_step: str) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s; %s", error, next_step)
        self._check_silence(f"Last error: {error}")

    def _poll(self, stop: Event) -> None:
        today = self._clock.today()
        if self._batcher.concurrent_write():
            log.warning(_CONCURRENT_WRITE)
        for batch in self._batcher.poll(today):
            if batch.concurrent_write:
                log.warning(_CONCURRENT_WRITE)
            self._last_arrival = self._timer.seconds()
            self._health.incidents.update(SOURCE, {})
            now = self._clock.now()
            seconds = seconds_since(batch.arrived, now)
            self._tally.add(batch, seconds)
            self._latencies.add(seconds, now)
            if stop.is_set():
                return

    def _check_silence(self, detail: str) -> None:
        """Open an incident if no transaction has arrived for too long."""
        silent = self._timer.seconds() - self._last_arrival
        if silent > self._settings.silent_after:
            self._health.incidents.update(SOURCE, {"transactions": lambda: f"none for {silent:.0f} s. {detail}"})

    def _reconcile(self) -> None:
        """Run every asset for today and for the days with late-arriving data."""
        today = self._clock.today()
        late_days = self._batcher.checkpoint.late_days
        self._batcher.expect_writes()
        for span in days_to_run(today, late_days, self._settings.first_day):
            try:
                report = run_days(self._settings, span, tags=TAG, clock=self._clock)
            except RunFailed as error:
                log.error("Reconciliation run of %s failed; retrying at the next one: %s", span, error)
                return
            log.info("Reconciled %s: every asset materialized in %.0f s", span, report.seconds)
        self._batcher.mark_reconciled(late_days)
        deleted = delete_old_runs(self._instance, TAG, KEPT_RUNS, self._clock)
        if deleted:
            log.info("Deleted %d old runs", deleted)

    def _postpone_if_it_fails(self, step: Callable[[], None]) -> None:
        """Do a step that loses nothing if the warehouse fails, because the next one makes up for it."""
        try:
            step()
        except HiveIOError as error:
            log.warning("%s; postponed to the next time", error)

    def _vacuum(self) -> None:
        vacuum(self._engine, self._warehouse, self._settings.keep_days)

    def _report(self) -> None:
        """Log what arrived since the last report, and record it in Dagster and in `latencies`."""
        self._postpone_if_it_fails(lambda: self._latencies.write(self._warehouse))
        tally, self._tally = self._tally, Tally()
        day = self._batcher.checkpoint.day
        if not tally.served or day is None:
            return
        metadata: dict[str, dg.MetadataValue] = {
            "rows served": dg.MetadataValue.int(tally.served),
            "rows rejected": dg.MetadataValue.int(tally.rejected),
        }
        line = f"{tally.served:,} transactions, {tally.rejected:,} rejected"
        quantiles = tally.quantiles()
        if quantiles is not None:
            median, high = quantiles
            metadata["seconds from arrival, median"] = dg.MetadataValue.float(median)
            metadata["seconds from arrival, 95 %"] = dg.MetadataValue.float(high)
            line += f"; from arrival to judgment: median {median:.1f} s, 95th percentile {high:.1f} s"
        log.info(line)
        self._check_rejected_share(tally)
        for table in REPORTED:
            event = dg.AssetMaterialization(key(table), partition=day, metadata=metadata)
            self._instance.report_runless_asset_event(event)

    def _check_rejected_share(self, tally: Tally) -> None:
        limit = self._settings.rejected_limit
        if tally.rejected / tally.served <= limit:
            self._health.incidents.update(REJECTED, {})
        elif tally.served >= MIN_ROWS:
            detail = f"{tally.rejected:,} of {tally.served:,} rows since the last report; the limit is {limit:.0%}."
            self._health.incidents.update(REJECTED, {TRANSACTIONS.table.name: lambda: detail})


def _pause(state: RetryCallState) -> float:
    """Seconds before a failed poll is retried: 1, 2, 4 … 30, or more if the source asks for it."""
    error = state.outcome.exception() if state.outcome else None
    return max(wait_exponential(min=1, max=LONGEST_PAUSE)(state), error.wait if isinstance(error, SourceError) else 0.0)


def days_to_run(today: dt.date, late_days: Sequence[str], first_day: dt.date) -> list[Span]:
    """Ranges of days, in order: today, days with late-arriving data, and the day after each, whose rules look back on it."""
    late = [dt.date.fromisoformat(ds) for ds in late_days]
    return ranges(day for day in {today, *late, *(day + DAY for day in late)} if first_day <= day <= today)


def watch(
    settings: Settings,
    stop: Event,
    *,
    every: float,
    reconcile: float,
    clock: Clock = SYSTEM_CLOCK,
    timer: Timer | None = None,
) -> None:
    """Load and judge transactions as they arrive, until `stop` is set; see `Watch`. Progress is logged to `fraud_assets.live`.

    Raises:
        SettingsError, RuleError, NotAWarehouse, BadCheckpoint: before anything is started.
    """
    # one attempt per request: the watch itself decides how long to pause
    with dagster_instance(settings) as instance, SourceClient(settings.source_url, attempts=1) as source:
        Watch(settings, instance, source, every, reconcile, clock, timer or Timer()).run(stop)
