"""Rounds of the background work that read or write the warehouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fraud_assets.cases.lake import write_decisions
from fraud_assets.cases.store import CaseStore
from fraud_assets.cases.sync import sync_alerts
from fraud_assets.clock import Clock
from hive_io import Warehouse

T = TypeVar("T")


class AlertsToCases:
    """Takes the alerts of days that changed.

    Args:
        open_lake: opens the warehouse to read it; called again after a failure.
    """

    def __init__(self, store: CaseStore, open_lake: Callable[[], Warehouse], clock: Clock) -> None:
        self._store = store
        self._lake = _Opened(open_lake)
        self._clock = clock

    def __call__(self) -> str:
        done = self._lake.use(lambda lake: sync_alerts(self._store, lake, self._clock.now()))
        said = f"{done.opened:,} cases opened, {done.raised:,} raised, {done.merged:,} alerts added, {done.reopened:,} woken"
        return f"{said}, {done.hidden:,} alerts suppressed" if done.hidden else said


class DecisionsToLake:
    """Writes the decisions that the warehouse lacks.

    Args:
        open_lake: opens the warehouse to write to it; called again after a failure.
    """

    def __init__(self, store: CaseStore, open_lake: Callable[[], Warehouse]) -> None:
        self._store = store
        self._lake = _Opened(open_lake)

    def __call__(self) -> str:
        written = self._lake.use(lambda lake: write_decisions(self._store, lake))
        return f"{written:,} decisions written"


class _Opened:
    """A warehouse that is opened when it is first used, and again after a failure."""

    def __init__(self, open_lake: Callable[[], Warehouse]) -> None:
        self._open = open_lake
        self._lake: Warehouse | None = None

    def use(self, work: Callable[[Warehouse], T]) -> T:
        lake, self._lake = self._lake or self._open(), None
        done = work(lake)
        self._lake = lake
        return done
