"""The plot of `service_levels`: how much, how fast and how clean, by the hour."""

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

LATE = "#c2410c"
USUAL = "#1d4ed8"


def plot(levels: pa.Table) -> bytes:
    """Three panels under each other, one axis of time: transactions and alerts, latency, and the share of refused rows.

    Args:
        levels: rows of `service_levels`, in any order. NULLs leave gaps.

    Returns:
        A PNG of some 20 KB.
    """
    rows = levels.sort_by("hour").to_pylist()
    hours = [dt.datetime.strptime(row["hour"], "%Y-%m-%d %H") for row in rows]

    def values(column: str, factor: float = 1.0) -> list[float]:
        return [float("nan") if row[column] is None else float(row[column]) * factor for row in rows]

    figure = Figure(figsize=(8, 6), dpi=80, layout="constrained")
    volume, latency, refused = figure.subplots(3, 1, sharex=True)
    width = 1 / 24
    bars = volume.bar(hours, values("transactions"), width, align="edge", color="#cbd5e1", label="transactions")
    volume.set_title("Transactions and alerts an hour", loc="left")
    alerts = volume.twinx()
    _steps(alerts, hours, values("alerts"), LATE, "alerts")
    alerts.set_ylim(bottom=0)
    _legend(volume, [bars, *alerts.lines])
    latency.set_title("Seconds from arrival to the alert, with fraud watch", loc="left")
    _steps(latency, hours, values("latency_p50"), USUAL, "median")
    _steps(latency, hours, values("latency_p95"), LATE, "95 %")
    if any(row["latency_p95"] for row in rows):
        latency.set_yscale("log")
        latency.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        latency.yaxis.set_major_formatter("{x:g}")
        latency.yaxis.set_minor_locator(NullLocator())
        _legend(latency, latency.lines)
    refused.set_title("Refused rows of the day, % of those served", loc="left")
    _steps(refused, hours, values("rejected_share", 100.0), USUAL, None)
    refused.set_ylim(bottom=0)
    # with 5 ticks at least, as by default, there is no interval for four hours, nor for four days
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    refused.xaxis.set_major_locator(locator)
    refused.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=dt.UTC))  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _legend(axes: Axes, handles: Sequence[Any]) -> None:
    # over the panel, where no value is hidden
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=len(handles), frameon=False)


def _steps(axes: Axes, hours: list[dt.datetime], values: list[float], color: str, label: str | None) -> None:
    # each value until the end of its hour; a missing hour is a gap
    x: list[dt.datetime] = []
    y: list[float] = []
    for at, value in zip(hours, values, strict=True):
        if x and at != x[-1]:
            x.append(x[-1])
            y.append(float("nan"))
        x += [at, at + dt.timedelta(hours=1)]
        y += [value, value]
    axes.plot(x, y, color=color, label=label)  # type: ignore[arg-type]
