"""The plot of `service_levels`: volume, latency and rejected rows by hour."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

HIGHLIGHT = "#c2410c"
BASE = "#1d4ed8"


def plot(levels: pa.Table) -> bytes:
    """Plot three panels on one time axis: transactions and alerts, latency, and the share of rejected rows.

    Args:
        levels: rows of `service_levels`, in any order. NULLs leave gaps.

    Returns:
        A PNG image of about 20 KB.
    """
    rows = levels.sort_by("hour").to_pylist()
    hours = [dt.datetime.strptime(row["hour"], "%Y-%m-%d %H") for row in rows]

    def values(column: str, factor: float = 1.0) -> list[float]:
        return [float("nan") if row[column] is None else float(row[column]) * factor for row in rows]

    figure = Figure(figsize=(8, 6), dpi=80, layout="constrained")
    volume, latency, rejected = figure.subplots(3, 1, sharex=True)
    width = 1 / 24
    bars = volume.bar(hours, values("transactions"), width, align="edge", color="#cbd5e1", label="transactions")
    volume.set_title("Transactions and alerts per hour", loc="left")
    alerts = volume.twinx()
    _steps(alerts, hours, values("alerts"), HIGHLIGHT, "alerts")
    alerts.set_ylim(bottom=0)
    _legend(volume, [bars, *alerts.lines])
    latency.set_title("Seconds from arrival to alert (fraud watch)", loc="left")
    _steps(latency, hours, values("latency_p50"), BASE, "median")
    _steps(latency, hours, values("latency_p95"), HIGHLIGHT, "95th percentile")
    if any(row["latency_p95"] for row in rows):
        latency.set_yscale("log")
        latency.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        latency.yaxis.set_major_formatter("{x:g}")
        latency.yaxis.set_minor_locator(NullLocator())
        _legend(latency, latency.lines)
    rejected.set_title("Rejected rows of the day, % of rows served", loc="left")
    _steps(rejected, hours, values("rejected_share", 100.0), BASE, None)
    rejected.set_ylim(bottom=0)
    # the default of at least 5 ticks has no suitable interval for a range of four hours, or of four days
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    rejected.xaxis.set_major_locator(locator)
    rejected.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=dt.UTC))  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _legend(axes: Axes, handles: Sequence[Any]) -> None:
    # above the panel, where it covers no value
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=len(handles), frameon=False)


def _steps(axes: Axes, hours: list[dt.datetime], values: list[float], color: str, label: str | None) -> None:
    # draw each value to the end of its hour; a missing hour is a gap
    x: list[dt.datetime] = []
    y: list[float] = []
    for at, value in zip(hours, values, strict=True):
        if x and at != x[-1]:
            x.append(x[-1])
            y.append(float("nan"))
        x += [at, at + dt.timedelta(hours=1)]
        y += [value, value]
    axes.plot(x, y, color=color, label=label)  # type: ignore[arg-type]
