"""Geometry of the pictures: a customer's payments over time, and places. The templates draw them as SVG."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

WIDTH, HEIGHT = 720, 220
"""Units of the drawing of payments."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 28
MAP_WIDTH, MAP_HEIGHT = 720, 300
"""Units of the map."""
_LABELS = 5
"""Places that are named on the map."""
_EARTH_KM = 6371.0
"""Mean radius."""


@dataclass(frozen=True)
class Mark:
    """A payment in the drawing."""

    x: float
    y: float
    flagged: bool
    title: str


@dataclass(frozen=True)
class Payments:
    """Payments of one currency over time, on a logarithmic scale.

    Attributes:
        lines: height and label of each line of the scale.
        days: place and label of some days.
        usual: top and bottom of the band from zero to the 95th percentile; None if it is not known.
        median: height of the median; None if it is not known.
    """

    currency: str
    marks: Sequence[Mark]
    lines: Sequence[tuple[float, str]]
    days: Sequence[tuple[float, str]]
    usual: tuple[float, float] | None
    median: float | None


def payments(
    rows: Sequence[Mapping[str, Any]], currency: str, flagged: Collection[str], median: Decimal | None, p95: Decimal | None
) -> Payments | None:
    """The drawing of a customer's transactions in one currency; None if there are none."""
    wanted = [row for row in rows if (row["currency"] or "") == currency]
    if not wanted:
        return None
    times = [row["event_time"] for row in wanted]
    start, end = min(times) - dt.timedelta(hours=12), max(times) + dt.timedelta(hours=12)
    seconds = (end - start).total_seconds()
    largest = max(float(row["amount"]) for row in wanted)
    top = math.ceil(math.log10(max(largest, 10.0)) * 2) / 2 if largest > 10 else 1.0

    def x(time: dt.datetime) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (time - start).total_seconds() / seconds, 1)

    def y(value: float) -> float:
        share = min(1.0, max(0.0, math.log10(max(value, 1.0)) / top))
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)

    marks = [
        Mark(
            x(row["event_time"]),
            y(float(row["amount"])),
            row["transaction_id"] in flagged,
            f"{row['amount']:,} {currency}, {row['event_time']:%Y-%m-%d %H:%M}",
        )
        for row in sorted(wanted, key=lambda row: (row["transaction_id"] in flagged, row["event_time"]))
    ]
    lines = [(y(10.0**power), f"{10**power:,}") for power in range(int(top) + 1)]
    step = max(1, math.ceil(seconds / 86400 / 6))
    first = start.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    marked = [first + dt.timedelta(days=step * number) for number in range(7)]
    days = [(x(day), f"{day.day} {day:%b}") for day in marked if day < end]
    usual = (y(float(p95)), y(0.0)) if p95 is not None else None
    return Payments(currency, marks, lines, days, usual, y(float(median)) if median is not None else None)


@dataclass(frozen=True)
class Place:
    """A place in which the customer paid.

    Attributes:
        kilometres: from the customer's home; None if either is not known.
        point: latitude and longitude in degrees; None if they are not known.
    """

    name: str
    transactions: int
    flagged: int
    kilometres: int | None
    point: tuple[float, float] | None


@dataclass(frozen=True)
class Spot:
    """A place on the map."""

    x: float
    y: float
    place: Place
    label: str


@dataclass(frozen=True)
class Map:
    """Places on a grid of degrees, cut to where the customer pays.

    Attributes:
        meridians, parallels: position and label of each line.
        spots: those with alerts last, so that they are drawn above the others.
    """

    meridians: Sequence[tuple[float, str]]
    parallels: Sequence[tuple[float, str]]
    spots: Sequence[Spot]
    home: tuple[float, float] | None


def places(rows: Sequence[Mapping[str, Any]], flagged: Collection[str], home: tuple[float, float] | None) -> list[Place]:
    """The places of a customer's transactions, those with alerts first, then by number of transactions."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = ", ".join(part for part in (row["merchant_city"], row["merchant_country"]) if part)
        found.setdefault(name or "not known", []).append(row)
    listed = []
    for name, there in found.items():
        points = ((row["merchant_latitude"], row["merchant_longitude"]) for row in there)
        point = next((each for each in points if is_point(*each)), None)
        hits = sum(row["transaction_id"] in flagged for row in there)
        listed.append(Place(name, len(there), hits, round(_kilometres(home, point)) if home and point else None, point))
    return sorted(listed, key=lambda place: (-min(place.flagged, 1), -place.transactions, place.name))


def map_of(there: Sequence[Place], home: tuple[float, float] | None) -> Map | None:
    """The map of places; None if no coordinates are known."""
    points = [place.point for place in there if place.point] + ([home] if home else [])
    if not points:
        return None
    south, north = min(a for a, _ in points) - 8, max(a for a, _ in points) + 8
    west, east = min(b for _, b in points) - 12, max(b for _, b in points) + 12
    # one scale for both directions, so that no distance looks longer than it is at the equator
    scale = min(MAP_WIDTH / (east - west), MAP_HEIGHT / (north - south))
    left = (MAP_WIDTH - scale * (east - west)) / 2 - scale * west
    top = (MAP_HEIGHT - scale * (north - south)) / 2 + scale * north

    def x(longitude: float) -> float:
        return round(left + scale * longitude, 1)

    def y(latitude: float) -> float:
        return round(top - scale * latitude, 1)

    step = next((step for step in (5, 10, 20, 30) if step * scale > 60), 45)
    labelled = {place.name for place in there[:_LABELS]}
    return Map(
        [(x(b), f"{abs(b)}°{'W' if b < 0 else 'E'}") for b in range(-180, 181, step) if 0 < x(b) < MAP_WIDTH],
        [(y(a), f"{abs(a)}°{'S' if a < 0 else 'N'}") for a in range(-90, 91, step) if 0 < y(a) < MAP_HEIGHT],
        [
            Spot(x(place.point[1]), y(place.point[0]), place, place.name if place.name in labelled else "")
            for place in reversed(there)
            if place.point
        ],
        (x(home[1]), y(home[0])) if home else None,
    )


def is_point(latitude: float | None, longitude: float | None) -> bool:
    """True if both are known numbers."""
    return latitude is not None and longitude is not None and math.isfinite(latitude) and math.isfinite(longitude)


def _kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Great-circle distance, by the haversine formula."""
    (a, b), (c, d) = (map(math.radians, point) for point in (one, other))
    h = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(h)))
