"""Dry runs: the columns and types of a query's result, without data."""

from __future__ import annotations

import pyarrow as pa
import pytest

from hive_io import Column, EmbeddedWarehouse, HiveQL, QueryError, Table
from hive_io.dry_run import result_schema
from tests.hive_io_fixtures import PAYMENTS

CUSTOMERS = Table("fintech", "customers", (Column("id", "STRING"), Column("tags", "ARRAY<STRING>"), Column("limit", "BIGINT")))
TABLES = {table.full_name: table for table in (PAYMENTS, CUSTOMERS)}
P = "fintech.payments"


def test_columns_and_types_of_a_result() -> None:
    query = HiveQL(
        "SELECT p.id, p.at, p.amount, p.amount + 1 AS more, CAST(p.amount AS DOUBLE) AS ratio, "
        "unix_timestamp(p.at) AS seconds, count(*) OVER (PARTITION BY p.id ORDER BY p.at, p.id) AS n, "
        "c.tags, c.`limit`, p.ds, :rule AS rule "
        f"FROM {P} p LEFT JOIN fintech.customers c ON c.id = p.id AND c.ds = p.ds",
        {"rule": "high_value"},
    )
    assert result_schema(query, TABLES) == pa.schema(
        [
            ("id", pa.string()),
            ("at", pa.timestamp("us")),
            ("amount", pa.decimal128(18, 2)),
            ("more", pa.decimal128(19, 2)),
            ("ratio", pa.float64()),
            ("seconds", pa.int64()),
            ("n", pa.int64()),
            ("tags", pa.list_(pa.string())),
            ("limit", pa.int64()),
            ("ds", pa.string()),
            ("rule", pa.string()),
        ]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"SELECT price FROM {P}", '"price" not found'),
        (f"SELECT p.price FROM {P} p", "price"),
        ("SELECT id FROM fintech.refunds", r"There is no table fintech\.refunds"),
        ("SELECT id FROM payments", r"named database\.table"),
        ("SELECT x FROM tables", r"named database\.table"),
        (f"SELECT id, count(*) AS n FROM {P}", "GROUP BY"),
        (f"SELECT sum(id) AS x FROM {P}", "sum"),
        (f"SELECT c.id FROM {P} p", '"c" not found'),
        (f"SELECT rand() AS x FROM {P}", "rand"),
        (f"SELECT id FROM {P} WHERE amount > :limit", ":limit has no value"),
    ],
)
def test_an_invalid_query_is_rejected_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(QueryError, match=reason) as error:
        result_schema(HiveQL(text), TABLES)
    assert len(str(error.value).splitlines()) == 1


def test_only_tables_that_the_query_reads_are_used() -> None:
    broken = Table("fintech", "broken", (Column("x", "MAP<STRING, INT>"),))
    tables = {**TABLES, "fintech.broken": broken}
    assert result_schema(HiveQL(f"SELECT id FROM {P}"), tables).names == ["id"]
    with pytest.raises(ValueError, match="MAP"):
        result_schema(HiveQL("SELECT x FROM fintech.broken"), tables)


def test_the_embedded_warehouse_returns_the_schema_of_the_dry_run(lake: EmbeddedWarehouse) -> None:
    for table in TABLES.values():
        lake.ensure_table(table)
    query = HiveQL(f"SELECT ds, sum(amount) AS total, count(DISTINCT id) AS n, collect_list(id) AS ids FROM {P} GROUP BY ds")
    assert lake.query(query).schema == result_schema(query, TABLES)
