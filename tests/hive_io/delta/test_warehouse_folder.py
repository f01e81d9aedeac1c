"""The folder of an embedded warehouse: which folders are accepted, how they are claimed, and other files in them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import deltalake
import pytest

from hive_io import EmbeddedWarehouse, HiveIOError, NotAWarehouse
from hive_io.delta.warehouse import MARKER
from tests.hive_io.delta.samples import NAME, folder_of
from tests.hive_io_fixtures import PAYMENTS, at, at_once, days, ds, payment, payments, rows_of

NOBODY = 65534


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
        (lambda folder: folder / "ds=1" / "lake", "read as a partition"),
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
