"""The asset graph as neutral entities, read from Dagster's definitions. Independent of Airflow and of this pipeline.

`read_graph` returns an `AssetGraph`; `tasks` groups its assets into the tasks that a scheduler starts. Both reject a graph that
daily runs in chronological order cannot execute correctly, so no such DAG file is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Any

import dagster as dg

from airflow_bridge.errors import BridgeError

KEY_FORMAT = "%Y-%m-%d"


class CannotExport(BridgeError):
    """Daily DAG runs cannot execute the asset graph correctly. The message names the assets and what to change."""


@dataclass(frozen=True)
class Check:
    """An asset check. If a blocking check fails, nothing downstream starts."""

    name: str
    description: str
    blocking: bool


@dataclass(frozen=True)
class Read:
    """A dependency on an asset's days `first` to `last`, as offsets from the reader's day; -1 is the day before."""

    asset: str
    first: int
    last: int

    @property
    def same_day(self) -> bool:
        """True if the reader must run after the other asset within a day."""
        return self.last == 0

    @property
    def latest_past_day(self) -> int | None:
        """Offset in days of the latest earlier day that is read; None if no earlier day is read."""
        return min(self.last, -1) if self.first < 0 else None


@dataclass(frozen=True)
class Retries:
    """Retry policy of a step: the number of retries and the delay before each."""

    most: int
    delay: dt.timedelta


@dataclass(frozen=True)
class Asset:
    """An asset that Dagster materializes.

    Attributes:
        key: slash-separated, `fintech/transactions`.
        step: name of the Dagster step that materializes it.
        outside: keys of assets that it reads and the job does not materialize; no task waits for them.
        freshness: freshness policy in words; None without one.
    """

    key: str
    step: str
    group: str
    description: str
    owners: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]
    reads: tuple[Read, ...]
    outside: tuple[str, ...]
    checks: tuple[Check, ...]
    retries: Retries | None
    freshness: str | None


@dataclass(frozen=True)
class AssetGraph:
    """The assets of a job, by key. Each has one partition per UTC day, from `first_day` to today."""

    job: str
    first_day: dt.date
    assets: Mapping[str, Asset]


@dataclass(frozen=True)
class Task:
    """Assets that are materialized together.

    Attributes:
        upstream: sorted names of the tasks whose same day it reads; they run before it.
        after: sorted names of the tasks whose earlier days alone it reads. They run before it too, as in a Dagster run:
            on the first day, they create the tables.
        waits: assets, each with the offset in days of the latest earlier partition that must exist before the task starts.
    """

    name: str
    group: str
    assets: tuple[Asset, ...]
    upstream: tuple[str, ...]
    after: tuple[str, ...]
    waits: tuple[tuple[str, int], ...]

    @property
    def retries(self) -> Retries | None:
        """The policy with the most retries among its assets, then the longest delay; None if no asset has one."""
        known = [asset.retries for asset in self.assets if asset.retries]
        return max(known, key=lambda r: (r.most, r.delay), default=None)

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(sorted({owner for asset in self.assets for owner in asset.owners}))


class Grain(Enum):
    """Size of a task: a Dagster step, or a whole asset group."""

    STEP = "step"
    STAGE = "stage"


# --- reading Dagster --------------------------------------------------------------------------------------------------


def read_graph(definitions: dg.Definitions, job: str) -> AssetGraph:
    """The assets that a job materializes.

    Raises:
        CannotExport: daily runs in chronological order cannot execute an asset or an edge; the message names both ends.
    """
    graph = definitions.resolve_asset_graph()
    layer = definitions.resolve_job_def(job).asset_layer
    checked = {check for each in layer.data for check in each.assets_def.check_keys}
    made = {key for key in layer.selected_asset_keys if graph.get(key).is_materializable}
    if not made:
        raise CannotExport(f"The job {job} materializes no assets; add assets to its selection, or export another job")
    first_days = [_first_day(graph.get(key), made) for key in sorted(made)]
    assets = [_asset(graph, key, made, checked) for key in sorted(made)]
    # Dagster guarantees that the partitioned assets of a job share one partitions definition
    return AssetGraph(job, first_days[0], {asset.key: asset for asset in assets})


def _first_day(node: Any, made: Set[dg.AssetKey]) -> dt.date:
    partitions = node.partitions_def
    joined = sorted((node.parent_keys | node.child_keys) & made - {node.key})
    asset = _text(node.key) + (f", which has an edge with {_text(joined[0])}," if joined else "")
    if partitions is None:
        raise CannotExport(f"{asset} has no partitions; each DAG run is a day, so give the asset daily partitions")
    if (
        not isinstance(partitions, dg.TimeWindowPartitionsDefinition)
        or not partitions.is_basic_daily
        or partitions.timezone != "UTC"
        or partitions.fmt != KEY_FORMAT
    ):
        raise CannotExport(
            f"{asset} has the partitions {partitions}; a DAG run needs daily partitions in UTC with keys like 2026-01-31"
        )
    if partitions.end_offset < 1:
        raise CannotExport(f"{asset} has no partition for today; set end_offset=1 in its partitions definition")
    return partitions.start.date()


def _asset(graph: Any, key: dg.AssetKey, made: Set[dg.AssetKey], checked: Set[dg.AssetCheckKey]) -> Asset:
    node = graph.get(key)
    step = node.assets_def.node_def
    policy = step.retry_policy if isinstance(step, dg.OpDefinition) else None
    parents = sorted(node.parent_keys)
    return Asset(
        key=_text(key),
        step=step.name,
        group=node.group_name,
        description=node.description or "",
        owners=tuple(sorted(node.owners)),
        tags=tuple(sorted((k, v) for k, v in node.tags.items() if not k.startswith("dagster/"))),
        kinds=tuple(sorted(node.kinds)),
        reads=tuple(_read(graph, key, parent) for parent in parents if parent in made),
        outside=tuple(_text(parent) for parent in parents if parent not in made),
        checks=tuple(_check(graph.get(check)) for check in sorted(node.check_keys & checked, key=lambda c: c.name)),
        retries=Retries(policy.max_retries, dt.timedelta(seconds=policy.delay or 0)) if policy else None,
        freshness=_freshness(node.freshness_policy),
    )


def _check(node: Any) -> Check:
    return Check(node.key.name, node.description or "", node.blocking)


def _freshness(policy: dg.FreshnessPolicy | None) -> str | None:
    # Dagster 1.13 has public constructors for the two kinds of policy, but no public classes
    window, cron = getattr(policy, "fail_window", None), getattr(policy, "deadline_cron", None)
    if window:
        return f"stale {window.to_timedelta()} (h:mm:ss) after the last materialization"
    if cron:
        return f"due at `{cron}`, {getattr(policy, 'timezone', 'UTC')}"
    return None


def _read(graph: Any, key: dg.AssetKey, parent: dg.AssetKey) -> Read:
    mapping = graph.get_partition_mapping(key, parent)
    edge = f"{_text(key)} reads {_text(parent)}"
    if isinstance(mapping, dg.IdentityPartitionMapping):
        return Read(_text(parent), 0, 0)
    if not isinstance(mapping, dg.TimeWindowPartitionMapping):
        raise CannotExport(
            f"{edge} through {type(mapping).__name__}, which no chronological order of daily runs satisfies; "
            "use TimeWindowPartitionMapping with the lookback in days"
        )
    if mapping.end_offset > 0:
        raise CannotExport(
            f"{edge} of later days (end_offset={mapping.end_offset}), which are not materialized yet when its own day runs; "
            "set end_offset to 0 or less"
        )
    if key == parent and mapping.end_offset == 0:
        raise CannotExport(f"{edge}, itself, on the same day; set end_offset=-1 or less")
    return Read(_text(parent), mapping.start_offset, mapping.end_offset)


def _text(key: dg.AssetKey) -> str:
    return key.to_user_string()


# --- grouping assets into tasks ---------------------------------------------------------------------------------------


def tasks(graph: AssetGraph, grain: Grain) -> Sequence[Task]:
    """The tasks of a day in topological order.

    Raises:
        CannotExport: at this grain, two tasks depend on each other.
    """
    task_of = {key: asset.group if grain is Grain.STAGE else asset.step for key, asset in graph.assets.items()}
    members: dict[str, list[Asset]] = {}
    for key, asset in graph.assets.items():
        members.setdefault(task_of[key], []).append(asset)
    upstream = {
        name: {task_of[read.asset] for asset in assets for read in asset.reads if read.same_day} - {name}
        for name, assets in members.items()
    }
    before = {
        name: {task_of[read.asset] for asset in assets for read in asset.reads} - {name} for name, assets in members.items()
    }
    return [_task(name, members[name], upstream[name], before[name] - upstream[name]) for name in _in_order(before, members)]


def _task(name: str, assets: Sequence[Asset], upstream: Iterable[str], after: Iterable[str]) -> Task:
    waits: dict[str, int] = {}
    for asset in assets:
        for read in asset.reads:
            if read.latest_past_day is not None:
                waits[read.asset] = max(read.latest_past_day, waits.get(read.asset, read.latest_past_day))
    return Task(
        name, assets[0].group, tuple(assets), tuple(sorted(upstream)), tuple(sorted(after)), tuple(sorted(waits.items()))
    )


def _in_order(before: Mapping[str, set[str]], members: Mapping[str, Sequence[Asset]]) -> Sequence[str]:
    """Task names in topological order, ties broken by name, so the order is always the same."""
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError as error:
        one, other = error.args[1][:2]
        raise CannotExport(
            f"{members[one][0].key} and {members[other][0].key} are in tasks ({one}, {other}) that depend on each other "
            "within a day; export with a finer grain (--grain step), or regroup the assets"
        ) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
