"""A labelled file through the HTTP API and every asset, by `fraud replay`."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from hive_io import EmbeddedWarehouse, Warehouse
from tests.e2e.lakes import assert_same, labelled_file, rows_of

pytestmark = pytest.mark.slow

FIRST, DAYS, END = dt.date(2018, 4, 1), 16, "2018-04-17"
ABSENT = (
    "currency", "merchant_name", "merchant_category", "merchant_city", "merchant_country", "merchant_latitude",
    "merchant_longitude", "transaction_type", "channel", "status", "ingested_at",
)  # fmt: skip


@pytest.mark.long
def test_replay_loads_every_row_and_a_second_replay_changes_none(tmp_path: Path) -> None:
    rows = labelled_file(tmp_path / "labelled.parquet", FIRST, DAYS)
    lake = tmp_path / "lake"
    said = _replay(tmp_path / "labelled.parquet", "2018-04-01", END, lake)
    warehouse = EmbeddedWarehouse(lake)
    before = rows_of(warehouse)
    loaded = warehouse.read("fintech.transactions")
    assert loaded.num_rows == len(rows)
    expected = sum(Decimal(str(row["tx_amount"])) for row in rows)
    assert pc.sum(loaded.column("amount")).as_py() == expected
    assert f"Transactions: {len(rows):,}   sum of amounts: {expected:,}" in said
    assert {row["transaction_id"] for row in loaded.to_pylist()} == {str(row["transaction_id"]) for row in rows}
    times = {row["transaction_id"]: row["event_time"] for row in loaded.to_pylist()}
    assert all(times[str(row["transaction_id"])] == row["tx_datetime"] for row in rows)
    assert all(loaded.column(name).null_count == loaded.num_rows for name in ABSENT), "columns that the file lacks are NULL"
    assert _reports(warehouse) == {
        (str(row["transaction_id"]), row["tx_datetime"] + dt.timedelta(days=7))
        for row in rows
        if row["tx_fraud"] and row["tx_datetime"] + dt.timedelta(days=7) < dt.datetime.fromisoformat(END)
    }
    labels = warehouse.read("fintech.labels").to_pylist()
    assert {(row["transaction_id"], row["known_at"]) for row in labels} == _reports(warehouse)
    assert {row["transaction_id"]: row["event_time"] for row in labels} == {
        row["transaction_id"]: times[row["transaction_id"]] for row in labels
    }
    # frauds are known after seven days: of sixteen days, the first nine are mature
    assert "9 of 16 days, the last 2018-04-09" in " ".join(said.split())
    assert before["risky_merchant"] and before["unusual_transaction"], "a replay without hits would prove little"

    _replay(tmp_path / "labelled.parquet", "2018-04-01", END, lake)
    assert_same(before, rows_of(warehouse))


@pytest.mark.long
def test_later_data_does_not_change_an_earlier_day(tmp_path: Path) -> None:
    """All labels and rows after day D change; the profiles, hits and alerts of D do not."""
    _replay_with_future(tmp_path, "one", seed=None)
    _replay_with_future(tmp_path, "other", seed=99)
    one, other = (rows_of(EmbeddedWarehouse(tmp_path / name), until="2018-04-14") for name in ("one", "other"))
    assert_same(one, other)
    assert one["fraud_alerts"] and one["customer_profiles"] and one["merchant_profiles"]
    later = [
        EmbeddedWarehouse(tmp_path / name).partitions("fintech.fraud_alerts").get("2018-04-16") for name in ("one", "other")
    ]
    assert later[0] != later[1], "the later days do differ"


def _replay_with_future(folder: Path, name: str, seed: int | None) -> None:
    """The same 13 days, then three days of another seed, with inverted labels for every row after D."""
    last = dt.datetime(2018, 4, 14)
    labelled_file(folder / "past.parquet", FIRST, DAYS)
    past = pq.read_table(folder / "past.parquet")
    kept = past.filter(pc.less(past.column("tx_datetime"), pa.scalar(last, pa.timestamp("ns"))))
    labelled_file(folder / "future.parquet", last.date(), 3, a_day=80, seed=seed or 5)
    future = pq.read_table(folder / "future.parquet")
    numbers = pc.cast(pc.add(future.column("transaction_id"), 1_000_000), pa.int32())
    future = future.set_column(0, "transaction_id", numbers)
    if seed:
        turned = pc.cast(pc.subtract(1, future.column("tx_fraud")), pa.int32())
        future = future.set_column(future.column_names.index("tx_fraud"), "tx_fraud", turned)
        # labels of the last 7 days before D are reported after D
        hidden = pc.greater_equal(kept.column("tx_datetime"), pa.scalar(last - dt.timedelta(days=7), pa.timestamp("ns")))
        fraud = pc.if_else(hidden, pc.subtract(1, kept.column("tx_fraud")), kept.column("tx_fraud"))
        kept = kept.set_column(kept.column_names.index("tx_fraud"), "tx_fraud", pc.cast(fraud, pa.int32()))
    pq.write_table(pa.concat_tables([kept, future]), folder / f"{name}.parquet")
    _replay(folder / f"{name}.parquet", "2018-04-01", END, folder / name)


def _replay(file: Path, first: str, end: str, lake: Path) -> str:
    result = CliRunner().invoke(main, ["replay", str(file), "--from", first, "--to", end, "--warehouse", str(lake)])
    assert result.exit_code == 0, result.output
    return result.output


def _reports(warehouse: Warehouse) -> set[tuple[str, dt.datetime]]:
    rows = warehouse.read("fintech.fraud_reports", ["transaction_id", "reported_at"]).to_pylist()
    return {(row["transaction_id"], row["reported_at"]) for row in rows}
