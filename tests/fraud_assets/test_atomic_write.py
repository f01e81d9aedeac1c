"""Atomic writes of small text files."""

from __future__ import annotations

import multiprocessing
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fraud_assets.atomic_write import write_atomically

TEXTS = [letter * 10_000 for letter in "abcd"]


def _write_often(file: Path) -> None:
    with ThreadPoolExecutor(len(TEXTS)) as pool:
        list(pool.map(lambda text: [write_atomically(file, text) for _ in range(100)], TEXTS))


def test_threads_and_processes_write_one_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "dagster" / "dagster.yaml"
    processes = [multiprocessing.get_context("spawn").Process(target=_write_often, args=(file,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert file.read_text(encoding="utf-8") in TEXTS
    assert list(file.parent.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_text(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\ud800")
    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_permissions_are_those_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    write_atomically(file, "{}", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
