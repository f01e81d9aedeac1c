"""Reconciliation runs of `fraud watch`: every asset for today and for the days with late-arriving data.

Where the warehouse allows it, they run in a process of their own, beside the live path, which goes on meanwhile. Otherwise they
and the live path take turns.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import dagster as dg

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.configured_rules import rule_book
from fraud_assets.defs.consistency_checks import STARTED_BY
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.maintenance import vacuum
from fraud_assets.runs.batch import RunCancelled, RunFailed, run_days
from fraud_assets.runs.retention import cancel_abandoned_runs
from fraud_assets.settings import Settings
from hive_io import Capability, HiveIOError, Span, Warehouse
from hive_io.locations import open_warehouse

TAG = {STARTED_BY: "watch"}
"""Tag of reconciliation runs."""
NICENESS = 10
"""How far a process of its own steps back where processors are scarce: the live path comes first."""
_ENDS_WITHIN = 8.0
"""Seconds in which a process that was told to end closes the record of its run."""
_LOOK_EVERY = 0.1
_NEEDED = {Capability.CONFLICT_DETECTION, Capability.TIME_TRAVEL}
"""What a warehouse must have for a run beside the live path."""


@dataclass(frozen=True)
class Outcome:
    """What came of the runs of a reconciliation.

    Attributes:
        reconciled: the spans whose run succeeded, each with its seconds.
        complete: whether that is all of them.
        failed: why a run failed, which its record in Dagster says too.
        problem: what else went wrong.
        cancelled: True if a run was cancelled.
    """

    reconciled: Sequence[tuple[Span, float]] = ()
    complete: bool = False
    failed: str | None = None
    problem: str | None = None
    cancelled: bool = False


class Reconciler:
    """Starts reconciliations, one at a time.

    Args:
        clock: the time of the runs. Only with the system clock can they run in a process of their own.
        cancelled: asked during a run that is waited for; True cancels it.

    Attributes:
        is_beside: whether runs have a process of their own. It deletes expired files too.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        warehouse: Warehouse,
        clock: Clock,
        cancelled: Callable[[], bool],
    ) -> None:
        self.is_beside = clock is SYSTEM_CLOCK and warehouse.capabilities >= _NEEDED
        self._settings = settings
        self._instance = instance
        self._clock = clock
        self._cancelled = cancelled
        self._process: SpawnProcess | None = None
        self._results: Connection | None = None
        self._outcome: Outcome | None = None

    def start(self, spans: Sequence[Span]) -> None:
        """Run every asset for each span: to the end, or beside the caller."""
        if not self.is_beside:
            self._outcome = _reconciled(self._settings, spans, self._clock, self._cancelled, beside=False)
            return
        # not forked: threads of the caller hold locks, and DuckDB and Dagster have threads of their own
        context = multiprocessing.get_context("spawn")
        received, sent = context.Pipe(duplex=False)
        process = context.Process(target=_in_own_process, args=(self._settings, spans, sent), name="reconciliation")
        process.start()
        sent.close()
        self._process, self._results = process, received

    @property
    def is_running(self) -> bool:
        """Whether a reconciliation was started whose outcome is not known yet."""
        return self._process is not None or self._outcome is not None

    def outcome(self) -> Outcome | None:
        """What came of the reconciliation, once; None if there is none, or it has not ended."""
        if self._process is not None:
            is_alive = self._process.is_alive()
            # received also while it is alive: its end may wait for the reader
            self._receive()
            if not is_alive:
                self._close(self._process)
        if self._process is not None:
            return None
        outcome, self._outcome = self._outcome, None
        return outcome

    def end(self) -> Outcome | None:
        """Wait for the end of a reconciliation, or cancel it as soon as `cancelled` says so; return what came of it."""
        # not for expired files: their deletion can be broken off
        while self._process is not None and self._process.is_alive() and not self._cancelled() and self._outcome is None:
            self._process.join(_LOOK_EVERY)
            self._receive()
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(_ENDS_WITHIN)
            self._process.kill()
            self._process.join()
        return self.outcome()

    def _receive(self) -> None:
        with suppress(EOFError):
            while self._results is not None and self._results.poll():
                received: Outcome = self._results.recv()
                self._outcome = replace(self._outcome, problem=received.problem) if self._outcome else received

    def _close(self, process: SpawnProcess) -> None:
        """Note what came of a process that has ended."""
        if self._results is not None:
            self._results.close()
        self._process = self._results = None
        if self._outcome is None:
            cancel_abandoned_runs(self._instance, TAG)
            killed = f"The process of a reconciliation ended with exit code {process.exitcode}"
            self._outcome = Outcome(cancelled=True) if self._cancelled() else Outcome(problem=killed)


def _in_own_process(settings: Settings, spans: Sequence[Span], results: Connection) -> None:
    # Ctrl-C in a terminal is for the caller, which decides how long it waits
    os.setsid()
    os.nice(NICENESS)
    caller = multiprocessing.parent_process()
    assert caller is not None, "the process was spawned"
    outcome = _reconciled(settings, spans, SYSTEM_CLOCK, lambda: not caller.is_alive(), beside=True)
    results.send(outcome)
    if not outcome.cancelled:
        try:
            warehouse = open_warehouse(settings.warehouse, settings.warehouse_password)
            vacuum(Engine(rule_book(settings)), warehouse, settings.keep_days)
        except (HiveIOError, OSError) as error:
            results.send(Outcome(problem=f"Expired files are not deleted: {error}"))


def _reconciled(
    settings: Settings, spans: Sequence[Span], clock: Clock, cancelled: Callable[[], bool], *, beside: bool
) -> Outcome:
    """Run every asset for each span, up to the first run that does not succeed."""
    reconciled: list[tuple[Span, float]] = []
    for span in spans:
        try:
            report = run_days(settings, span, tags=TAG, clock=clock, cancelled=cancelled, beside=beside)
        except RunCancelled:
            return Outcome(reconciled, cancelled=True)
        except RunFailed as error:
            return Outcome(reconciled, failed=f"Reconciliation run of {span} failed; retrying at the next one: {error}")
        reconciled.append((span, report.seconds))
    return Outcome(reconciled, complete=True)
