"""`fraud watch`: the live path, kept running; what it did told to Dagster; and a run of the graph now and then."""

from __future__ import annotations

import datetime as dt
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential
from tenacity.nap import sleep_using_event

from fraud_assets.definitions import advisory_checks, watched_tables
from fraud_assets.defs.asset_specs import key
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import vacuum
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.live.latencies import Latencies
from fraud_assets.live.micro_batch import TRANSACTIONS, MicroBatch, MicroBatcher
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

TAG = {"fraud/started_by": "watch"}
REPORT_EVERY = 60.0
"""Seconds between two reports to Dagster: its events are kept, so one a look would fill the disk."""
REPORTED = (TRANSACTIONS.table.name, FRAUD_ALERTS.name)
"""Tables that are reported; the others are told of by runs of the graph."""
SHARE_OF_RUNS = 0.03
"""Of the time, that runs of the graph may take. They hold the live path up, so a longer one comes less often. Under 0.05, and
with what is caught up after a run: else more than one in twenty transactions waits for a run."""
KEPT_RUNS = dt.timedelta(days=1)
"""How long a run of ours is kept that a later one has made superfluous."""
CHECKPOINT_FILE = "watch.json"
LONGEST_PAUSE = 30.0
_OVERTAKEN = "Another run has replaced the live day; it is read again from its beginning"
SOURCE = IncidentKind(
    "source",
    "Nothing arrives",
    "Arriving again",
    "What happens meanwhile is judged only after it has arrived. Is the source, or the way to it, down?",
)
REJECTED = IncidentKind(
    "rejected",
    "Many rows are refused",
    "Few rows are refused again",
    "Refused rows are kept, and judged by no rule. `transactions_rejected` has them, with the claims they broke.",
)
ENOUGH = 50
"""Rows in a minute, of which a share says something."""


@dataclass
class Tally:
    """What came since the last report."""

    served: int = 0
    rejected: int = 0
    seconds: list[pa.Array] = field(default_factory=list)

    def add(self, batch: MicroBatch, seconds: pa.Array) -> None:
        self.served += batch.served
        self.rejected += batch.rejected
        self.seconds.append(seconds)

    def quantiles(self) -> tuple[float, float] | None:
        """Seconds from arrival at the source to judged in the lake: the median, and the 95th percentile."""
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
    """Looks at the source again and again, until it is told to stop.

    Args:
        every: seconds between the beginnings of two looks.
        reconcile: seconds between two runs of the graph; longer where a run takes more than `SHARE_OF_RUNS` of them.
        say: is told, in a sentence, each minute what came and whenever something changes.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        source: SourceClient,
        every: float,
        reconcile: float,
        say: Callable[[str], None],
    ) -> None:
        engine = Engine(read_rule_book(overrides=settings.rules_file))
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._every = every
        self._between_runs = reconcile
        self._say = say
        self._warehouse = open_warehouse(settings.warehouse, settings.warehouse_password)
        self._live = MicroBatcher(
            engine,
            source,
            self._warehouse,
            settings.state_folder / CHECKPOINT_FILE,
            settings.first_day,
            settings.rejected_limit,
        )
        self._health = HealthMonitor(settings, instance, self._warehouse, watched_tables(engine), advisory_checks(engine))
        self._heard = time.monotonic()
        self._tally = Tally()
        self._latencies = Latencies()

    def run(self, stop: Event) -> None:
        """Look until `stop` is set; what is under way is ended first."""
        # in a thread of its own: a target that hangs is not to hold up what arrives
        sending = Thread(target=self._send, args=(stop,), name="messages")
        sending.start()
        # what is there now stays to the end: not to be looked through for garbage again and again
        gc.collect()
        gc.freeze()
        try:
            self._poll_and_reconcile(stop)
        finally:
            gc.unfreeze()
            stop.set()
            sending.join()
            self._warehouse.close()

    def _send(self, stop: Event) -> None:
        more = True
        while more:
            more = not stop.wait(1.0)
            for sentence in self._health.outbox.send():
                self._say(sentence)

    def _poll_and_reconcile(self, stop: Event) -> None:
        run_at = time.monotonic() + self._between_runs
        report_at = time.monotonic() + REPORT_EVERY
        while not stop.is_set():
            began = time.monotonic()
            self._poll_until_it_answers(stop)
            self._tell_if_silent("It answers, and has nothing new.")
            if time.monotonic() >= report_at:
                self._report()
                self._try(self._tell_people)
                report_at = time.monotonic() + REPORT_EVERY
            if time.monotonic() >= run_at and not stop.is_set():
                run_began = time.monotonic()
                if self._settings.scheduler == "dagster":
                    self._run_graph()
                    self._try(self._tell_people)
                self._try(self._clean)
                took = time.monotonic() - run_began
                run_at = time.monotonic() + max(self._between_runs, took / SHARE_OF_RUNS)
            stop.wait(max(0.0, began + self._every - time.monotonic()))
        self._report()

    def _poll_until_it_answers(self, stop: Event) -> None:
        looking = Retrying(
            retry=retry_if_exception_type((SourceError, HiveIOError)),
            wait=_pause,
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            before_sleep=self._say_why,
            retry_error_callback=self._say_why,
        )
        looking(self._poll, stop)

    def _say_why(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._say(f"{error}; the next look in {state.upcoming_sleep:.0f} s")
        self._tell_if_silent(f"The last answer: {error}")

    def _poll(self, stop: Event) -> None:
        today = dt.datetime.now(dt.UTC).date()
        if self._live.concurrent_write():
            self._say(_OVERTAKEN)
        for batch in self._live.poll(today):
            if batch.concurrent_write:
                self._say(_OVERTAKEN)
            self._heard = time.monotonic()
            self._health.incidents.update(SOURCE, {})
            now = dt.datetime.now(dt.UTC)
            seconds = seconds_since(batch.arrived, now)
            self._tally.add(batch, seconds)
            self._latencies.add(seconds, now)
            if stop.is_set():
                return

    def _tell_if_silent(self, why: str) -> None:
        silent = time.monotonic() - self._heard
        if silent > self._settings.silent_after:
            self._health.incidents.update(SOURCE, {"transactions": lambda: f"none for {silent:.0f} s. {why}"})

    def _run_graph(self) -> None:
        """Bring today, and the days that were reopened, through every asset."""
        today = dt.datetime.now(dt.UTC).date()
        reopened = self._live.checkpoint.reopened
        self._live.expect_writes()
        for span in days_to_run(today, reopened, self._settings.first_day):
            try:
                report = run_days(self._settings, span, tags=TAG)
            except RunFailed as error:
                self._say(f"The run of {span} failed, and is tried again later: {error}")
                return
            self._say(f"Ran {span} through every asset in {report.seconds:.0f} s")
        self._live.mark_reconciled(reopened)
        gone = delete_old_runs(self._instance, TAG, KEPT_RUNS)
        if gone:
            self._say(f"Deleted {gone} old runs")

    def _try(self, step: Callable[[], None]) -> None:
        """What can wait, if the warehouse fails: nothing is lost, and the next time does it."""
        try:
            step()
        except HiveIOError as error:
            self._say(f"{error}; tried again later")

    def _tell_people(self) -> None:
        self._health.check(dt.datetime.now(dt.UTC))

    def _clean(self) -> None:
        vacuum(self._engine, self._warehouse, self._settings.keep_days)

    def _report(self) -> None:
        """Tell Dagster, and whoever reads along, what came since the last report."""
        self._try(lambda: self._latencies.write(self._warehouse))
        tally, self._tally = self._tally, Tally()
        day = self._live.checkpoint.day
        if not tally.served or day is None:
            return
        told: dict[str, dg.MetadataValue] = {
            "rows served": dg.MetadataValue.int(tally.served),
            "rows rejected": dg.MetadataValue.int(tally.rejected),
        }
        line = f"{tally.served:,} transactions, {tally.rejected:,} refused"
        quantiles = tally.quantiles()
        if quantiles is not None:
            told["seconds from arrival, median"], told["seconds from arrival, 95 %"] = map(dg.MetadataValue.float, quantiles)
            line += f"; judged {quantiles[0]:.1f} s after they arrived, 95 % within {quantiles[1]:.1f} s"
        self._say(line)
        share, limit = tally.rejected / tally.served, self._settings.rejected_limit
        if share <= limit:
            self._health.incidents.update(REJECTED, {})
        elif tally.served >= ENOUGH:
            said = f"{tally.rejected:,} of {tally.served:,} rows in a minute; the limit is {limit:.0%}."
            self._health.incidents.update(REJECTED, {TRANSACTIONS.table.name: lambda: said})
        for table in REPORTED:
            event = dg.AssetMaterialization(key(table), partition=day, metadata=told)
            self._instance.report_runless_asset_event(event)


def _pause(state: RetryCallState) -> float:
    """Seconds until a look that failed is tried again: 1, 2, 4 … 30, and not before the source asks to be asked again."""
    error = state.outcome.exception() if state.outcome else None
    return max(wait_exponential(min=1, max=LONGEST_PAUSE)(state), error.wait if isinstance(error, SourceError) else 0.0)


def days_to_run(today: dt.date, reopened: Sequence[str], first_day: dt.date) -> list[Span]:
    """Ranges of days, in order: today, the reopened days, and the day after each, which looks back on it."""
    late = [dt.date.fromisoformat(ds) for ds in reopened]
    return ranges(day for day in {today, *late, *(day + DAY for day in late)} if first_day <= day <= today)


def watch(settings: Settings, stop: Event, *, every: float, reconcile: float, say: Callable[[str], None]) -> None:
    """Look for transactions that arrived, and bring and judge them, until `stop` is set; see `Watch`.

    Raises:
        SettingsError, RuleError, NotAWarehouse, BadCheckpoint: nothing was begun.
    """
    # one try a look: between looks, the watch itself decides how long to wait
    with dagster_instance(settings) as instance, SourceClient(settings.source_url, attempts=1) as source:
        Watch(settings, instance, source, every, reconcile, say).run(stop)
