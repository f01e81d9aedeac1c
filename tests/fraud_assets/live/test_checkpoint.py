"""The checkpoint file: written and read, also as version 0.1 wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraud_assets.live.checkpoint import BadCheckpoint, Checkpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "watch.json"


def test_a_checkpoint_is_read_as_it_was_written(file: Path) -> None:
    assert Checkpoint.read(file) == Checkpoint()
    written = Checkpoint("abc", "2026-03-12", ["2026-03-10", "2026-03-11"], "ab")
    written.write(file)
    assert Checkpoint.read(file) == written
    assert [path.name for path in file.parent.iterdir()] == ["watch.json"]


def test_a_checkpoint_of_version_0_1_is_read(file: Path) -> None:
    file.write_text(
        '{"cursor": "WyIvYXBpIl0", "day": "2026-11-20", "reopened": ["2026-11-18", "2026-11-19"]}\n', encoding="utf-8"
    )
    assert Checkpoint.read(file) == Checkpoint("WyIvYXBpIl0", "2026-11-20", ["2026-11-18", "2026-11-19"])


@pytest.mark.parametrize("text", ["", "[]", '{"cursor": "a", "other": 1}', '{"cursor": ', '{"late_days": []}', "\x00"])
def test_a_file_that_is_not_a_checkpoint(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadCheckpoint) as error:
        Checkpoint.read(file)
    assert str(file) in str(error.value) and "Delete it" in str(error.value)


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadCheckpoint):
        Checkpoint.read(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"cursor": 5}', "cursor"),
        ('{"cursor": ["a"]}', "cursor"),
        ('{"day": 20260312}', "day"),
        ('{"day": "2026-02-30"}', "2026-02-30"),
        ('{"day": "12 March"}', "12 March"),
        ('{"day": ""}', "YYYY-MM-DD"),
        ('{"reopened": "2026-03-12"}', "reopened"),
        ('{"reopened": [5]}', "reopened.0"),
        ('{"reopened": ["2026-03-12", "2026-3-1"]}', "reopened.1"),
        ('{"reopened": {"2026-03-12": 1}}', "reopened"),
        ('{"reopened": null}', "reopened"),
        ("null", "object"),
        ('"watch"', "object"),
        ("[" * 100_000, "JSON"),
        ('{"cursor": "\\ud800"}', "JSON"),
    ],
)
def test_a_checkpoint_with_wrong_types_is_refused_with_the_key(file: Path, text: str, named: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadCheckpoint) as error:
        Checkpoint.read(file)
    assert named in str(error.value) and str(file) in str(error.value) and "Delete it" in str(error.value)
    assert file.read_text(encoding="utf-8") == text


def test_a_folder_in_the_place_of_a_checkpoint_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(BadCheckpoint, match="directory"):
        Checkpoint.read(file)
