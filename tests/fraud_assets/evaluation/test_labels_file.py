"""Labels from a file: both formats and names of columns, and files that are something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fraud_assets.errors import LabelsError
from fraud_assets.evaluation.labels_file import read_frauds


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(columns), path)
    else:
        pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("name", "flags"), [("tx_fraud", [1, 0, None, 1]), ("is_fraud", [True, False, None, True]), ("is_fraud", [1, 0, 0, 1])]
)
def test_frauds_are_read(tmp_path: Path, suffix: str, name: str, flags: list[Any]) -> None:
    path = write(tmp_path / f"labels.{suffix}", {"amount": [1.5, 2.5, 3.5, 4.5], "transaction_id": [7, 8, 9, 10], name: flags})
    assert read_frauds(path) == {"7", "10"}


def test_an_id_keeps_its_zeros(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("transaction_id,is_fraud\n007,1\n08,0\n1e3,1\n")
    assert read_frauds(path) == {"007", "1e3"}


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"id": [1], "is_fraud": [1]}, ["transaction_id", "tx_fraud", "id"]),
        ({"transaction_id": [1], "label": [1]}, ["is_fraud", "transaction_id"]),
        ({"transaction_id": [1], "is_fraud": ["yes"]}, ["is_fraud", "string"]),
    ],
)
def test_other_columns_are_named(tmp_path: Path, columns: dict[str, list[Any]], named: list[str]) -> None:
    for suffix in ("csv", "parquet"):
        with pytest.raises(LabelsError) as error:
            read_frauds(write(tmp_path / f"labels.{suffix}", columns))
        assert all(name in str(error.value) for name in ["labels.", *named])


@pytest.mark.parametrize("name", ["labels.parquet", "labels.csv", "missing.parquet", "missing.csv"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "labels.parquet").write_text("no parquet")
    (tmp_path / "labels.csv").write_text("a,b\n1\n1,2,3\n")
    with pytest.raises(LabelsError, match=name):
        read_frauds(tmp_path / name)
