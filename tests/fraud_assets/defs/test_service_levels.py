"""The table `service_levels` compared with plain Python, its plot, and the latency counts of `fraud watch`."""

from __future__ import annotations

import datetime as dt
import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fraud_assets.defs.service_plot import plot
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.live.latencies import Latencies, rounded_up
from fraud_assets.schemas.detection import FRAUD_ALERTS
from fraud_assets.schemas.monitoring import LATENCIES, SERVICE_LEVELS
from hive_io import EmbeddedWarehouse, HiveIOError, Span
from tests.fraud_fixtures import DAY, all_tables, compute, fill, transaction

Row = dict[str, Any]
DAYS = [DAY, DAY + dt.timedelta(days=1)]
BOTH = Span.days(*DAYS)
QUIET_HOUR = 3


def _rows() -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    draw = random.Random(5)
    hours = [hour for hour in range(24) if hour != QUIET_HOUR]
    transactions = []
    for number in range(900):
        midnight = dt.datetime.combine(draw.choice(DAYS), dt.time())
        at = midnight + dt.timedelta(hours=draw.choice(hours), seconds=draw.uniform(0, 3599))
        late = draw.choice([dt.timedelta(seconds=draw.uniform(0, 90)), dt.timedelta(days=draw.uniform(0, 3)), None])
        transactions.append(transaction(f"t{number}", event_time=at, ingested_at=late and at + late))
    alerts = [{name: row[name] for name in ("transaction_id", "customer_id", "event_time")} for row in transactions[::9]]
    latencies = [
        {
            "hour": dt.datetime.combine(day, dt.time(hour)),
            "seconds": Decimal(seconds) / 10,
            "transactions": draw.randint(1, 400),
        }
        for day in DAYS
        for hour in (0, 1, QUIET_HOUR, 23)
        for seconds in draw.sample(range(1000), draw.choice([1, 2, 30]))
    ]
    rejected = [
        {"row_id": f"r{day}{n}", "payload": "{}", "claims": ["amount_is_given"], "ds": day.isoformat()}
        for day in DAYS[:1]
        for n in range(17)
    ]
    return transactions, alerts, latencies, rejected


TRANSACTIONS, ALERTS, COUNTED, REJECTED = _rows()


@pytest.fixture
def filled(tmp_path: Path, engine: Engine) -> EmbeddedWarehouse:
    lake = all_tables(EmbeddedWarehouse(tmp_path / "lake"), engine.book)
    fill(lake, "transactions", TRANSACTIONS, BOTH)
    fill(lake, "transactions_rejected", REJECTED, BOTH)
    fill(lake, FRAUD_ALERTS, ALERTS, BOTH)
    fill(lake, LATENCIES, COUNTED, BOTH)
    return lake


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


def _percentile(values: list[Any], percent: int) -> Any:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def _whole_seconds(at: dt.datetime) -> int:
    return int(at.replace(tzinfo=dt.UTC, microsecond=0).timestamp())


def _expected() -> list[Row]:
    rows = []
    for day in DAYS:
        of_day = [row for row in TRANSACTIONS if row["event_time"].date() == day]
        rejected = sum(row["ds"] == day.isoformat() for row in REJECTED)
        for hour in range(24):
            at = dt.datetime.combine(day, dt.time(hour))
            mine = [row for row in of_day if row["event_time"].hour == hour]
            arrived = [_whole_seconds(r["ingested_at"]) - _whole_seconds(r["event_time"]) for r in mine if r["ingested_at"]]
            judged = [row["seconds"] for row in COUNTED if row["hour"] == at for _ in range(row["transactions"])]
            if mine or judged:
                rows.append(
                    {
                        "hour": f"{at:%Y-%m-%d %H}",
                        "transactions": len(mine),
                        "alerts": sum(f"{row['event_time']:%Y-%m-%d %H}" == f"{at:%Y-%m-%d %H}" for row in ALERTS),
                        "arrival_p50": _percentile(arrived, 50),
                        "arrival_p95": _percentile(arrived, 95),
                        "judged": len(judged),
                        "latency_p50": _percentile(judged, 50),
                        "latency_p95": _percentile(judged, 95),
                        "latency_max": max(judged, default=None),
                        "rejected_share": rejected / (rejected + len(of_day)),
                        "ds": day.isoformat(),
                    }
                )
    return rows


def test_the_levels_equal_those_of_plain_python(engine: Engine, filled: EmbeddedWarehouse) -> None:
    found = sorted(compute(engine, filled, SERVICE_LEVELS.name, BOTH), key=lambda row: row["hour"])
    assert found == _expected()
    quiet = [row for row in found if row["hour"].endswith(f" {QUIET_HOUR:02}")]
    assert [row["transactions"] for row in quiet] == [0, 0] and all(row["judged"] for row in quiet)


def test_a_range_equals_its_days_computed_one_by_one(engine: Engine, filled: EmbeddedWarehouse) -> None:
    days = [compute(engine, filled, SERVICE_LEVELS.name, Span.days(day, day)) for day in DAYS]
    found = sorted((row for day in days for row in day), key=lambda row: row["hour"])
    assert found == _expected()


def test_it_is_computed_last_and_no_rule_depends_on_it(engine: Engine) -> None:
    assert engine.order[-2:] == [FRAUD_ALERTS.name, SERVICE_LEVELS.name]
    assert SERVICE_LEVELS.name not in engine.upstream_features


def test_the_plot_shows_missing_values_as_gaps(engine: Engine, filled: EmbeddedWarehouse) -> None:
    compute(engine, filled, SERVICE_LEVELS.name, BOTH)
    levels = filled.read(SERVICE_LEVELS.full_name)
    one_hour, none = levels.slice(0, 1), levels.slice(0, 0)
    without_watch = levels.set_column(6, "latency_p50", pa.nulls(len(levels), pa.decimal128(12, 1)))
    without_watch = without_watch.set_column(7, "latency_p95", pa.nulls(len(levels), pa.decimal128(12, 1)))
    pictures = [plot(rows) for rows in (levels, one_hour, without_watch, none)]
    assert len(set(pictures)) == 4
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            assert image.size == (640, 480)
        assert len(picture) < 40_000


@pytest.mark.parametrize("hours", [4, 24, 100, 168])
def test_any_number_of_hours_has_ticks(hours: int) -> None:
    """Matplotlib warns if it finds no interval for its ticks."""
    first = dt.datetime(2026, 1, 1)
    rows = [{"hour": f"{first + dt.timedelta(hours=n):%Y-%m-%d %H}", "transactions": n, "alerts": 0} for n in range(hours)]
    assert plot(pa.Table.from_pylist(rows, schema=SERVICE_LEVELS.arrow_schema))


# --- the counts of `fraud watch` ------------------------------------------------------------------------------------------


@given(st.floats(min_value=0, max_value=1e8))
def test_seconds_are_rounded_up_by_at_most_a_tenth(seconds: float) -> None:
    [rounded] = rounded_up(pa.array([seconds])).to_pylist()
    assert seconds - 1e-6 <= float(rounded) <= max(seconds + 0.1, seconds * 1.1) + 1e-6


def test_seconds_are_rounded_to_steps() -> None:
    seconds = [-3.0, 0.0, 0.01, 0.1, 9.9, 9.91, 10.01, 99.0, 99.01, 100.1, 12_345.0]
    expected = ["0", "0", "0.1", "0.1", "9.9", "10", "11", "99", "100", "110", "13000"]
    assert rounded_up(pa.array(seconds)).to_pylist() == [Decimal(text) for text in expected]


def test_counts_are_added_to_earlier_ones_of_the_hour(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    at = dt.datetime(2026, 1, 5, 10, 59, 59, tzinfo=dt.UTC)
    latencies = Latencies()
    latencies.add(pa.array([0.5, 0.5, 2.0, None]), at)
    latencies.write(lake)
    latencies.write(lake)  # nothing new
    latencies.add(pa.array([0.5]), at)
    latencies.add(pa.array([7.0, 7.0]), at + dt.timedelta(seconds=1))
    latencies.write(lake)
    another = Latencies()  # after a restart
    another.add(pa.array([7.0]), at + dt.timedelta(hours=1))
    another.write(lake)
    found = {
        (row["hour"].hour, float(row["seconds"])): row["transactions"] for row in lake.read(LATENCIES.full_name).to_pylist()
    }
    assert found == {(10, 0.5): 3, (10, 2.0): 1, (11, 7.0): 3}


def test_counts_that_could_not_be_written_are_written_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    latencies = Latencies()
    latencies.add(pa.array([0.5]), dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC))

    def fails(*_: object) -> None:
        raise HiveIOError("no")

    with monkeypatch.context() as broken:
        broken.setattr(lake, "replace", fails)
        with pytest.raises(HiveIOError):
            latencies.write(lake)
    latencies.write(lake)
    assert lake.read(LATENCIES.full_name).column("transactions").to_pylist() == [1]
