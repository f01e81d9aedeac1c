"""The folder of an embedded warehouse: which folders are accepted, how they are claimed, and other files in them."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import deltalake
import pytest
from sqlglot import exp

from hive_io import Column, CountedFilter, EmbeddedWarehouse, HiveIOError, HiveQL, NotAWarehouse, Span
from hive_io.delta.warehouse import MARKER
from hive_io.dialect import parse
from tests.hive_io.delta.samples import NAME, folder_of, write_in_pieces
from tests.hive_io_fixtures import PAYMENTS, Payment, at, at_once, day, days, ds, payment, payments, rows_of, table_of

NOBODY = 65534
DAY_OF_AT = parse("SELECT date_format(at, 'yyyy-MM-dd') AS ds FROM x.y").selects[0]


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("not a folder")
    return folder / "file" / "lake"


def a_file(folder: Path) -> Path:
    (folder / "lake").write_text("not a folder")
    return folder / "lake"


def in_other_use(folder: Path) -> Path:
    (folder / "thesis.tex").write_text("do not touch")
    return folder


def of_another_format(folder: Path) -> Path:
    (folder / MARKER).write_text(json.dumps({"warehouse": "embedded", "format": 2}))
    return folder


def with_a_broken_marker(folder: Path) -> Path:
    (folder / MARKER).write_text("{")
    return folder


def with_a_folder_for_a_marker(folder: Path) -> Path:
    (folder / MARKER).mkdir()
    return folder


def on_a_read_only_file_system(folder: Path) -> Path:
    return Path("/proc/lake")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (below_a_file, "Not a directory"),
        (a_file, "File exists"),
        (in_other_use, f"other files in it and no {MARKER}"),
        (of_another_format, "expected .*'format': 1.*found .*'format': 2"),
        (with_a_broken_marker, "cannot be used as a warehouse"),
        (with_a_folder_for_a_marker, "Is a directory"),
        (on_a_read_only_file_system, "cannot be used as a warehouse"),
        (lambda folder: folder / "100%20", "has % in its path"),
        (lambda folder: folder / "lake[1]*?\\", r"has \* \? \[ \\ \] in its path"),
        (lambda folder: folder / "a^b|c" / "lake", r"has \^ \| in its path"),
    ],
)
def test_a_folder_that_cannot_be_a_warehouse_is_named_and_left_alone(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    folder = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NotAWarehouse, match=reason) as error:
        EmbeddedWarehouse(folder)
    assert str(folder) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a\tb", r"a\tb"),
        ("a\nb", r"a\nb"),
        ("\x1b[2J", r"\x1b"),
        ("a\x7f", r"\x7f"),
        ("a\x85b", r"\x85"),
        ("a\udcffb", r"\udcff"),
    ],
)
def test_a_path_with_control_characters_is_refused_in_one_printable_line(tmp_path: Path, name: str, escaped: str) -> None:
    linked = tmp_path / "link"
    linked.symlink_to(tmp_path / name, target_is_directory=True)
    for folder in (tmp_path / name / "lake", linked / "lake"):
        with pytest.raises(NotAWarehouse, match=r"control character|not UTF-8") as error:
            EmbeddedWarehouse(folder)
        assert escaped in str(error.value)
        assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == [linked]


def test_a_link_to_a_path_that_engines_misread_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "a%20b[1]"
    target.mkdir()
    (tmp_path / "link").symlink_to(target, target_is_directory=True)
    with pytest.raises(NotAWarehouse, match=r"% \[ \] in its path") as error:
        EmbeddedWarehouse(tmp_path / "link")
    assert str(tmp_path / "link") in str(error.value) and str(target) in str(error.value)
    assert list(target.iterdir()) == []


@contextmanager
def without_root() -> Iterator[None]:
    """Run as user `nobody` if this process is root, whom permissions do not bind."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter; those of `tmp_path` are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_new_folder_is_closed_to_others_and_an_older_one_keeps_its_permissions(public_folder: Path) -> None:
    assert EmbeddedWarehouse(public_folder / "lake").root.stat().st_mode & 0o777 == 0o700
    (public_folder / "open").mkdir(mode=0o755)
    assert EmbeddedWarehouse(public_folder / "open").root.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_is_not_writable_is_rejected(public_folder: Path) -> None:
    root = EmbeddedWarehouse(public_folder / "lake").root
    root.chmod(0o555)
    with without_root(), pytest.raises(NotAWarehouse, match="not writable") as error:
        EmbeddedWarehouse(root)
    assert str(root) in str(error.value)
    root.chmod(0o755)
    assert EmbeddedWarehouse(root).tables("fintech") == []


@pytest.mark.parametrize("name", ["with space", "Zürich 東京 😀", 'it\'s "quoted"', "a=b", "#1;--", "a+b&c", "deep/er/still"])
def test_a_folder_may_have_any_other_name(tmp_path: Path, name: str) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / name)
    warehouse.replace(PAYMENTS, payments(payment("old", at(1, 6)), payment("kept", at(1, 18))), days(1))
    warehouse.upsert(PAYMENTS, payments(payment("old", at(1, 7))))
    again = EmbeddedWarehouse(tmp_path / name)
    assert rows_of(again.read(NAME)) == rows_of(payments(payment("old", at(1, 7)), payment("kept", at(1, 18))))
    assert again.partitions(NAME) == {ds(1): 2}
    assert (tmp_path / name / "fintech.db" / "payments" / f"ds={ds(1)}").is_dir()


FOREIGN = replace(PAYMENTS, columns=(*PAYMENTS.columns, Column("currency", "STRING")))


def foreign(name: str, number: int, hour: int, currency: str | None) -> Payment:
    return (*payment(name, at(number, hour))[:3], currency, ds(number))


@pytest.mark.parametrize("linked", [False, True], ids=["direct", "through a link"])
@pytest.mark.parametrize(
    "above", ["currency=XXX", "ds=2020-02-02", "id=a b/currency=é", "amount=1", "currency=", "currency=1/ds=2/at=3", "a=b=c"]
)
def test_a_folder_above_that_is_named_like_a_column_changes_no_read(tmp_path: Path, above: str, linked: bool) -> None:
    root = tmp_path / above / "lake"
    if linked:
        root.mkdir(parents=True)
        (tmp_path / "link").symlink_to(root, target_is_directory=True)
        root = tmp_path / "link"
    lake = EmbeddedWarehouse(root)
    # older files lack the column, and get NULL
    lake.replace(PAYMENTS, payments(payment("old", at(1)), payment("old", at(2))), days(1, 2))
    lake.replace(FOREIGN, table_of(FOREIGN, foreign("a", 2, 6, "EUR"), foreign("b", 2, 18, None)), days(2))
    lake.upsert(FOREIGN, table_of(FOREIGN, foreign("a", 2, 7, "GBP"), foreign("c", 3, 6, "USD")))
    before = dt.datetime.now(dt.UTC)
    lake.upsert(FOREIGN, table_of(FOREIGN, foreign("b", 2, 20, "CHF")))
    lake.replace(FOREIGN, table_of(FOREIGN, foreign("d", 3, 5, "JPY")), Span(at(3, 4), at(3, 6)))

    now = [
        foreign("a", 2, 7, "GBP"),
        foreign("b", 2, 20, "CHF"),
        foreign("c", 3, 6, "USD"),
        foreign("d", 3, 5, "JPY"),
        foreign("old", 1, 0, None),
    ]
    names = FOREIGN.arrow_schema.names
    assert rows_of(lake.read(NAME, names)) == now
    assert rows_of(lake.read(NAME, ["id", "currency", "ds"], days(2, 3))) == [(r[0], r[3], r[4]) for r in now[:4]]
    assert lake.partitions(NAME) == {ds(1): 1, ds(2): 2, ds(3): 2}
    of_a_day = f"SELECT id, currency FROM {NAME} WHERE ds = '{ds(3)}'"
    assert rows_of(lake.query(HiveQL(of_a_day))) == [("c", "USD"), ("d", "JPY")]
    with lake.preloaded(NAME, HiveQL(f"SELECT id, at, amount, currency, ds FROM {NAME} WHERE ds >= '{ds(2)}'")):
        assert rows_of(lake.query(HiveQL(of_a_day))) == [("c", "USD"), ("d", "JPY")]
    counted = CountedFilter(
        parse(f"SELECT *, amount > 0 AS keep FROM {NAME}"), "keep", "at", [exp.column("currency"), DAY_OF_AT]
    )
    assert sorted(lake.query(counted).column("currency").to_pylist(), key=repr) == sorted([r[3] for r in now], key=repr)
    assert counted.counted == {ds(1): 1, ds(2): 2, ds(3): 2}

    then = sorted([foreign("a", 2, 7, "GBP"), foreign("b", 2, 18, None), now[2], now[4]], key=repr)
    assert rows_of(lake.as_of(before).read(NAME, names)) == then
    assert lake.compact(NAME, day(9)) == [ds(3)]
    assert rows_of(lake.read(NAME, names)) == now
    lake.vacuum(NAME, dt.timedelta(hours=1))
    assert rows_of(EmbeddedWarehouse(root).read(NAME, names)) == now


def test_only_files_of_the_days_are_opened_below_such_a_folder(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "currency=XXX" / "lake")
    lake.replace(PAYMENTS, payments(*[payment(f"{n}", at(n)) for n in (1, 2, 3)]), days(1, 3))
    for file in (folder_of(lake) / f"ds={ds(3)}").iterdir():
        file.write_bytes(b"not Parquet")
    # two places with bounds of their own: DuckDB, not the log, decides which files each of them opens
    both = f"SELECT id FROM {NAME} WHERE ds = '{ds(1)}' UNION ALL SELECT id FROM {NAME} WHERE ds = '{ds(2)}'"
    assert rows_of(lake.query(HiveQL(both))) == [("1",), ("2",)]


def test_rows_are_read_as_of_a_moment_before_a_compaction_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    lake = EmbeddedWarehouse(tmp_path / "link")
    write_in_pieces(lake, 1, pieces=3)
    moment = dt.datetime.now(dt.UTC)
    then = rows_of(lake.read(NAME))
    old = [Path(file) for file in deltalake.DeltaTable(str(folder_of(lake))).file_uris()]
    assert lake.compact(NAME, day(9)) == [ds(1)]
    for file in old:
        file.unlink()
    assert rows_of(lake.as_of(moment).read(NAME)) == then


def test_a_relative_path_stays_the_same_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = EmbeddedWarehouse("lake")
    here.replace(PAYMENTS, payments(payment("a", at(1))), days(1))
    monkeypatch.chdir("/")
    assert here.root == tmp_path / "lake"
    assert rows_of(here.read(NAME)) == rows_of(EmbeddedWarehouse(str(tmp_path / "lake")).read(NAME)) == [payment("a", at(1))]


def test_a_new_folder_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    for attempt in range(6):
        root = tmp_path / str(attempt)
        opened = at_once(*[lambda root=root: EmbeddedWarehouse(root).ensure_table(PAYMENTS)] * 6)  # type: ignore[misc]
        assert opened == [None] * 6
        assert json.loads((root / MARKER).read_text()) == {"warehouse": "embedded", "format": 1}
        assert EmbeddedWarehouse(root).tables("fintech") == ["payments"]


def test_other_files_in_the_place_of_a_table_are_left_alone(lake: EmbeddedWarehouse) -> None:
    folder = folder_of(lake)
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HiveIOError, match=r"fintech\.payments cannot be created.*move .*payments away"):
        lake.ensure_table(PAYMENTS)
    assert [path.name for path in folder.parent.rglob("*")] == ["payments", "notes.txt"]
    assert lake.tables("fintech") == []


def test_a_table_whose_creation_was_interrupted_does_not_exist(lake: EmbeddedWarehouse) -> None:
    unfinished = lake.root / "fintech.db" / ".payments.0123456789abcdef"
    deltalake.DeltaTable.create(str(unfinished), schema=PAYMENTS.arrow_schema)
    assert lake.tables("fintech") == []
    lake.ensure_table(PAYMENTS)
    assert lake.tables("fintech") == ["payments"]
