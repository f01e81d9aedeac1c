"""The public names of `hive_io`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hive_io
from tests.public_names import assert_public_names

ENGINES = {"deltalake", "duckdb", "pyhive"}


def test_public_names_are_sorted_complete_and_documented() -> None:
    assert_public_names("hive_io")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"hive_io.*nosuch"):
        _ = hive_io.nosuch  # type: ignore[attr-defined]


def test_names_that_need_an_engine_are_imported_on_first_use() -> None:
    assert set(hive_io._LAZY) < set(hive_io.__all__)
    program = "import sys, hive_io; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "hive_io.table" in modules and ENGINES.isdisjoint(modules)
