"""Labels from a file, for an evaluation against a truth that is not in the warehouse."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from fraud_assets.errors import LabelsError

ID = "transaction_id"
FLAGS = ("is_fraud", "tx_fraud")
"""Names of the column that says which transactions are frauds."""


def read_frauds(file: Path) -> set[str]:
    """The ids of the frauds in a Parquet or CSV file.

    It has the columns `transaction_id`, and `is_fraud` or `tx_fraud`: 0 or 1, or true or false.

    Raises:
        LabelsError: the file cannot be read, or has no such columns.
    """
    try:
        if file.suffix.lower() == ".csv":
            options = pyarrow.csv.ConvertOptions(column_types={ID: pa.string()})
            table = pyarrow.csv.read_csv(file, convert_options=options)
        else:
            names = pyarrow.parquet.read_schema(file).names
            table = pyarrow.parquet.read_table(file, columns=[name for name in (ID, *FLAGS) if name in names])
    except (OSError, pa.ArrowException) as error:
        raise LabelsError(f"{file} is not a readable Parquet or CSV file: {error}") from None
    flags = [name for name in FLAGS if name in table.column_names]
    if ID not in table.column_names or not flags:
        found = ", ".join(table.column_names)
        raise LabelsError(f"{file}: expected the columns {ID} and {' or '.join(FLAGS)}, found {found or 'neither'}")
    flag = table.column(flags[0])
    if not (pa.types.is_boolean(flag.type) or pa.types.is_integer(flag.type)):
        raise LabelsError(f"{file}: {flags[0]} must be 0 or 1, or true or false; found {flag.type}")
    frauds = table.column(ID).filter(pc.fill_null(flag.cast(pa.bool_()), False))
    return set(frauds.cast(pa.string()).to_pylist())
