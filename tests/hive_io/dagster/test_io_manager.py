"""Assets materialized by Dagster into an embedded warehouse, and loaded from it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from hive_io import (
    Column,
    EmbeddedWarehouse,
    HiveIOError,
    HiveQL,
    NotAWarehouse,
    RowsOutsideSpan,
    SchemaMismatch,
    Table,
    TableNotFound,
)
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from hive_io.dagster.table_slices import asset_metadata
from hive_io.locations import open_warehouse
from tests.hive_io_fixtures import PAYMENTS, Payment, at, days, ds, payment, payments, rows_of, table_of

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-15")
AMOUNTS = Table("fintech", "amounts", (Column("id", "STRING"), Column("amount", "DECIMAL(18,2)")), key=("id",))
KEYS = {"fintech.payments": dg.AssetKey(["fintech", "payments"]), "fintech.amounts": dg.AssetKey(["fintech", "amounts"])}

Made = Callable[[dg.AssetExecutionContext], Any]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def writes(table: Table, make: Made, *, upsert: bool = False) -> dg.AssetsDefinition:
    """An asset that returns the result of `make` for its days, one day or a range of days in a run."""

    @dg.asset(
        key=[table.database, table.name],
        partitions_def=DAYS,
        metadata=asset_metadata(table, upsert=upsert),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def written(context: dg.AssetExecutionContext) -> Any:
        return make(context)

    return written


def reads(seen: list[Any], kind: type, table: Table = PAYMENTS, **how: Any) -> dg.AssetsDefinition:
    """An asset that appends its input from `table` to `seen` and writes nothing."""

    def look(context: dg.AssetExecutionContext, upstream: Any) -> None:
        seen.append(upstream)

    look.__annotations__ = {"context": dg.AssetExecutionContext, "upstream": kind, "return": None}
    ins = {"upstream": dg.AssetIn(key=[table.database, table.name], **how)}
    return dg.asset(look, name="look", ins=ins, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())


def run(
    folder: Path,
    assets: Sequence[dg.AssetsDefinition],
    first: int,
    last: int | None = None,
    *,
    instance: dg.DagsterInstance | None = None,
    select: str = "*",
) -> dg.ExecuteInProcessResult:
    """Materialize a day, or a range of days in one run, with a new warehouse object."""
    definitions = dg.Definitions(
        assets=assets,
        jobs=[dg.define_asset_job("job", selection=select)],
        resources={"io_manager": HiveIOManagerFactory(lake=WarehouseResource(location=str(folder)))},
    )
    job = definitions.resolve_job_def("job")
    if last is None:
        return job.execute_in_process(partition_key=ds(first), instance=instance)
    tags = {"dagster/asset_partition_range_start": ds(first), "dagster/asset_partition_range_end": ds(last)}
    return job.execute_in_process(tags=tags, instance=instance)


def of_its_days(context: dg.AssetExecutionContext, amount: str = "1.00") -> list[Payment]:
    """As many rows on each day of the run as the day's number; none on the 4th."""
    numbers = [int(key[-2:]) for key in context.partition_keys]
    return [payment(f"{day}/{n}", at(day, n), amount) for day in numbers if day != 4 for n in range(day)]


def as_arrow(context: dg.AssetExecutionContext) -> pa.Table:
    return payments(*of_its_days(context))


def as_pandas(context: dg.AssetExecutionContext) -> pd.DataFrame:
    frame = pd.DataFrame([dict(zip(PAYMENTS.arrow_schema.names, row, strict=True)) for row in of_its_days(context)])
    # columns and rows in another order, as pandas code leaves them
    return frame[["ds", "amount", "at", "id"]].sort_values("id", ascending=False)


def as_query(context: dg.AssetExecutionContext) -> HiveQL:
    numbers = [int(key[-2:]) for key in context.partition_keys]
    row = (
        "SELECT '{d}/{n}' AS id, CAST('2026-01-{d:02} {n:02}:00:00' AS TIMESTAMP) AS at, "
        "CAST('1.00' AS DECIMAL(18,2)) AS amount, '2026-01-{d:02}' AS ds"
    )
    rows = [row.format(d=day, n=n) for day in numbers if day != 4 for n in range(day)]
    return HiveQL(" UNION ALL ".join(rows))


def expected(*numbers: int) -> list[Payment]:
    return sorted((payment(f"{day}/{n}", at(day, n)) for day in numbers if day != 4 for n in range(day)), key=repr)


def found(folder: Path, table: str = "fintech.payments") -> list[Payment]:
    return rows_of(EmbeddedWarehouse(folder).read(table))


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [as_arrow, as_pandas, as_query])
def test_a_write_of_a_day_or_range_leaves_other_days_alone(tmp_path: Path, make: Made) -> None:
    asset = writes(PAYMENTS, make)
    run(tmp_path, [asset], 2)
    assert found(tmp_path) == expected(2)
    run(tmp_path, [asset], 1)
    assert found(tmp_path) == expected(1, 2)
    run(tmp_path, [asset], 3, 5)
    assert found(tmp_path) == expected(1, 2, 3, 5)
    # again, as a day and as a range over days that exist
    run(tmp_path, [asset], 2)
    run(tmp_path, [asset], 2, 5)
    assert found(tmp_path) == expected(1, 2, 3, 5)


def test_materializing_a_range_again_deletes_rows_that_are_gone(tmp_path: Path) -> None:
    run(tmp_path, [writes(PAYMENTS, as_arrow)], 1, 5)
    only_the_second = writes(PAYMENTS, lambda _: payments(payment("new", at(2))))
    run(tmp_path, [only_the_second], 2, 5)
    assert found(tmp_path) == sorted([*expected(1), payment("new", at(2))], key=repr)


def test_an_upsert_replaces_only_rows_with_the_same_key(tmp_path: Path) -> None:
    run(tmp_path, [writes(PAYMENTS, as_arrow)], 1, 3)
    changed = payments(payment("3/0", at(3, 9), "9.00"), payment("3/new", at(3)))
    upserted = writes(PAYMENTS, lambda _: changed, upsert=True)
    for _ in range(2):
        run(tmp_path, [upserted], 3)
    kept = [row for row in expected(1, 2, 3) if row[0] != "3/0"]
    assert found(tmp_path) == sorted([*kept, *rows_of(changed)], key=repr)


def test_an_asset_without_rows_creates_its_table(tmp_path: Path) -> None:
    run(tmp_path, [writes(PAYMENTS, lambda _: payments())], 1)
    warehouse = EmbeddedWarehouse(tmp_path)
    assert warehouse.tables("fintech") == ["payments"]
    assert warehouse.read("fintech.payments").schema == PAYMENTS.arrow_schema


def test_row_counts_are_recorded_for_each_partition(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    asset = writes(PAYMENTS, as_arrow)
    run(tmp_path, [asset], 7, instance=instance)
    run(tmp_path, [asset], 2, 5, instance=instance)
    assert row_counts(instance, "fintech.payments") == {ds(2): 2, ds(3): 3, ds(4): 0, ds(5): 5, ds(7): 7}
    for key in (ds(2), ds(4), ds(5)):
        record = instance.fetch_materializations(
            dg.AssetRecordsFilter(KEYS["fintech.payments"], asset_partitions=[key]), limit=1
        )
        metadata = record.records[0].asset_materialization.metadata  # type: ignore[union-attr]
        assert metadata["dagster/table_name"].value == "fintech.payments"


def test_row_counts_of_an_upsert_include_the_rows_that_stay(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    run(tmp_path, [writes(PAYMENTS, as_arrow)], 3, instance=instance)
    upserted = writes(PAYMENTS, lambda _: payments(payment("3/0", at(3)), payment("more", at(3))), upsert=True)
    run(tmp_path, [upserted], 3, instance=instance)
    assert row_counts(instance, "fintech.payments") == {ds(3): 4}


def row_counts(instance: dg.DagsterInstance, table: str) -> dict[str, Any]:
    """The newest count of each partition, as Dagster shows it."""
    counts: dict[str, Any] = {}
    for record in instance.fetch_materializations(KEYS[table], limit=100).records:
        assert record.asset_materialization is not None
        value = record.asset_materialization.metadata.get("dagster/partition_row_count")
        counts.setdefault(str(record.partition_key), value and value.value)
    return dict(sorted(counts.items()))


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def five_days(tmp_path: Path) -> Path:
    EmbeddedWarehouse(tmp_path).replace(PAYMENTS, payments(*expected(1, 2, 3, 5)), days(1, 5))
    return tmp_path


UPSTREAM = dg.AssetSpec(KEYS["fintech.payments"], partitions_def=DAYS, metadata=asset_metadata(PAYMENTS)).with_io_manager_key(
    "io_manager"
)


def load(folder: Path, first: int, last: int | None = None, kind: type = pa.Table, **how: Any) -> Any:
    seen: list[Any] = []
    run(folder, [UPSTREAM, reads(seen, kind, **how)], first, last, select="look")
    (upstream,) = seen
    assert isinstance(upstream, kind)
    return upstream


def test_a_partition_is_loaded_as_arrow(five_days: Path) -> None:
    rows = load(five_days, 2)
    assert rows.schema == PAYMENTS.arrow_schema
    assert rows_of(rows) == expected(2)


def test_a_range_of_partitions_is_loaded_at_once(five_days: Path) -> None:
    assert rows_of(load(five_days, 2, 4)) == expected(2, 3)


def test_a_partition_without_rows_is_loaded_with_its_columns(five_days: Path) -> None:
    rows = load(five_days, 4)
    assert rows.schema == PAYMENTS.arrow_schema
    assert rows.num_rows == 0


def test_pandas_keeps_decimals_and_nulls(tmp_path: Path) -> None:
    rows = [payment("a", at(1), "9999999999999999.99"), payment("b", at(1), None)]
    EmbeddedWarehouse(tmp_path).replace(PAYMENTS, payments(*rows), days(1))
    frame = load(tmp_path, 1, kind=pd.DataFrame).sort_values("id")
    assert frame.dtypes["amount"] == pd.ArrowDtype(pa.decimal128(18, 2))
    first, second = frame["amount"]
    assert first == Decimal("9999999999999999.99")
    assert second is pd.NA
    assert frame.columns.tolist() == PAYMENTS.arrow_schema.names


def test_a_loaded_dataframe_can_be_written_unchanged(five_days: Path) -> None:
    copies = replace(PAYMENTS, name="copies")

    @dg.asset(
        key=["fintech", "copies"],
        partitions_def=DAYS,
        metadata=asset_metadata(copies),
        ins={"upstream": dg.AssetIn(key=KEYS["fintech.payments"])},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def copied(upstream: pd.DataFrame) -> pd.DataFrame:
        return upstream

    run(five_days, [UPSTREAM, copied], 1, 5, select="fintech/copies")
    assert found(five_days, "fintech.copies") == expected(1, 2, 3, 5)


def test_only_the_columns_asked_for_are_loaded(five_days: Path) -> None:
    rows = load(five_days, 2, metadata={"columns": ["amount", "id"]})
    assert rows.schema.names == ["amount", "id"]
    assert rows_of(rows) == [(Decimal("1.00"), "2/0"), (Decimal("1.00"), "2/1")]


def test_a_partition_mapping_loads_the_mapped_days(five_days: Path) -> None:
    before = dg.TimeWindowPartitionMapping(start_offset=-2, end_offset=-1)
    assert rows_of(load(five_days, 5, partition_mapping=before)) == expected(3)
    assert rows_of(load(five_days, 4, partition_mapping=before)) == expected(2, 3)
    assert rows_of(load(five_days, 4, 6, partition_mapping=before)) == expected(2, 3, 5)


def test_a_partition_mapping_before_the_first_day_loads_the_days_that_exist(five_days: Path) -> None:
    before = dg.TimeWindowPartitionMapping(start_offset=-3, end_offset=-1, allow_nonexistent_upstream_partitions=True)
    assert rows_of(load(five_days, 2, partition_mapping=before)) == expected(1)
    rows = load(five_days, 1, partition_mapping=before)
    assert rows.schema == PAYMENTS.arrow_schema
    assert rows.num_rows == 0


def test_the_default_load_type_is_arrow(five_days: Path) -> None:
    seen: list[Any] = []
    run(five_days, [UPSTREAM, reads(seen, Any)], 1, select="look")  # type: ignore[arg-type]
    assert [rows_of(rows) for rows in seen] == [expected(1)]


def test_assets_of_one_run_exchange_rows_through_the_warehouse(tmp_path: Path) -> None:
    @dg.asset(
        key=["fintech", "amounts"],
        partitions_def=DAYS,
        metadata=asset_metadata(AMOUNTS),
        ins={"upstream": dg.AssetIn(key=KEYS["fintech.payments"], metadata={"columns": ["id", "amount", "ds"]})},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def doubled(upstream: pa.Table) -> pa.Table:
        return table_of(AMOUNTS, *[(row["id"], row["amount"] * 2, row["ds"]) for row in upstream.to_pylist()])

    run(tmp_path, [writes(PAYMENTS, as_query), doubled], 1, 3)
    assert found(tmp_path, "fintech.amounts") == [(row[0], Decimal("2.00"), row[3]) for row in expected(1, 2, 3)]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableNotFound, match=r"There is no table fintech\.payments"):
        load(tmp_path, 1)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda _: None, dg.DagsterInvariantViolationError, "None"),
        (lambda _: [1, 2], Exception, "does not have a handler for type"),
        (lambda _: payments(payment("x", at(9))), RowsOutsideSpan, "1 of 1 rows for fintech.payments .*2026-01-02"),
        (lambda _: payments().drop_columns(["amount"]), SchemaMismatch, "fintech.payments.*amount"),
        (lambda _: pd.DataFrame({"id": ["x"], "at": [None], "amount": [0.5], "ds": [ds(2)]}), SchemaMismatch, "DECIMAL"),
    ],
    ids=["None", "a list", "rows of another day", "a missing column", "floats of pandas"],
)
def test_invalid_output_fails_the_run_and_keeps_the_old_rows(
    tmp_path: Path, make: Made, error: type[Exception], text: str
) -> None:
    run(tmp_path, [writes(PAYMENTS, as_arrow)], 2)
    with pytest.raises(error, match=text):
        run(tmp_path, [writes(PAYMENTS, make)], 2)
    assert found(tmp_path) == expected(2)


def test_a_query_cannot_be_upserted(tmp_path: Path) -> None:
    with pytest.raises(HiveIOError, match=r"fintech\.payments is upserted by key.*query"):
        run(tmp_path, [writes(PAYMENTS, as_query, upsert=True)], 2)


def test_the_error_for_an_asset_without_partitions_or_columns_names_what_it_lacks(tmp_path: Path) -> None:
    @dg.asset(key=["fintech", "payments"], metadata=asset_metadata(PAYMENTS), io_manager_def=manager(tmp_path))
    def whole() -> pa.Table:
        return payments()

    @dg.asset(key=["fintech", "payments"], io_manager_def=manager(tmp_path))
    def undescribed() -> pa.Table:
        return payments()

    for asset, text in ((whole, "daily partitions definition"), (undescribed, "hive_io.dagster.table_slices.asset_metadata")):
        with pytest.raises(HiveIOError, match=text):
            dg.Definitions(assets=[asset]).resolve_implicit_global_asset_job_def().execute_in_process()


def manager(folder: Path) -> HiveIOManagerFactory:
    return HiveIOManagerFactory(lake=WarehouseResource(location=str(folder)))


def test_nothing_connects_when_definitions_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    impossible = tmp_path / "file" / "lake"
    asset = writes(PAYMENTS, as_arrow)
    definitions = dg.Definitions(assets=[asset], resources={"io_manager": manager(impossible)})
    dg.Definitions.validate_loadable(definitions)
    assert definitions.resolve_implicit_global_asset_job_def().name == "__ASSET_JOB"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(dg.DagsterResourceFunctionError) as failed:
        run(impossible, [asset], 1)
    assert isinstance(failed.value.__cause__, NotAWarehouse)
    assert "Not a directory" in str(failed.value.__cause__)


def test_a_location_of_another_kind_is_rejected() -> None:
    with pytest.raises(NotAWarehouse, match=r"s3:// is not a warehouse; .*hive://"):
        open_warehouse("s3://bucket/lake")
