"""Triggers: what a deferred task waits for, without a worker slot. They run in Airflow's triggerer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from airflow_bridge.dagster_graphql import DagsterClient

T = TypeVar("T")


def pauses(first: float = 1.0, longest: float = 15.0) -> Iterator[float]:
    """Seconds between looks: short runs are seen soon, long ones do not load the webserver."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


def not_ready(client: DagsterClient, waits: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those (asset, partition) that are still to come."""
    return [(asset, partition) for asset, partition in waits if not client.partition_state(asset, partition).ready]
