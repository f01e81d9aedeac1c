"""`fraud watch`: polls the source, reports to Dagster and starts reconciliation runs until it is stopped."""

from __future__ import annotations

import datetime as dt
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.exc import OperationalError

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.configured_rules import rule_book
from fraud_assets.definitions import advisory_checks, open_source, watched_tables
from fraud_assets.defs.asset_specs import key
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import vacuum
from fraud_assets.errors import FraudError, SettingsError, SourceError
from fraud_assets.ingestion.load import Source
from fraud_assets.live.latencies import Latencies
from fraud_assets.live.metrics import POLLING, WatchMetrics, serving
from fraud_assets.live.micro_batch import MicroBatch, MicroBatcher
from fraud_assets.live.only_watch import only_watch
from fraud_assets.live.reconciliation import TAG, Outcome, Reconciler
from fraud_assets.live.spark_stream import Stream, streamed_source
from fraud_assets.live.timer import Timer
from fraud_assets.monitoring.health import HealthMonitor
from fraud_assets.monitoring.incidents import IncidentKind
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.runs.retention import cancel_abandoned_runs, delete_old_runs
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings
from hive_io import HiveIOError, Span
from hive_io.locations import open_warehouse
from hive_io.table import DAY, ranges

log = logging.getLogger("fraud_assets.live")

REPORT_EVERY = 60.0
"""Seconds between two reports to Dagster. Dagster keeps every event, so one per poll would fill the disk."""
REPORTED = (TRANSACTIONS.table.name, FRAUD_ALERTS.name)
"""Tables whose materializations are reported; the others are reported by reconciliation runs."""
SHARE_OF_RUNS = 0.03
"""Largest share of wall-clock time for reconciliation runs that block the live path; a longer run comes less often. With the
arrivals that each run delays, it must stay under 0.05: otherwise more than one in twenty transactions waits for a run."""
SHARE_BESIDE = 0.2
"""The same for runs in a process of their own, which take processor time and disk from the live path."""
MAX_LATE_DAYS_PER_RUN = 31
"""Most days with late-arriving data per reconciliation, the latest first; the others follow with the next ones."""
KEPT_RUNS = dt.timedelta(days=1)
"""Retention of reconciliation runs that a later run has superseded."""
CHECKPOINT_FILE = "watch.json"
SEARCH_EVERY = 10.0
"""Seconds between two searches for transactions that a correction has moved to another day."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts of a poll at most, unless the source asks for more."""
LONGEST_RETRY_AFTER = 3600.0
"""Seconds; upper bound of a pause that the source asks for."""
ASK_EVERY = 60.0
"""Seconds between two requests of a snapshot that is missing."""
FAILING_AFTER = 30.0
"""Seconds for which a step must fail before an incident is opened. An error that is not expected opens one at once."""
SEND_EVERY = 1.0
"""Seconds between two deliveries of queued messages."""
GRACE = 15.0
"""Seconds, after the stop, to complete a poll or a reconciliation run; then requests are aborted and the run is cancelled."""
SEND_AT_END = 5.0
"""Seconds to deliver queued messages at the end. Those that are left wait for the next process."""
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
SNAPSHOTS = IncidentKind(
    "snapshots",
    "Snapshot not loaded",
    "Resolved: snapshot not loaded",
    "Detection goes on. It asks the source again every minute.",
)
FAILURES = IncidentKind(
    "watch",
    "Failing in fraud watch",
    "Resolved: failing in fraud watch",
    "It is repeated until it succeeds. The log of `fraud watch` has the details.",
)
_EXPECTED = (FraudError, HiveIOError, OSError, OperationalError)
"""Errors of source, warehouse, a full disk, a locked database. Others are defects and are logged with a traceback."""
_CONCURRENT_WRITE = (
    "Concurrent write detected: another run has replaced the current day; reading again what has arrived since it began"
)


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
    """Seconds from each TIMESTAMP (UTC, without a zone) until now; 0 if the source's clock is ahead."""
    waited = pc.cast(pc.subtract(pa.scalar(now.replace(tzinfo=None), pa.timestamp("us")), arrived), pa.int64())
    return pc.max_element_wise(pc.divide(waited.cast(pa.float64()), 1e6), pa.scalar(0.0), skip_nulls=False)


class Watch:
    """Polls the source until it is stopped.

    Args:
        every: seconds between the beginnings of two polls.
        reconcile: seconds between two reconciliation runs; longer if a run takes more than `SHARE_OF_RUNS` of them, or,
            in a process of its own, `SHARE_BESIDE`.
        clock: wall-clock time, for the current day and latencies.
        timer: elapsed time, for pauses and intervals.
        metrics: counts for Prometheus.
        whole_days: as for `MicroBatcher`.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        source: Source,
        every: float,
        reconcile: float,
        clock: Clock,
        timer: Timer,
        metrics: WatchMetrics,
        whole_days: bool = False,
    ) -> None:
        today = clock.today()
        if settings.first_day > today:
            raise SettingsError(
                f"FRAUD_FIRST_DAY is {settings.first_day}, after today, {today} (UTC): every transaction would be rejected. "
                "Set it to today or an earlier day"
            )
        engine = Engine(rule_book(settings))
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._every = every
        self._between_runs = reconcile
        self._clock = clock
        self._timer = timer
        self._source = source
        self._warehouse = open_warehouse(settings.warehouse, settings.warehouse_password)
        self._batcher = MicroBatcher(
            engine,
            source,
            self._warehouse,
            settings.state_folder / CHECKPOINT_FILE,
            settings.first_day,
            settings.rejected_limit,
            lists=settings.lists,
            correction_days=settings.correction_days,
            search_every=SEARCH_EVERY,
            patience=settings.snapshot_patience,
            clock=clock,
            whole_days=whole_days,
        )
        self._health = HealthMonitor(
            settings, instance, self._warehouse, watched_tables(engine), advisory_checks(engine, settings.near_misses), clock
        )
        self._reconciler = Reconciler(settings, instance, self._warehouse, clock, lambda: self._overdue.is_set())
        self._metrics = metrics
        metrics.follow(self._batcher, self._health.incidents)
        self._last_arrival = timer.seconds()
        self._poll_at = timer.seconds()
        self._ask_at = 0.0
        self._failed_polls = 0
        self._failing: dict[str, _Failure] = {}
        self._told: dict[str, Sequence[str]] = {}
        """Names of the open incidents of a kind, as far as the log of incidents knows them."""
        self._overdue = Event()
        self._tally = Tally()
        self._latencies = Latencies()

    def run(self, stop: Event) -> None:
        """Poll until `stop` is set; a poll or run in progress is completed first, within `GRACE` seconds."""
        ended = Event()
        # in threads of their own: a target or a source that hangs must not delay the live path or its end
        sender = Thread(target=self._send_messages, args=(stop,), name="messages", daemon=True)
        sender.start()
        Thread(target=self._abort_when_overdue, args=(stop, ended), name="stop", daemon=True).start()
        # objects that exist now stay to the end; the garbage collector need not visit them again and again
        gc.collect()
        gc.freeze()
        try:
            self._poll_and_reconcile(stop)
        finally:
            gc.unfreeze()
            stop.set()
            ended.set()
            sender.join(SEND_AT_END)
            self._batcher.close()
            self._warehouse.close()

    def _send_messages(self, stop: Event) -> None:
        stopped = False
        last = ""
        while not stopped:
            # once more after the stop: what was queued until then is sent
            stopped = stop.wait(SEND_EVERY)
            try:
                for failure in self._health.outbox.send():
                    log.warning(failure)
                last = ""
            except Exception as error:  # the thread must not end: nothing would be sent any more
                if str(error) != last:
                    log.warning("Messages are not sent; retrying", exc_info=not isinstance(error, _EXPECTED) or error)
                last = str(error)

    def _abort_when_overdue(self, stop: Event, ended: Event) -> None:
        stop.wait()
        if not ended.wait(GRACE):
            self._overdue.set()
            self._source.abort()

    def _poll_and_reconcile(self, stop: Event) -> None:
        now = self._timer.seconds
        run_began, run_at = now(), now() + self._between_runs
        report_at = now() + REPORT_EVERY
        self._step("ending runs of an earlier process", lambda: cancel_abandoned_runs(self._instance, TAG))
        while not stop.is_set():
            if now() >= self._poll_at and self._try_to_poll(stop):
                self._check_silence("The source answers and has no new transactions.")
                self._step("loading snapshots", self._load_missing)
                self._step("merging small files", self._batcher.merge_small_files)
            if now() >= report_at:
                self._report()
                self._step("checking health", self._health.check)
                report_at = now() + REPORT_EVERY
            if now() >= run_at and not self._failed_polls and not stop.is_set() and not self._reconciler.is_running:
                run_began = now()
                self._step("starting a reconciliation", self._start_reconciliation)
                run_at = now() + self._between_runs
            outcome = self._reconciler.outcome()
            if outcome is not None:
                self._step("reconciling", partial(self._end_reconciliation, outcome, now() - run_began))
                self._step("checking health", self._health.check)
                if not self._reconciler.is_beside and not stop.is_set():
                    self._step("deleting expired files", self._vacuum)
                share = SHARE_BESIDE if self._reconciler.is_beside else SHARE_OF_RUNS
                run_at = now() + max(self._between_runs, (now() - run_began) / share)
            self._timer.pause(stop, max(0.0, min(self._poll_at, report_at) - now()))
        outcome = self._reconciler.end()
        if outcome is not None:
            self._step("reconciling", partial(self._end_reconciliation, outcome, now() - run_began))
        self._report()

    def _try_to_poll(self, stop: Event) -> bool:
        """Poll, and set the time of the next poll; False if it failed."""
        began = self._timer.seconds()
        try:
            self._poll(stop)
        except Exception as error:
            wait = _pause(self._failed_polls, error)
            self._failed_polls += 1
            self._poll_at = self._timer.seconds() + wait
            self._log(error, "not retried, because the watch was stopped" if stop.is_set() else f"retrying in {wait:.0f} s")
            if isinstance(error, SourceError):
                self._metrics.failures.labels(POLLING).inc()
                self._check_silence(f"Last error: {error}")
            else:
                self._note("judging transactions", error)
            return False
        self._failed_polls = 0
        self._poll_at = began + self._every
        self._note("judging transactions", None)
        return True

    def _step(self, name: str, step: Callable[[], object]) -> None:
        """Do a step that loses nothing if it fails, because the next one makes up for it."""
        try:
            step()
        except Exception as error:
            self._log(error, f"{name} is postponed to the next time")
            self._note(name, error)
        else:
            self._note(name, None)

    def _log(self, error: Exception, next_step: str) -> None:
        if isinstance(error, _EXPECTED):
            log.warning("%s; %s", error, next_step)
        else:
            log.error("%s: %s; %s", type(error).__name__, error, next_step, exc_info=error)

    def _note(self, name: str, error: Exception | None) -> None:
        """Open an incident for a step that keeps failing, and resolve it when the step succeeds."""
        if error is None:
            self._failing.pop(name, None)
        else:
            self._metrics.failures.labels(name).inc()
            since = self._failing[name].since if name in self._failing else self._timer.seconds()
            self._failing[name] = _Failure(error, since)
        now = self._timer.seconds()
        self._update(FAILURES, {step: str(failure) for step, failure in self._failing.items() if failure.is_incident(now)})

    def _update(self, kind: IncidentKind, failing: Mapping[str, str]) -> None:
        """Open and resolve incidents of a kind. If they cannot be recorded, the next call does it."""
        if self._told.get(kind.name) == sorted(failing):
            return
        try:
            self._health.incidents.update(kind, {name: partial(str, text) for name, text in failing.items()})
        except (OSError, FraudError) as error:
            log.warning("Incidents are not recorded: %s; postponed to the next time", error)
        else:
            self._told[kind.name] = sorted(failing)

    def _poll(self, stop: Event) -> None:
        today = self._clock.today()
        if self._batcher.concurrent_write():
            log.warning(_CONCURRENT_WRITE)
        pages = 0
        for batch in self._batcher.poll(today):
            if batch.concurrent_write:
                log.warning(_CONCURRENT_WRITE)
            self._last_arrival = self._timer.seconds()
            self._update(SOURCE, {})
            now = self._clock.now()
            seconds = seconds_since(batch.arrived, now)
            self._tally.add(batch, seconds)
            self._latencies.add(seconds, now)
            self._metrics.judged(batch, seconds, now)
            pages += 1
            if stop.is_set():
                return
        self._metrics.polled(self._clock.now(), pages)

    def _check_silence(self, detail: str) -> None:
        """Open an incident if no transaction has arrived for too long."""
        silent = self._timer.seconds() - self._last_arrival
        if silent > self._settings.silent_after:
            self._update(SOURCE, {"transactions": f"none for {silent:.0f} s. {detail}"})

    def _load_missing(self) -> None:
        """Load the day's tables that are missing, when the source has them, and judge the day again."""
        ask = bool(self._batcher.missing) and self._timer.seconds() >= self._ask_at
        if ask:
            self._ask_at = self._timer.seconds() + ASK_EVERY
        for table in self._batcher.load_missing(ask):
            log.info("%s is loaded now; the transactions of the day are judged again", table)
        self._report_missing()

    def _report_missing(self) -> None:
        """Open an incident for each table that is missing, and record in Dagster what is used instead."""
        problems = self._batcher.problems
        day = self._batcher.checkpoint.day
        for table in sorted(problems.keys() - set(self._told.get(SNAPSHOTS.name, ()))):
            log.warning("%s: %s", table, problems[table])
            instead = self._batcher.missing[table].instead
            metadata = {"snapshot used": str(instead or "none"), "reason": problems[table]}
            self._instance.report_runless_asset_event(dg.AssetObservation(key(table), partition=day, metadata=metadata))
        self._update(SNAPSHOTS, problems)

    def _start_reconciliation(self) -> None:
        """Run every asset for today and for the days with late-arriving data, and delete expired files."""
        spans: list[Span] = []
        days: list[str] = []
        if self._settings.scheduler == "dagster":
            today = self._clock.today()
            late_days = self._batcher.checkpoint.late_days[-MAX_LATE_DAYS_PER_RUN:]
            spans, days = days_to_run(today, late_days, self._settings.first_day), [*late_days, today.isoformat()]
        self._batcher.begin_reconciliation(days)
        try:
            self._reconciler.start(spans)
        except BaseException:
            self._batcher.end_reconciliation(complete=False)
            raise

    def _end_reconciliation(self, outcome: Outcome, lasted: float) -> None:
        """Note what came of a reconciliation that has lasted so many seconds."""
        for span, seconds in outcome.reconciled:
            log.info("Reconciled %s: every asset materialized in %.0f s", span, seconds)
            self._metrics.reconciliations.labels("succeeded").observe(seconds)
        if outcome.failed:
            log.error(outcome.failed)
            before = sum(seconds for _, seconds in outcome.reconciled)
            self._metrics.reconciliations.labels("failed").observe(max(0.0, lasted - before))
        if outcome.cancelled:
            log.info("Reconciliation cancelled, because the watch was stopped")
        self._batcher.end_reconciliation(outcome.complete)
        self._report_missing()
        deleted = delete_old_runs(self._instance, TAG, KEPT_RUNS, self._clock)
        if deleted:
            log.info("Deleted %d old runs", deleted)
        if outcome.problem:
            raise FraudError(outcome.problem)

    def _vacuum(self) -> None:
        vacuum(self._engine, self._warehouse, self._settings.keep_days)

    def _report(self) -> None:
        """Log what arrived since the last report, and record it in Dagster and in `latencies`."""
        self._step("recording latencies", lambda: self._latencies.write(self._warehouse))
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
        if self._batcher.unjudged_days:
            line += f"; late transactions of {self._batcher.unjudged_days:,} days before yesterday wait to be judged"
        log.info(line)
        self._check_rejected_share(tally)
        for table, missing in self._batcher.missing.items():
            metadata[f"{table} used"] = dg.MetadataValue.text(f"snapshot of {missing.instead}" if missing.instead else "none")

        def record() -> None:
            for table in REPORTED:
                event = dg.AssetMaterialization(key(table), partition=day, metadata=metadata)
                self._instance.report_runless_asset_event(event)

        self._step("reporting to Dagster", record)

    def _check_rejected_share(self, tally: Tally) -> None:
        limit = self._settings.rejected_limit
        if tally.rejected / tally.served <= limit:
            self._update(REJECTED, {})
        elif tally.served >= MIN_ROWS:
            detail = f"{tally.rejected:,} of {tally.served:,} rows since the last report; the limit is {limit:.0%}."
            self._update(REJECTED, {TRANSACTIONS.table.name: detail})


@dataclass(frozen=True)
class _Failure:
    """The last error of a step, and since when it fails, by the timer."""

    error: Exception
    since: float

    def is_incident(self, now: float) -> bool:
        return not isinstance(self.error, _EXPECTED) or now - self.since >= FAILING_AFTER

    def __str__(self) -> str:
        return str(self.error) if isinstance(self.error, _EXPECTED) else f"{type(self.error).__name__}: {self.error}"


def _pause(failures: int, error: Exception) -> float:
    """Seconds before a failed poll is retried: 1, 2, 4 … 30, or more if the source asks for it.

    Args:
        failures: how many polls before it failed.
    """
    asked = min(error.wait, LONGEST_RETRY_AFTER) if isinstance(error, SourceError) else 0.0
    return max(min(2.0 ** min(failures, 10), LONGEST_PAUSE), asked)


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
    metrics_port: int | None = None,
    standby: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    timer: Timer | None = None,
    stream: Stream | None = None,
) -> None:
    """Load and judge transactions as they arrive, until `stop` is set; see `Watch`. Progress is logged to `fraud_assets.live`.

    Args:
        metrics_port: port of the loopback interface at which Prometheus reads metrics; None serves none.
        standby: wait while another process watches the warehouse, and take over when it ends.
        stream: how Spark reads the topic of the transactions. They are then judged by whole days, in the warehouse.

    Raises:
        SettingsError, RuleError, NotAWarehouse, BadCheckpoint, AlreadyWatched, PortInUse: before anything is started.
    """
    file = streamed_source(settings, stream) if stream else None
    rule_book(settings)  # a standby that cannot start says so now
    metrics = WatchMetrics((SOURCE, REJECTED, SNAPSHOTS, FAILURES))
    with (
        dagster_instance(settings) as instance,
        only_watch(settings.state_folder, clock, stop if standby else None) as is_ours,
        # one attempt per request: the watch itself decides how long to pause
        open_source(settings, attempts=1, file=file) as source,
    ):
        if is_ours:
            with serving(metrics, metrics_port) if metrics_port else nullcontext():
                timer = timer or Timer()
                Watch(settings, instance, source, every, reconcile, clock, timer, metrics, stream is not None).run(stop)


def give_up(settings: Settings) -> None:
    """Close the record of a run in progress, before the process is ended with work that does not stop."""
    log.warning("The work in progress does not stop and is given up. Nothing is half written; the next start makes up for it")
    try:
        with dagster_instance(settings) as instance:
            cancel_abandoned_runs(instance, TAG)
    except Exception as error:  # the process ends now, and the next one closes the record
        log.warning("The record of the run is closed by the next start: %s", error)
    for handler in logging.getLogger().handlers:
        handler.flush()
