"""Metrics of `fraud watch` for Prometheus, served at `/metrics` on the loopback interface."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fraud_assets.errors import FraudError
from fraud_assets.live.micro_batch import MicroBatch, MicroBatcher
from fraud_assets.monitoring.health import KINDS
from fraud_assets.monitoring.incidents import IncidentKind, IncidentLog
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS

LOOPBACK = "127.0.0.1"
BUCKETS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of the latency histogram, in seconds."""
POLLING = "polling the source"
"""The step that fails with an error of the source."""


class PortInUse(FraudError):
    """The port of the metrics cannot be listened on."""


class WatchMetrics:
    """What one `fraud watch` has counted since it began, in a registry of its own.

    Args:
        kinds: kinds of incidents that `fraud watch` opens, besides those of the pipeline's health.

    Attributes:
        failures: failed attempts, by step.
    """

    def __init__(self, kinds: tuple[IncidentKind, ...] = ()) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.served = Counter("fraud_watch_rows_served", "Rows that the source has served.", registry=self.registry)
        self.rejected = Counter("fraud_watch_rows_rejected", "Rows that violate a claim.", registry=self.registry)
        self.failures = Counter("fraud_watch_failures", "Failed attempts.", ["step"], registry=self.registry)
        self.last_poll = Gauge(
            "fraud_watch_last_poll_timestamp_seconds",
            "Time of the last poll that succeeded, or of the last page of a poll in progress.",
            registry=self.registry,
        )
        self.lag = Gauge(
            "fraud_watch_lag_seconds",
            "Seconds from arrival to judgment of the last transaction judged; 0 if nothing waits at the source.",
            registry=self.registry,
        )
        self.reconciliations = Summary(
            "fraud_watch_reconciliation_seconds", "Reconciliation runs that have ended.", ["outcome"], registry=self.registry
        )
        for outcome in ("succeeded", "failed"):
            self.reconciliations.labels(outcome)
        self.failures.labels(POLLING)
        self._latency = LatencyHistogram()
        self.registry.register(self._latency)
        self._kinds = (*KINDS, *kinds)

    def follow(self, batcher: MicroBatcher, incidents: IncidentLog) -> None:
        """Serve what these know, as it is when the metrics are asked for."""
        self.registry.register(_State(batcher, incidents, self._kinds))

    def judged(self, batch: MicroBatch, seconds: pa.Array, now: dt.datetime) -> None:
        """Count a page of arrivals.

        Args:
            seconds: latency of each transaction; NULLs are ignored.
        """
        self.served.inc(batch.served)
        self.rejected.inc(batch.rejected)
        self.last_poll.set(now.timestamp())
        waited = seconds.drop_null()
        if len(waited):
            self._latency.add(waited)
            self.lag.set(pc.min(waited).as_py())

    def polled(self, now: dt.datetime, pages: int) -> None:
        """Note a poll that has succeeded, with so many pages."""
        self.last_poll.set(now.timestamp())
        if not pages:
            self.lag.set(0)


class LatencyHistogram(Collector):
    """Seconds from arrival at the source to judgment, counted a page at a time; the library counts values one by one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = np.zeros(len(BUCKETS) + 1, dtype=np.int64)
        self._seconds = 0.0

    def add(self, seconds: pa.Array) -> None:
        """Count latencies without NULLs."""
        values = seconds.to_numpy(zero_copy_only=False)
        # a bound belongs to its bucket
        counts = np.bincount(np.searchsorted(BUCKETS, values, side="left"), minlength=len(BUCKETS) + 1)
        with self._lock:
            self._counts += counts
            self._seconds += float(values.sum())

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            counts, seconds = np.cumsum(self._counts).tolist(), self._seconds
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        yield HistogramMetricFamily(
            "fraud_watch_latency_seconds",
            "Seconds from arrival at the source to judgment, by transaction.",
            buckets=list(zip(bounds, counts, strict=True)),
            sum_value=seconds,
        )


class _State(Collector):
    """What is asked for when the metrics are read."""

    def __init__(self, batcher: MicroBatcher, incidents: IncidentLog, kinds: tuple[IncidentKind, ...]) -> None:
        self._batcher = batcher
        self._incidents = incidents
        self._kinds = kinds

    def collect(self) -> Iterator[Metric]:
        still_open = self._incidents.count_open()
        incidents = GaugeMetricFamily("fraud_incidents_open", "Incidents that are open, whatever opened them.", labels=["kind"])
        for kind in sorted({*still_open, *(kind.name for kind in self._kinds)}):
            incidents.add_metric([kind], still_open.get(kind, 0))
        yield incidents
        missing, refused = self._batcher.missing, self._batcher.refused
        snapshots = GaugeMetricFamily(
            "fraud_watch_missing_snapshots", "1 if the current day's rows of a table are not loaded.", labels=["table"]
        )
        refusals = CounterMetricFamily(
            "fraud_watch_refused_snapshots", "Loads refused for too many rejected rows.", labels=["table"]
        )
        for table in sorted(API_TABLES.keys() - {TRANSACTIONS.table.name}):
            snapshots.add_metric([table], int(table in missing))
            refusals.add_metric([table], refused[table])
        yield from (snapshots, refusals)
        yield GaugeMetricFamily(
            "fraud_watch_unjudged_days",
            "Days before yesterday with late transactions that wait to be judged.",
            value=self._batcher.unjudged_days,
        )
        yield GaugeMetricFamily(
            "fraud_watch_reopened_days",
            "Past days with late-arriving data that wait for a reconciliation run.",
            value=len(self._batcher.checkpoint.late_days),
        )


@contextmanager
def serving(metrics: WatchMetrics, port: int) -> Iterator[None]:
    """Serve the metrics on a port of 127.0.0.1.

    Raises:
        PortInUse: another program uses the port.
    """
    # a time series for each counter, of the time at which it was made
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=metrics.registry)
    except OSError as error:
        raise PortInUse(
            f"Port {port} of {LOOPBACK} cannot be used for metrics: {error.strerror}; name another with --metrics"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
