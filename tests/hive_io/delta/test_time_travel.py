"""Time travel in the embedded warehouse: the version that is read at a moment, and that no other version is read instead."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from hive_io import (
    Column,
    EmbeddedWarehouse,
    HistoryGone,
    HiveQL,
    NoHistory,
    Span,
    Table,
    TableNotFound,
    Warehouse,
)
from tests.hive_io_fixtures import pause

T = Table("fintech", "payments", (Column("id", "STRING"), Column("amount", "DECIMAL(18,2)")), key=("id",))
NAME = T.full_name
FIRST, SECOND = dt.date(2026, 1, 5), dt.date(2026, 1, 6)
DAY_ONE, DAY_TWO = Span.days(FIRST, FIRST), Span.days(SECOND, SECOND)


def put(lake: EmbeddedWarehouse, day: dt.date, *ids: str, table: Table = T) -> dt.datetime:
    """Replace the rows of a day. Return a moment after the commit and before the next one."""
    rows = [{"id": name, "amount": Decimal(1), "ds": day.isoformat()} for name in ids]
    columns = {**dict.fromkeys(table.arrow_schema.names)}
    lake.replace(
        table, pa.Table.from_pylist([{**columns, **row} for row in rows], schema=table.arrow_schema), Span.days(day, day)
    )
    return pause()


def add(lake: EmbeddedWarehouse, day: dt.date, name: str) -> None:
    """Add a row, in a file of its own."""
    row = {"id": name, "amount": Decimal(1), "ds": day.isoformat()}
    lake.upsert(T, pa.Table.from_pylist([row], schema=T.arrow_schema))


def ids(lake: EmbeddedWarehouse, moment: dt.datetime, span: Span | None = None) -> list[str]:
    return sorted(lake.as_of(moment).read(NAME, ["id"], span).column("id").to_pylist())


def folder(lake: EmbeddedWarehouse) -> Path:
    return lake.root / "fintech.db" / T.name


def commits(lake: EmbeddedWarehouse) -> list[int]:
    return sorted(int(file.stem) for file in (folder(lake) / "_delta_log").glob("*[0-9].json"))


def commit_of(lake: EmbeddedWarehouse, version: int) -> Path:
    return folder(lake) / "_delta_log" / f"{version:020}.json"


def written_at(lake: EmbeddedWarehouse, version: int) -> dt.datetime:
    actions = [json.loads(line) for line in commit_of(lake, version).read_text(encoding="utf-8").splitlines()]
    written = next(action["commitInfo"]["timestamp"] for action in actions if "commitInfo" in action)
    return dt.datetime.fromtimestamp(written / 1000, dt.UTC)


def lose_log(lake: EmbeddedWarehouse) -> None:
    """Delete all commits but the last; a checkpoint replaces them."""
    deltalake.DeltaTable(str(folder(lake))).create_checkpoint()
    for version in commits(lake)[:-1]:
        commit_of(lake, version).unlink()


def test_each_moment_has_the_rows_of_its_version(lake: EmbeddedWarehouse) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    one = put(lake, FIRST, "a")
    two = put(lake, FIRST, "b", "c")
    three = put(lake, SECOND, "d")
    assert [ids(lake, moment) for moment in (one, two, three)] == [["a"], ["b", "c"], ["b", "c", "d"]]
    assert lake.as_of(two).partitions(NAME) == {"2026-01-05": 2}
    assert lake.as_of(two).tables("fintech") == ["payments"]
    assert lake.as_of(two).query(HiveQL(f"SELECT COUNT(*) AS n, MAX(p.id) AS last FROM {NAME} p")).to_pylist() == [
        {"n": 2, "last": "c"}
    ]
    past = lake.as_of(before)
    assert past.tables("fintech") == []
    with pytest.raises(TableNotFound, match=r"There was no table fintech\.payments at 20"):
        past.read(NAME)
    with pytest.raises(TableNotFound):
        past.query(HiveQL("SELECT x.id FROM fintech.nosuch x"))


def test_the_moment_of_a_commit_includes_it(lake: EmbeddedWarehouse) -> None:
    put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    at = written_at(lake, commits(lake)[-1])
    assert ids(lake, at) == ["b"]
    assert ids(lake, at - dt.timedelta(milliseconds=1)) == ["a"]


def test_an_earlier_version_has_its_own_columns(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    wider = Table("fintech", "payments", (*T.columns, Column("place", "STRING")), key=("id",))
    put(lake, FIRST, "b", table=wider)
    assert lake.as_of(one).schema(NAME).names == ["id", "amount", "ds"]
    assert lake.as_of(one).read(NAME).to_pylist() == [{"id": "a", "amount": Decimal("1.00"), "ds": "2026-01-05"}]


@pytest.mark.parametrize("lost", ["files", "log"])
def test_a_version_that_is_not_retained_raises_with_the_first_one_that_is(lake: EmbeddedWarehouse, lost: str) -> None:
    put(lake, SECOND, "z")
    moments = [put(lake, FIRST, "a"), put(lake, FIRST, "b"), put(lake, FIRST, "c")]
    written = written_at(lake, commits(lake)[-1])
    if lost == "files":
        lake.vacuum(NAME, dt.timedelta(0))
    else:
        lose_log(lake)
    since = f"{written + dt.timedelta(microseconds=999_999):%Y-%m-%dT%H:%M:%SZ}"
    kept = rf"version of fintech\.payments at 20.*Z is no longer retained; .*retained since {since}; .*later"
    for moment in moments[:2]:
        with pytest.raises(HistoryGone, match=kept):
            ids(lake, moment)
    assert ids(lake, moments[2]) == ids(lake, written) == ["c", "z"]
    with pytest.raises(HistoryGone):
        ids(lake, written - dt.timedelta(milliseconds=1))


def test_days_whose_files_are_retained_can_be_read(lake: EmbeddedWarehouse) -> None:
    put(lake, SECOND, "z")
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    lake.vacuum(NAME, dt.timedelta(0))
    assert ids(lake, one, DAY_TWO) == ["z"]
    past = lake.as_of(one)
    for where in ("p.ds = '2026-01-06'", "p.ds >= '2026-01-06'", "p.ds > '2026-01-05' AND p.ds >= '2026-01-06'"):
        assert past.query(HiveQL(f"SELECT p.id FROM {NAME} p WHERE {where}")).to_pylist() == [{"id": "z"}]
    for reading_both in (
        f"SELECT p.id FROM {NAME} p WHERE p.ds = '2026-01-06' OR p.id = 'z'",
        f"SELECT p.id FROM {NAME} p WHERE NOT p.ds = '2026-01-05'",
        f"SELECT p.id FROM {NAME} p WHERE p.ds <= '2026-01-06'",
        f"SELECT p.id FROM {NAME} p JOIN {NAME} q ON p.id = q.id WHERE p.ds = '2026-01-06'",
        f"SELECT p.id FROM (SELECT * FROM {NAME} o) p WHERE p.ds = '2026-01-06'",
        f"SELECT COUNT(*) AS n FROM {NAME} p",
    ):
        with pytest.raises(HistoryGone):
            past.query(HiveQL(reading_both))


def test_files_compacted_since_have_the_same_rows(lake: EmbeddedWarehouse) -> None:
    put(lake, SECOND, "z")
    for number in range(3):
        add(lake, FIRST, f"a{number}")
    one = pause()
    assert lake.compact(NAME, SECOND) == ["2026-01-05"]
    two = pause()
    put(lake, SECOND, "y")
    lake.vacuum(NAME, dt.timedelta(0))
    assert ids(lake, one, DAY_ONE) == ids(lake, two, DAY_ONE) == ["a0", "a1", "a2"]
    assert lake.as_of(one).read(NAME, span=DAY_ONE) == lake.read(NAME, span=DAY_ONE)
    with pytest.raises(HistoryGone):
        ids(lake, one, DAY_TWO)
    with pytest.raises(HistoryGone):
        ids(lake, one)


def test_files_compacted_with_later_ones_are_not_read(lake: EmbeddedWarehouse) -> None:
    add(lake, FIRST, "a0")
    add(lake, FIRST, "a1")
    one = pause()
    add(lake, FIRST, "late")
    two = pause()
    lake.compact(NAME, SECOND)
    lake.vacuum(NAME, dt.timedelta(0))
    with pytest.raises(HistoryGone) as error:
        ids(lake, one)
    assert ids(lake, two) == ["a0", "a1", "late"]
    since = dt.datetime.fromisoformat(str(error.value).rpartition("since ")[2].partition(";")[0])
    assert one < since and since - two < dt.timedelta(seconds=1)
    put(lake, FIRST, "other")
    lake.vacuum(NAME, dt.timedelta(0))
    with pytest.raises(HistoryGone):
        ids(lake, two)


def test_a_table_older_than_its_log_existed_before(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    lose_log(lake)
    past = lake.as_of(one)
    assert past.tables("fintech") == ["payments"]
    for read in (lambda: past.schema(NAME), lambda: past.partitions(NAME), lambda: past.read(NAME)):
        with pytest.raises(HistoryGone):
            read()
    assert ids(lake, dt.datetime.now(dt.UTC)) == ["b"]


def test_a_checkpoint_is_not_read_for_moments_before_it(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    deltalake.DeltaTable(str(folder(lake))).create_checkpoint()
    put(lake, FIRST, "c")
    for version in commits(lake)[:-1]:  # also that of the checkpoint, which can still be opened
        commit_of(lake, version).unlink()
    with pytest.raises(HistoryGone):
        ids(lake, one)


def test_an_earlier_version_is_read_only(lake: EmbeddedWarehouse) -> None:
    past = lake.as_of(put(lake, FIRST, "a"))
    assert not isinstance(past, Warehouse)
    assert not {"replace", "upsert", "ensure_table", "compact", "vacuum"} & set(dir(past))


def test_a_moment_in_the_future_is_rejected(lake: EmbeddedWarehouse) -> None:
    with pytest.raises(NoHistory, match=r"has not come yet; .*past"):
        lake.as_of(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5))


def test_the_time_zone_of_a_moment_has_no_effect(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    assert ids(lake, one.astimezone(dt.timezone(dt.timedelta(hours=9)))) == ["a"]
