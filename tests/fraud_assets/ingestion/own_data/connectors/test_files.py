"""Files as they come: what is peculiar about them is read to the letter, or reported with the file's name."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors import files
from fraud_assets.ingestion.own_data.connectors.base import LINE, ROW
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, FilesConnector
from hive_io import Span

DAY = dt.date(2026, 1, 5)


def rows(layout: FileLayout) -> list[dict[str, Any]]:
    return [row for page in FilesConnector(layout).pages() for row in page.rows.to_pylist()]


def csv(tmp_path: Path, content: str | bytes, **options: Any) -> list[dict[str, Any]]:
    file = tmp_path / "data.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return rows(FileLayout(file, **options))


def test_digits_zeros_and_blanks_stay(tmp_path: Path) -> None:
    (row,) = csv(tmp_path, 'card,zip,on,code\n4503101193493052864,00501, x ,"a ""b"", c"\n')
    assert (row["card"], row["zip"], row["on"], row["code"]) == ("4503101193493052864", "00501", " x ", 'a "b", c')


def test_words_that_other_readers_take_for_null_stay(tmp_path: Path) -> None:
    (row,) = csv(tmp_path, "a,b,c,d,e\nNA,null,NaN,true,\n")
    assert [row[name] for name in "abcde"] == ["NA", "null", "NaN", "true", None]


@pytest.mark.parametrize("block", [16, 1 << 20])
def test_a_ragged_row_is_kept_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    found = csv(tmp_path, 'a,b\n1,2\n"x\ny",3\n7,8,9\n\n4,5\n6\n')
    assert [(row[ROW], row["a"], row["b"], row[LINE]) for row in found] == [
        (1, "1", "2", None),
        (2, "x\ny", "3", None),
        (3, None, None, "7,8,9"),
        (4, "4", "5", None),
        (5, None, None, "6"),
    ]


@pytest.mark.parametrize("rest", [["1,2"] * 30, [*["1,2"] * 30, '1,2,"']])
def test_a_quote_that_is_not_closed_takes_up_no_rows(tmp_path: Path, rest: list[str]) -> None:
    broken = "\n".join(["a,b", "1,2", '3,4,"x', *rest])
    with pytest.raises(SourceError, match=r"data\.csv: row 2 opens a quote.*3\d lines.*quote: none"):
        csv(tmp_path, broken)
    assert len(csv(tmp_path, broken, quote=None)) == 2 + len(rest)


def test_a_file_of_ragged_rows_only(tmp_path: Path) -> None:
    assert [row[LINE] for row in csv(tmp_path, "a,b\n1\n2\n3\n")] == ["1", "2", "3"]


def test_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    found = csv(tmp_path, "1,2\n3,4\n", header=False)
    assert [(row[ROW], row["column1"], row["column2"]) for row in found] == [(1, "1", "2"), (2, "3", "4")]


def test_an_unnamed_column_and_a_byte_order_mark(tmp_path: Path) -> None:
    (row,) = csv(tmp_path, b"\xef\xbb\xbfid,,x\n1,2,3\n")
    assert (row["id"], row["column2"], row["x"]) == ("1", "2", "3")


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (row,) = csv(tmp_path, "Währung,Empfänger\n€,Müller\n".encode(encoding), encoding=encoding)
    assert (row["Währung"], row["Empfänger"]) == ("€", "Müller")


def test_a_wrong_encoding_names_the_file_and_the_key(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"data\.csv: not utf-8.*encoding: windows-1252"):
        csv(tmp_path, "a,b\n1,Müller\n".encode("cp1252"))


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"data\.csv: two columns are called 'a'"):
        csv(tmp_path, "a,b,a\n1,2,3\n")


def test_empty_files_and_headers_alone_have_no_rows(tmp_path: Path) -> None:
    assert csv(tmp_path, "") == []
    assert csv(tmp_path, "a,b\n") == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing-\*\.csv"):
        rows(FileLayout(tmp_path / "nothing-*.csv"))


def test_a_name_that_says_no_format(tmp_path: Path) -> None:
    (tmp_path / "data.dat").write_text("a\n1\n")
    with pytest.raises(SourceError, match="format: csv"):
        rows(FileLayout(tmp_path / "data.dat"))
    assert rows(FileLayout(tmp_path / "data.dat", "csv"))[0]["a"] == "1"


def test_one_broken_file_among_thirty_is_named(tmp_path: Path) -> None:
    for number in range(30):
        pq.write_table(pa.table({"a": [number]}), tmp_path / f"{number:02}.parquet")
    (tmp_path / "17.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(SourceError, match=r"17\.parquet: cannot be read as parquet"):
        rows(FileLayout(tmp_path / "*.parquet"))


def test_json_numbers_keep_their_digits_and_bad_lines_their_text(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"n": 12.10, "id": 12345678901234567890123, "b": true, "o": {"x": [1.0, "ä"]}}\n\n{"n": \n[1]\n')
    first, cut, array = rows(FileLayout(file))
    assert (first["n"], first["id"], first["b"]) == ("12.10", "12345678901234567890123", "true")
    assert json.loads(first["o"]) == {"x": ["1.0", "ä"]}
    assert [(row[ROW], row[LINE]) for row in (cut, array)] == [(2, '{"n":'), (3, "[1]")]


def test_parquet_values_as_text(tmp_path: Path) -> None:
    when = dt.datetime(2026, 1, 5, 10, 0, 0, 500_000)
    table = pa.table(
        {
            "big": [2**62],
            "million": [1e6],
            "small": [1e-7],
            "none": pa.array([float("nan")], pa.float64()),
            # 0.10000000149011612 as a double
            "single": pa.array([0.1], pa.float32()),
            "long": pa.array([1e17], pa.float32()),
            "local": pa.array([when], pa.timestamp("us")),
            "zoned": pa.array([when], pa.timestamp("us", "Europe/Berlin")),
            "word": pa.array(["x"]).dictionary_encode(),
            "nested": [{"a": 1}],
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    (row,) = rows(FileLayout(tmp_path / "data.parquet"))
    assert (row["big"], row["million"], row["small"], row["none"]) == (str(2**62), "1000000", "0.0000001", None)
    assert (row["single"], row["long"]) == ("0.1", "100000000000000000")
    assert (row["local"], row["zoned"]) == ("2026-01-05 10:00:00.500000", "2026-01-05T10:00:00.500000Z")
    assert (row["word"], json.loads(row["nested"])) == ("x", {"a": 1})


def test_a_day_without_a_file_is_an_error_and_its_neighbours_are_not(tmp_path: Path) -> None:
    (tmp_path / "2026-01-05.csv").write_text("a\n1\n")
    connector = FilesConnector(FileLayout(tmp_path / "{day}.csv"))
    assert [page.day for page in connector.pages(Span.days(DAY, DAY))] == [DAY]
    with pytest.raises(SourceError, match=r"2026-01-06.*2026-01-06\.csv"):
        [*connector.pages(Span.days(DAY, DAY + dt.timedelta(days=1)))]


def test_files_whose_name_is_no_day_are_not_read(tmp_path: Path) -> None:
    for name in ("tx-2026-01-05.csv", "tx-latest.csv", "tx-2026-02-30.csv"):
        (tmp_path / name).write_text("a\n1\n")
    assert [Path(place).name for place in FilesConnector(FileLayout(tmp_path / "tx-{day}.csv")).places()] == [
        "tx-2026-01-05.csv"
    ]


def test_a_file_that_is_gone_is_missed_by_its_cursor(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("x\n1\n")
    connector = FilesConnector(FileLayout(tmp_path / "*.csv"))
    *_, (_, cursor) = connector.arrivals(None)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match=r"a\.csv"):
        [*connector.arrivals(cursor)]


def test_snapshots_of_a_file_that_holds_from_a_day_on(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a\n1\n")
    connector = FilesConnector(FileLayout(tmp_path / "list.csv", valid_from=DAY))
    assert [*connector.snapshot(DAY - dt.timedelta(days=1))] == []
    assert [page.rows.num_rows for page in connector.snapshot(DAY)] == [1]


def test_a_delta_table_is_read_in_its_latest_version_and_not_watched(tmp_path: Path) -> None:
    folder = tmp_path / "payments"
    old = pa.table({"id": ["1", "2"], "amt": [1.5, 20.0], "ds": ["2026-01-05", "2026-01-06"]})
    deltalake.write_deltalake(str(folder), old, partition_by=["ds"])
    layout = FileLayout(folder)
    before = layout.version
    more = pa.table({"id": ["3"], "amt": [3.25], "ds": ["2026-01-06"]})
    deltalake.write_deltalake(str(folder), more, mode="append")
    deltalake.DeltaTable(str(folder)).delete("id = '1'")
    assert layout.version != before
    connector = FilesConnector(layout)
    rows = [row for page in connector.pages() for row in page.rows.to_pylist()]
    assert sorted((row["id"], row["amt"], row["ds"]) for row in rows) == [
        ("2", "20", "2026-01-06"),
        ("3", "3.25", "2026-01-06"),
    ]
    assert [row["_row"] for row in rows] == [1, 2] and {row["_file"] for row in rows} == {"payments"}
    with pytest.raises(SourceError, match="order of arrival"):
        next(iter(connector.arrivals(None)))


def test_a_folder_that_is_no_delta_table_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a Delta table"):
        [*FilesConnector(FileLayout(tmp_path / "payments", "delta")).pages()]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_watched_file_that_lost_rows_is_an_error(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows.{suffix}"

    def write(rows: int) -> None:
        if suffix == "parquet":
            pq.write_table(pa.table({"id": [str(n) for n in range(rows)]}), file)
        elif suffix == "csv":
            file.write_text("id\n" + "".join(f"{n}\n" for n in range(rows)))
        else:
            file.write_text("".join(f'{{"id": "{n}"}}\n' for n in range(rows)))

    write(3)
    cursor = [cursor for _, cursor in FilesConnector(FileLayout(file)).arrivals(None)][-1]
    write(2)
    with pytest.raises(SourceError, match=r"2 rows.*3 were read"):
        [*FilesConnector(FileLayout(file)).arrivals(cursor)]
