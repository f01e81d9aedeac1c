"""The asset graph as neutral entities, read from Dagster's definitions: no Airflow in it, and nothing of this pipeline.

An `AssetGraph` says what there is; `tasks` cuts it into what a scheduler starts. What daily runs in the order of time cannot
keep is refused here, so that no DAG file promises it.
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
    """The asset graph has something that DAGs of daily runs cannot keep; the message names the assets and what to change."""


@dataclass(frozen=True)
class Check:
    """A claim about an asset. If it is blocking, nothing downstream starts when it fails."""

    name: str
    description: str
    blocking: bool


@dataclass(frozen=True)
class Read:
    """That an asset reads another, of the days `first` to `last` relative to its own: 0 is the same day, -1 the day before."""

    asset: str
    first: int
    last: int

    @property
    def same_day(self) -> bool:
        """Whether it must come after the other within a day."""
        return self.last == 0

    @property
    def latest_past_day(self) -> int | None:
        """The latest earlier day that it reads, counted from its own; None if it does not look back."""
        return min(self.last, -1) if self.first < 0 else None


@dataclass(frozen=True)
class Retries:
    """How often a step is tried again, and how long after."""

    most: int
    delay: dt.timedelta


@dataclass(frozen=True)
class Asset:
    """An asset that Dagster materializes.

    Attributes:
        key: like `fintech/transactions`.
        step: the step that makes it.
        outside: keys that it reads and nobody here makes; they are there, or they are not.
        freshness: what its policy says, for readers.
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
    """The assets of a job, by key. All have one partition a UTC day, from `first_day` on, today's included."""

    job: str
    first_day: dt.date
    assets: Mapping[str, Asset]


@dataclass(frozen=True)
class Task:
    """Assets that are materialized together.

    Attributes:
        upstream: names of the tasks whose day it reads, sorted: they come before it within a day.
        after: names of the tasks of which it reads earlier days only, sorted. They too come before it within a day, as in a
            Dagster run: on the first day, it is they that make the tables.
        waits: assets, and the latest earlier day of each that must be there before it starts.
    """

    name: str
    group: str
    assets: tuple[Asset, ...]
    upstream: tuple[str, ...]
    after: tuple[str, ...]
    waits: tuple[tuple[str, int], ...]

    @property
    def retries(self) -> Retries | None:
        """The most patient of its assets' policies."""
        known = [asset.retries for asset in self.assets if asset.retries]
        return max(known, key=lambda r: (r.most, r.delay), default=None)

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(sorted({owner for asset in self.assets for owner in asset.owners}))


class Grain(Enum):
    """How much a task does: what Dagster makes in a step, or a whole group of assets."""

    STEP = "step"
    STAGE = "stage"


# --- reading Dagster --------------------------------------------------------------------------------------------------


def read_graph(definitions: dg.Definitions, job: str) -> AssetGraph:
    """The assets that a job materializes.

    Raises:
        CannotExport: an asset or an edge that daily runs, one after the other, cannot keep; both ends are named.
    """
    graph = definitions.resolve_asset_graph()
    layer = definitions.resolve_job_def(job).asset_layer
    checked = {check for each in layer.data for check in each.assets_def.check_keys}
    made = {key for key in layer.selected_asset_keys if graph.get(key).is_materializable}
    if not made:
        raise CannotExport(f"The job {job} materializes nothing, so there is nothing to schedule")
    first_days = [_first_day(graph.get(key), made) for key in sorted(made)]
    assets = [_asset(graph, key, made, checked) for key in sorted(made)]
    # Dagster sees to it that the partitioned assets of a job have one partitions definition
    return AssetGraph(job, first_days[0], {asset.key: asset for asset in assets})


def _first_day(node: Any, made: Set[dg.AssetKey]) -> dt.date:
    partitions = node.partitions_def
    joined = sorted((node.parent_keys | node.child_keys) & made - {node.key})
    asset = _text(node.key) + (f", which has an edge with {_text(joined[0])}," if joined else "")
    if partitions is None:
        raise CannotExport(f"{asset} has no partitions; a run of a DAG is a day, so give it a partition a day")
    if (
        not isinstance(partitions, dg.TimeWindowPartitionsDefinition)
        or not partitions.is_basic_daily
        or partitions.timezone != "UTC"
        or partitions.fmt != KEY_FORMAT
    ):
        raise CannotExport(
            f"{asset} has the partitions {partitions}; only UTC days written like 2026-01-31 can be a run of a DAG"
        )
    if partitions.end_offset < 1:
        raise CannotExport(f"{asset} has no partition for today; give its partitions definition end_offset=1")
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
    # the two kinds of policy have no public class in Dagster 1.13, only public constructors
    window, cron = getattr(policy, "fail_window", None), getattr(policy, "deadline_cron", None)
    if window:
        return f"stale {window.to_timedelta()} (h:mm:ss) after it was last made"
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
            f"{edge} through {type(mapping).__name__}, and no order of days keeps that; "
            "use TimeWindowPartitionMapping with the number of days that it looks back"
        )
    if mapping.end_offset > 0:
        raise CannotExport(f"{edge} of later days (end_offset={mapping.end_offset}), which have not run when its own day runs")
    if key == parent and mapping.end_offset == 0:
        raise CannotExport(f"{edge}, itself, on the same day")
    return Read(_text(parent), mapping.start_offset, mapping.end_offset)


def _text(key: dg.AssetKey) -> str:
    return key.to_user_string()


# --- cutting it into tasks --------------------------------------------------------------------------------------------


def tasks(graph: AssetGraph, grain: Grain) -> Sequence[Task]:
    """The tasks of a day, each after those that it needs.

    Raises:
        CannotExport: at this grain, two tasks would each have to come before the other.
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
    """Names so that each comes after what it needs; among those that are free, by name: always the same order."""
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError as error:
        one, other = error.args[1][:2]
        raise CannotExport(
            f"{members[one][0].key} and {members[other][0].key} are in tasks ({one}, {other}) that each need the other "
            "within a day; export with a finer grain, or regroup them"
        ) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
