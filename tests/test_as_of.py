"""The warehouse as it was: each table in the version of the moment, or an error that says which table and since when."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import deltalake
import pyarrow as pa
import pytest

from hive_io import (
    Column,
    EmbeddedWarehouse,
    HistoryGone,
    HiveIOError,
    HiveQL,
    HiveServer2Warehouse,
    NoHistory,
    Span,
    Table,
    TableNotFound,
    as_of,
)

TABLE = Table("fintech", "t", (Column("n", "BIGINT"),), key=("n",))
SPAN = Span.days(dt.date(2026, 1, 5), dt.date(2026, 1, 5))


def now() -> dt.datetime:
    """A moment that no commit shares: they are written to the millisecond."""
    time.sleep(0.005)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.005)
    return moment


def write(lake: EmbeddedWarehouse, *numbers: int) -> dt.datetime:
    """Replace the day's rows; a moment after it."""
    lake.replace(TABLE, pa.table({"n": numbers, "ds": ["2026-01-05"] * len(numbers)}), SPAN)
    return now()


def numbers(lake: EmbeddedWarehouse, moment: dt.datetime) -> list[int]:
    past = as_of(lake, moment)
    read = sorted(past.read(TABLE.full_name).column("n").to_pylist())
    assert past.query(HiveQL("SELECT SUM(n) AS s FROM fintech.t")).to_pylist() == [{"s": sum(read) if read else None}]
    assert sum(past.partitions(TABLE.full_name).values()) == len(read)
    return read


def test_each_moment_has_its_rows(lake: EmbeddedWarehouse) -> None:
    moments = [write(lake, 1), write(lake, 2, 3), write(lake), write(lake, 4)]
    assert [numbers(lake, moment) for moment in moments] == [[1], [2, 3], [], [4]]
    assert numbers(lake, moments[1].astimezone(dt.timezone(dt.timedelta(hours=9)))) == [2, 3]


def test_a_table_that_was_made_later_was_not_there(lake: EmbeddedWarehouse) -> None:
    before = now()
    after = write(lake, 1)
    assert (as_of(lake, before).tables("fintech"), as_of(lake, after).tables("fintech")) == ([], ["t"])
    with pytest.raises(TableNotFound, match=r"There was no table fintech\.t at 20"):
        as_of(lake, before).read("fintech.t")


@pytest.mark.parametrize("lost", ["files", "log"])
def test_what_is_not_kept_is_refused_and_says_since_when_it_is(lake: EmbeddedWarehouse, lost: str) -> None:
    first, second, third = write(lake, 1), write(lake, 2), write(lake, 3)
    folder = lake.root / "fintech.db" / "t"
    if lost == "files":
        lake.clean(TABLE.full_name, dt.timedelta(0))
    else:
        deltalake.DeltaTable(str(folder)).create_checkpoint()
        for version in range(3):
            (folder / "_delta_log" / f"{version:020}.json").unlink()
    written = deltalake.DeltaTable(str(folder)).history()
    since = next(dt.datetime.fromtimestamp(c["timestamp"] / 1000, dt.UTC) for c in written if c["version"] == 3)
    kept = f"{since + dt.timedelta(microseconds=999_999):%Y-%m-%dT%H:%M:%SZ}"
    for moment in (first, second):
        with pytest.raises(HistoryGone, match=rf"fintech\.t is no longer kept as it was at 20.*: it is kept since {kept}"):
            as_of(lake, moment).read("fintech.t")
    assert numbers(lake, third) == [3]


WRITES: list[Callable[[EmbeddedWarehouse], object]] = [
    lambda past: past.replace(TABLE, pa.table({"n": [9], "ds": ["2026-01-05"]}), SPAN),
    lambda past: past.merge(TABLE, pa.table({"n": [9], "ds": ["2026-01-05"]})),
    lambda past: past.ensure_table(TABLE),
    lambda past: past.compact("fintech.t", dt.date(2027, 1, 1)),
    lambda past: past.clean("fintech.t", dt.timedelta(0)),
]


@pytest.mark.parametrize("write_it", WRITES)
def test_the_past_is_not_written(lake: EmbeddedWarehouse, write_it: Callable[[EmbeddedWarehouse], object]) -> None:
    moment = write(lake, 1)
    past = as_of(lake, moment)
    assert isinstance(past, EmbeddedWarehouse)
    with pytest.raises(HiveIOError, match=r"fintech\.t was opened as it was at 20.*, to be read only"):
        write_it(past)
    assert lake.read("fintech.t").column("n").to_pylist() == [1]


def test_a_moment_that_has_not_come_is_refused(lake: EmbeddedWarehouse) -> None:
    with pytest.raises(NoHistory, match="has not come yet"):
        as_of(lake, dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))


def test_a_hiveserver2_keeps_no_history() -> None:
    server = HiveServer2Warehouse.__new__(HiveServer2Warehouse)  # one that is not connected
    with pytest.raises(NoHistory, match="only the embedded warehouse"):
        as_of(server, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
