"""The checkpoint file: written and read, also by and from version 0.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fraud_assets.live.checkpoint import BadCheckpoint, Checkpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "watch.json"


def test_a_checkpoint_is_read_as_it_was_written(file: Path) -> None:
    assert Checkpoint.read(file) == Checkpoint()
    written = Checkpoint("abc", "2026-03-12", ["2026-03-10", "2026-03-11"])
    written.write(file)
    assert Checkpoint.read(file) == written
    assert [path.name for path in file.parent.iterdir()] == ["watch.json"]


def test_a_checkpoint_of_version_0_1_is_read(file: Path) -> None:
    file.write_text(
        '{"cursor": "WyIvYXBpIl0", "day": "2026-11-20", "reopened": ["2026-11-18", "2026-11-19"]}\n', encoding="utf-8"
    )
    assert Checkpoint.read(file) == Checkpoint("WyIvYXBpIl0", "2026-11-20", ["2026-11-18", "2026-11-19"])


def test_version_0_1_reads_the_keys_that_are_written(file: Path) -> None:
    Checkpoint("WyIvYXBpIl0", "2026-11-20", ["2026-11-18"]).write(file)
    assert json.loads(file.read_text()) == {"cursor": "WyIvYXBpIl0", "day": "2026-11-20", "reopened": ["2026-11-18"]}


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
