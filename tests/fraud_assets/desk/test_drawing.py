"""Geometry of the pictures."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_assets.desk.drawing import HEIGHT, MAP_HEIGHT, MAP_WIDTH, WIDTH, map_of, payments, places
from tests.fraud_fixtures import NOON, transaction

DAY = dt.timedelta(days=1)


def row(name: str, **more: Any) -> dict[str, Any]:
    return transaction(name, **{"merchant_latitude": None, "merchant_longitude": None, **more})


def test_payments_of_one_currency_are_drawn_by_time_and_amount() -> None:
    rows = [
        row("a", amount="10.00"),
        row("b", amount="1000.00", event_time=NOON + 10 * DAY),
        row("c", amount="5.00", currency="USD"),
    ]
    drawing = payments(rows, "EUR", {"b"}, Decimal(10), Decimal(20))
    assert drawing is not None
    plain, flagged = drawing.marks
    assert (plain.flagged, flagged.flagged) == (False, True)
    assert plain.x < flagged.x and plain.y > flagged.y
    assert [label for _, label in drawing.lines] == ["1", "10", "100", "1,000"]
    assert drawing.median == plain.y and drawing.usual is not None and drawing.usual[0] < drawing.median < drawing.usual[1]
    assert payments(rows, "GBP", set(), None, None) is None


@given(st.lists(st.decimals("0", "999999999999.99", places=2), min_size=1, max_size=20))
def test_every_amount_stays_within_the_drawing(values: list[Decimal]) -> None:
    rows = [row(f"t{place}", amount=value, event_time=NOON + place * DAY) for place, value in enumerate(values)]
    drawing = payments(rows, "EUR", set(), values[0], max(values))
    assert drawing is not None
    heights = [mark.y for mark in drawing.marks] + [y for y, _ in drawing.lines]
    assert all(0 <= mark.x <= WIDTH for mark in drawing.marks) and all(0 <= y <= HEIGHT for y in heights)


def test_places_with_alerts_come_first_with_their_distance_from_home() -> None:
    graz = {"merchant_latitude": 47.07, "merchant_longitude": 15.44}
    new_york = {"merchant_latitude": 40.71, "merchant_longitude": -74.01}
    rows = [row("a", **graz), row("b", **graz), row("c", merchant_city="New York", merchant_country="US", **new_york)]
    listed = places(rows, {"c"}, (47.07, 15.44))
    assert [(place.name, place.transactions, place.flagged) for place in listed] == [("New York, US", 1, 1), ("Graz, AT", 2, 0)]
    assert listed[0].kilometres == pytest.approx(6800, abs=5) and listed[1].kilometres == 0


def test_a_place_without_a_name_or_coordinates_is_listed() -> None:
    (place,) = places([row("a", merchant_city=None, merchant_country=None)], set(), (47.0, 15.0))
    assert (place.name, place.kilometres, place.point) == ("not known", None, None)
    assert map_of([place], None) is None


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=10),
    st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
)
def test_every_place_stays_on_the_map(points: list[tuple[float, float]], home: tuple[float, float] | None) -> None:
    rows = [
        row(f"t{place}", merchant_city=f"city {place}", merchant_latitude=point[0], merchant_longitude=point[1])
        for place, point in enumerate(points)
    ]
    drawing = map_of(places(rows, {"t0"}, home), home)
    assert drawing is not None and len(drawing.spots) == len(points)
    spots = [(spot.x, spot.y) for spot in drawing.spots] + ([drawing.home] if drawing.home else [])
    assert all(0 <= x <= MAP_WIDTH and 0 <= y <= MAP_HEIGHT for x, y in spots)
    assert drawing.spots[-1].place.flagged == 1
