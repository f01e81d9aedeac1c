"""Renders tasks as the text of DAG files: readable Python with the imports of one Airflow version."""

from __future__ import annotations

import datetime as dt
import keyword
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from airflow_bridge.export.code_layout import Block, Call, Code, Noted, layout, paragraph
from airflow_bridge.export.graph import KEY_FORMAT, Asset, AssetGraph, Task

CLOSE_DAY = "fraud_close_day"
REFRESH_TODAY = "fraud_refresh_today"
CONNECTION = "dagster_default"
MARK = "Written by `fraud airflow export` from the asset graph: change the graph, not this file."
"""Line in every exported file, by which a later export recognizes the files that it may delete. Must not change."""

_RETRIES = 3
_RETRY_DELAY = dt.timedelta(minutes=1)
_TASK_TIMEOUT = dt.timedelta(hours=2)


# --- Airflow versions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """Imports, schedules and outlets of a DAG file for one version of Airflow.

    Attributes:
        close: schedule at midnight; a run is for the day that has just ended.
        close_starts: days from the first partition to the start date of `close`.
        refresh: hourly schedule; a run is for the day in which it starts.
    """

    imports: tuple[str, ...]
    close: Call
    close_starts: int
    refresh: Call

    def outlet(self, asset: Asset) -> Call:
        """The Airflow asset of a table. Airflow 2 identifies it by its uri, Airflow 3 by name and uri."""
        uri = "hive://" + asset.key
        if self is AIRFLOW_2:
            return Call("Dataset", (uri,))
        return Call("Asset", (asset.key.replace("/", "."), uri))


AIRFLOW_3 = Version(
    imports=("from airflow.sdk import DAG, Asset, CronPartitionTimetable, TaskGroup",),
    close=Call(
        "CronPartitionTimetable", ("0 0 * * *",), {"timezone": "UTC", "run_offset": -1, "key_format": KEY_FORMAT}, exploded=True
    ),
    close_starts=1,
    refresh=Call("CronPartitionTimetable", ("30 * * * *",), {"timezone": "UTC", "key_format": KEY_FORMAT}, exploded=True),
)
AIRFLOW_2 = Version(
    imports=(
        "from airflow.datasets import Dataset",
        "from airflow.models.dag import DAG",
        "from airflow.timetables.interval import CronDataIntervalTimetable",
        "from airflow.timetables.trigger import CronTriggerTimetable",
        "from airflow.utils.task_group import TaskGroup",
    ),
    close=Call("CronDataIntervalTimetable", ("0 0 * * *",), {"timezone": "UTC"}),
    close_starts=0,
    refresh=Call("CronTriggerTimetable", ("30 * * * *",), {"timezone": "UTC"}),
)
VERSIONS = {"3": AIRFLOW_3, "2": AIRFLOW_2}


# --- DAG files --------------------------------------------------------------------------------------------------------


def render(graph: AssetGraph, tasks: Sequence[Task], version: Version, dagster_url: str) -> Mapping[str, str]:
    """File names and texts of the two DAGs. The same graph always gives the same texts.

    Args:
        tasks: the tasks of a day in topological order.
        dagster_url: base URL of Dagster's web UI, for links to its assets.
    """
    closing = _File(
        dag_id=CLOSE_DAY,
        summary="Yesterday's partition of every asset, after the day has ended.",
        about=(
            "Runs at midnight UTC, one day at a time (`max_active_runs=1`). A task that reads earlier days waits until Dagster "
            "has materialized the latest of them (`wait_for`), and fails if that takes too long. The days before that one "
            "exist, since each of them waited in the same way. An outlet event means that the table is complete for that day."
        ),
        schedule=version.close,
        first=graph.first_day + dt.timedelta(days=version.close_starts),
        outlets=True,
    )
    refreshing = _File(
        dag_id=REFRESH_TODAY,
        summary="Today's partition of every asset, from the data so far.",
        about=(
            f"Runs every hour at minute 30. It materializes the same tables as `{CLOSE_DAY}`, which replaces the partition "
            "after midnight. It has no outlets, so a DAG that is scheduled on a table starts once, when the day is complete."
        ),
        schedule=version.refresh,
        first=graph.first_day,
        outlets=False,
    )
    return {f"{file.dag_id}.py": _file(file, graph, tasks, version, dagster_url.rstrip("/")) for file in (closing, refreshing)}


@dataclass(frozen=True)
class _File:
    dag_id: str
    summary: str
    about: str
    schedule: Call
    first: dt.date
    outlets: bool


def _file(file: _File, graph: AssetGraph, tasks: Sequence[Task], version: Version, url: str) -> str:
    names = _variables(tasks)
    groups = dict.fromkeys(task.group for task in tasks)
    has_groups = len(groups) > 1 and len(groups) < len(tasks)
    lines = [
        *_docstring(file, graph),
        "from datetime import timedelta",
        "from inspect import cleandoc",
        "",
        "import pendulum",
        *sorted(_imports(version, file, has_groups), key=lambda line: line.split()[1]),
        "",
        *layout(_dag(file, graph, groups), 0, "with ", ":"),
    ]
    for group in groups:
        indent = 4
        if has_groups:
            lines += [f'    with TaskGroup("{group}", prefix_group_id=False):']
            indent = 8
        for task in tasks:
            if task.group == group:
                lines += [*_task(task, names[task.name], file, version, graph, url, indent), ""]
    within = list(_edges(tasks, {task.name: task.upstream for task in tasks}))
    across = list(_edges(tasks, {task.name: task.after for task in tasks}))
    if within:
        lines += ["    # each task reads the same day of the tasks upstream"]
        lines += [line for edge in within for line in _edge(names, *edge)]
    if within and across:
        lines += [""]
    if across:
        lines += ["    # each task reads earlier days only (wait_for); within a day, same order as a Dagster run"]
        lines += [line for edge in across for line in _edge(names, *edge)]
    while not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _docstring(file: _File, graph: AssetGraph) -> list[str]:
    paragraphs = [file.summary, f"The Airflow DAG of the Dagster job `{graph.job}`. {file.about}", MARK]
    lines = [line for text in paragraphs for line in [*paragraph(text), ""]]
    return ['"""' + lines[0], *lines[1:-1], '"""', ""]


def _imports(version: Version, file: _File, has_groups: bool) -> Iterable[str]:
    unused = {"CronPartitionTimetable", "CronDataIntervalTimetable", "CronTriggerTimetable"} - {file.schedule.function}
    unused |= set() if file.outlets else {"Asset", "Dataset"}
    unused |= set() if has_groups else {"TaskGroup"}
    for line in version.imports:
        module, _, names = line.partition(" import ")
        used = [name for name in names.split(", ") if name not in unused]
        if used:
            yield f"{module} import {', '.join(used)}"
    yield "from airflow_bridge.in_airflow.operators import MaterializeAssets"


def _dag(file: _File, graph: AssetGraph, groups: Iterable[str]) -> Call:
    day = file.first
    return Call(
        "DAG",
        (),
        {
            "dag_id": file.dag_id,
            "description": file.summary,
            "doc_md": Code("__doc__"),
            "schedule": file.schedule,
            "start_date": Call("pendulum.datetime", (day.year, day.month, day.day), {"tz": "UTC"}),
            "catchup": False,
            "max_active_runs": 1,
            "tags": sorted({"dagster", "fraud", *groups}),
            "default_args": {
                "dagster_conn_id": CONNECTION,
                "job_name": graph.job,
                "deferrable": True,
                "execution_timeout": _duration(_TASK_TIMEOUT),
                "retries": _RETRIES,
                "retry_delay": _duration(_RETRY_DELAY),
            },
        },
        exploded=True,
    )


def _task(task: Task, variable: str, file: _File, version: Version, graph: AssetGraph, url: str, indent: int) -> list[str]:
    arguments: dict[str, object] = {
        "task_id": task.name,
        "asset_keys": [asset.key for asset in task.assets],
        "owner": ", ".join(owner.removeprefix("team:") for owner in task.owners) or "airflow",
    }
    if task.retries:
        arguments |= {"retries": task.retries.most, "retry_delay": _duration(task.retries.delay)}
    if task.waits:
        arguments["wait_for"] = Noted(list(task.waits), _looks_back(task))
    if file.outlets:
        arguments["outlets"] = [version.outlet(asset) for asset in task.assets]
    doc = "\n\n".join(_about(asset, url, titled=len(task.assets) > 1) for asset in task.assets)
    arguments["doc_md"] = Block(doc)
    return layout(Call("MaterializeAssets", (), arguments, exploded=True), indent, f"{variable} = ")


# --- documentation of tasks -------------------------------------------------------------------------------------------


def _about(asset: Asset, url: str, *, titled: bool) -> str:
    """Documentation of an asset, in Markdown."""
    parts = [f"**{asset.key}**\n" + asset.description] if titled else [asset.description]
    reads = [f"`{read.asset}` ({_days(read.first, read.last)})" for read in asset.reads]
    reads += [f"`{key}` (external)" for key in asset.outside]
    facts = []
    if reads:
        facts.append("Reads " + ", ".join(reads) + ".")
    facts += [
        f"{'Blocking check' if check.blocking else 'Check'} `{check.name}`: {check.description or 'no description.'}"
        for check in asset.checks
    ]
    if asset.freshness:
        facts.append(f"Freshness: {asset.freshness}.")
    tags = [*asset.kinds, *(f"{name} {value}".strip() for name, value in asset.tags)]
    if tags:
        facts.append("Tags: " + ", ".join(tags) + ".")
    facts.append(f"[{asset.key} in Dagster]({url}/assets/{quote(asset.key)})")
    parts.append("\n".join(f"- {fact}" for fact in facts))
    return "\n\n".join(parts)


def _days(first: int, last: int) -> str:
    if first == last:
        return "same day" if last == 0 else "the day before" if last == -1 else f"{-last} days before"
    if last == 0:
        return f"same day and {_count(-first)} before"
    return f"{_count(-first)} before" if last == -1 else f"{-first} to {-last} days before"


def _count(days: int) -> str:
    return "the day" if days == 1 else f"the {days} days"


def _looks_back(task: Task) -> str:
    """The dependencies that the task waits for; each names its reader if the task materializes several assets."""
    edges = {
        f"{asset.key} reads {read.asset}" if len(task.assets) > 1 else f"reads {read.asset}": read
        for asset in task.assets
        for read in asset.reads
        if read.first < 0
    }
    return "; ".join(f"{edge} of {_days(read.first, read.last)}" for edge, read in edges.items())


def _variables(tasks: Sequence[Task]) -> Mapping[str, str]:
    """A Python variable for each task: its name, changed if that is taken or not an identifier."""
    taken = {"DAG", "Asset", "Dataset", "MaterializeAssets", "TaskGroup", "cleandoc", "pendulum", "timedelta"}
    names: dict[str, str] = {}
    for task in tasks:
        name = "".join(c if c.isalnum() else "_" for c in task.name)
        name = f"task_{name}" if not name.isidentifier() else name
        while keyword.iskeyword(name) or name in taken:
            name += "_"
        taken.add(name)
        names[task.name] = name
    return names


# --- edges ------------------------------------------------------------------------------------------------------------


def _edges(tasks: Sequence[Task], before: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, list[str]]]:
    """Each task that has direct downstream tasks, with their names."""
    for task in tasks:
        downstream = [other.name for other in tasks if task.name in before[other.name]]
        if downstream:
            yield task.name, downstream


def _edge(names: Mapping[str, str], name: str, downstream: Sequence[str]) -> list[str]:
    variables = [Code(names[d]) for d in downstream]
    return layout(variables[0] if len(variables) == 1 else variables, 4, f"{names[name]} >> ")


def _duration(length: dt.timedelta) -> Call:
    seconds = length.total_seconds()
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds and seconds % size == 0:
            return Call("timedelta", (), {unit: int(seconds // size)})
    return Call("timedelta", (), {"seconds": int(seconds) if seconds == int(seconds) else seconds})
