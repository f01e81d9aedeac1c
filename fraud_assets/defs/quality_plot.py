"""The plot of `rule_quality`: precision and recall of all alerts by day, and of each rule as of the last day."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from fraud_assets.defs.service_plot import BASE, HIGHLIGHT
from fraud_assets.evaluation.rule_quality import ALL_ALERTS

Row = dict[str, Any]


def plot(quality: pa.Table) -> bytes:
    """Plot two panels: all alerts over the days, with the intervals as bands; and each rule that has hits, as of the last day.

    Args:
        quality: rows of `rule_quality`, in any order. NULLs leave gaps.

    Returns:
        A PNG image of about 30 KB.
    """
    rows = quality.sort_by([("ds", "ascending"), ("rule", "descending")]).to_pylist()
    last = rows[-1]["ds"] if rows else ""
    rules = [row for row in rows if row["ds"] == last and row["rule"] != ALL_ALERTS and row["hits"]]
    figure = Figure(figsize=(8, 3.5 + 0.25 * len(rules)), dpi=80, layout="constrained")
    over_time, by_rule = figure.subplots(2, 1, height_ratios=[3, 1 + 0.25 * len(rules)])
    _over_time(over_time, [row for row in rows if row["rule"] == ALL_ALERTS])
    _by_rule(by_rule, rules)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _over_time(axes: Axes, rows: list[Row]) -> None:
    days = [dt.datetime.strptime(row["ds"], "%Y-%m-%d") for row in rows]
    axes.set_title("All alerts, over the 28 days before each day", loc="left")
    for metric, color in (("precision", BASE), ("recall", HIGHLIGHT)):
        values, low, high = ([_number(row[f"{metric}{end}"]) for row in rows] for end in ("", "_low", "_high"))
        axes.plot(days, values, color=color, label=metric, marker="." if len(rows) < 3 else None)  # type: ignore[arg-type]
        axes.fill_between(days, low, high, color=color, alpha=0.15, linewidth=0)  # type: ignore[arg-type]
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=dt.UTC))  # type: ignore[no-untyped-call]
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, frameon=False)


def _by_rule(axes: Axes, rows: list[Row]) -> None:
    axes.set_title("Precision of each rule, last day (matured hits)", loc="left")
    names = [f"{row['rule']} ({row['matured']})" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    for place, row in enumerate(rows):
        if row["precision"] is not None:
            axes.plot([row["precision_low"], row["precision_high"]], [place, place], color=BASE, linewidth=3, alpha=0.4)
            axes.plot([row["precision"]], [place], color=BASE, marker="o")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_ylim(-0.5, max(len(rows), 1) - 0.5)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
