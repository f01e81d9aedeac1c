"""The embedded warehouse as it was: which version answers, and that none is answered for another."""

from __future__ import annotations

import datetime as dt
import json
import time
from decimal import Decimal

import pyarrow as pa
import pytest

from hive_io import Column, EmbeddedWarehouse, HistoryGone, HiveQL, HiveServer2Warehouse, NoHistory, Span, Table, TableNotFound

T = Table("fintech", "payments", (Column("id", "STRING"), Column("amount", "DECIMAL(18,2)")), key=("id",))
NAME = T.full_name
FIRST, SECOND = dt.date(2026, 1, 5), dt.date(2026, 1, 6)


def put(lake: EmbeddedWarehouse, day: dt.date, *ids: str, table: Table = T) -> dt.datetime:
    """Let the day be those rows; a moment after it, and before whatever is written next."""
    rows = [{"id": name, "amount": Decimal(1), "ds": day.isoformat()} for name in ids]
    columns = {**dict.fromkeys(table.arrow_schema.names)}
    lake.replace(
        table, pa.Table.from_pylist([{**columns, **row} for row in rows], schema=table.arrow_schema), Span.days(day, day)
    )
    time.sleep(0.005)  # commits are told apart by the millisecond
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.005)
    return moment


def ids(lake: EmbeddedWarehouse, moment: dt.datetime, span: Span | None = None) -> list[str]:
    return sorted(lake.as_of(moment).read(NAME, ["id"], span).column("id").to_pylist())


def lose(lake: EmbeddedWarehouse, keep: dt.timedelta = dt.timedelta(0)) -> None:
    """Delete the files of replaced rows, and what the log says of days ago."""
    lake.clean(NAME, keep)


def commits(lake: EmbeddedWarehouse) -> list[int]:
    return sorted(int(file.stem) for file in (lake.root / "fintech.db" / T.name / "_delta_log").glob("*[0-9].json"))


def test_each_moment_has_its_rows(lake: EmbeddedWarehouse) -> None:
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
    with pytest.raises(TableNotFound, match=r"There was no table fintech\.payments then"):
        past.read(NAME)
    with pytest.raises(TableNotFound):
        past.query(HiveQL("SELECT x.id FROM fintech.nosuch x"))


def test_the_moment_of_a_commit_has_it(lake: EmbeddedWarehouse) -> None:
    put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    log = lake.root / "fintech.db" / T.name / "_delta_log"
    said = [json.loads(line) for line in (log / f"{commits(lake)[-1]:020}.json").read_text(encoding="utf-8").splitlines()]
    written = next(line["commitInfo"]["timestamp"] for line in said if "commitInfo" in line)
    at = dt.datetime.fromtimestamp(written / 1000, dt.UTC)
    assert ids(lake, at) == ["b"]
    assert ids(lake, at - dt.timedelta(milliseconds=1)) == ["a"]


def test_a_past_has_the_columns_that_there_were(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    wider = Table("fintech", "payments", (*T.columns, Column("place", "STRING")), key=("id",))
    put(lake, FIRST, "b", table=wider)
    assert lake.as_of(one).schema(NAME).names == ["id", "amount", "ds"]
    assert lake.as_of(one).read(NAME).to_pylist() == [{"id": "a", "amount": Decimal("1.00"), "ds": "2026-01-05"}]


def test_what_is_deleted_is_said_and_no_other_version_is_read(lake: EmbeddedWarehouse) -> None:
    put(lake, SECOND, "z")
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    lose(lake)
    with pytest.raises(HistoryGone) as error:
        ids(lake, one)
    said = str(error.value)
    then = f"{one:%Y-%m-%dT%H:%M:%S}.{one.microsecond // 1000:03}Z"
    assert said.startswith(f"{NAME} can no longer be read as it was at {then}: files of rows replaced since are deleted.")
    since = dt.datetime.fromisoformat(said.rpartition("goes back to ")[2])
    assert ids(lake, since) == ["b", "z"]
    with pytest.raises(HistoryGone):
        ids(lake, since - dt.timedelta(milliseconds=1))


def test_days_whose_files_are_there_can_be_read(lake: EmbeddedWarehouse) -> None:
    put(lake, SECOND, "z")
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    lose(lake)
    assert ids(lake, one, Span.days(SECOND, SECOND)) == ["z"]
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


def test_a_log_that_no_longer_reaches_back_is_no_table_that_was_not_there(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    two = put(lake, FIRST, "b")
    log = lake.root / "fintech.db" / T.name / "_delta_log"
    put(lake, FIRST, "c")
    lake.clean(NAME, dt.timedelta(days=1))  # leaves a checkpoint
    for version in commits(lake)[:3]:
        (log / f"{version:020}.json").unlink()
    assert commits(lake)[0] == 3
    for moment in (one, two):
        with pytest.raises(HistoryGone, match=r"fintech\.payments can no longer be read as it was"):
            ids(EmbeddedWarehouse(lake.root), moment)
    assert ids(EmbeddedWarehouse(lake.root), dt.datetime.now(dt.UTC)) == ["c"]


def test_a_moment_that_has_not_come_is_refused(lake: EmbeddedWarehouse) -> None:
    with pytest.raises(NoHistory, match="has not come yet: name a moment in the past"):
        lake.as_of(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5))


def test_the_zone_of_a_moment_makes_no_difference(lake: EmbeddedWarehouse) -> None:
    one = put(lake, FIRST, "a")
    put(lake, FIRST, "b")
    assert ids(lake, one.astimezone(dt.timezone(dt.timedelta(hours=9)))) == ["a"]


def test_a_hiveserver2_says_that_it_keeps_none() -> None:
    warehouse = HiveServer2Warehouse.__new__(HiveServer2Warehouse)  # without a server: it is not asked
    with pytest.raises(NoHistory, match="A HiveServer2 keeps no history of its tables"):
        warehouse.as_of(dt.datetime.now(dt.UTC))
