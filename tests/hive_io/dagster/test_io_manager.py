"""Assets materialized by Dagster into an embedded warehouse, and loaded from it."""

import re
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


PANDAS = Table("fintech", "kinds", (*PAYMENTS.columns, Column("tags", "ARRAY<STRING>"), Column("yes", "BOOLEAN")))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(columns=PANDAS.arrow_schema.names),
        pd.DataFrame(columns=PANDAS.arrow_schema.names, dtype="str"),
        pd.DataFrame(columns=PANDAS.arrow_schema.names, dtype="string"),
        pd.DataFrame(columns=PANDAS.arrow_schema.names, dtype="float64"),
        pd.DataFrame(columns=PANDAS.arrow_schema.names, dtype="category"),
    ],
    ids=["object", "str", "string", "float64", "category"],
)
def test_a_frame_without_rows_is_written_whatever_its_types(tmp_path: Path, frame: pd.DataFrame) -> None:
    assert len(frame) == 0
    EmbeddedWarehouse(tmp_path).replace(PANDAS, table_of(PANDAS, (*payment("old", at(2))[:3], None, None, ds(2))), days(2))
    run(tmp_path, [writes(PANDAS, lambda _: frame)], 2)
    assert found(tmp_path, "fintech.kinds") == []
    assert EmbeddedWarehouse(tmp_path).read("fintech.kinds").schema == PANDAS.arrow_schema


def test_types_of_pandas_are_written_without_loss(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": pd.Categorical(["x", "y", "x"]),
            "at": pd.Series([None, pd.Timestamp("2026-01-02 03:00", tz="Asia/Tokyo"), None]),
            "amount": pd.Series([Decimal("0.10"), None, Decimal(7)], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
            "tags": [["a", None], [], None],
            "yes": pd.Series([True, None, False], dtype="boolean"),
            "ds": pd.Series([ds(2)] * 3, dtype=pd.ArrowDtype(pa.string_view())),
        }
    )
    run(tmp_path, [writes(PANDAS, lambda _: frame)], 2)
    assert found(tmp_path, "fintech.kinds") == sorted(
        [
            ("x", None, Decimal("0.10"), ["a", None], True, ds(2)),
            ("y", at(1, 18).replace(tzinfo=None), None, [], None, ds(2)),
            ("x", None, Decimal("7.00"), None, False, ds(2)),
        ],
        key=repr,
    )
    no_amount = frame.assign(amount=float("nan"))
    run(tmp_path, [writes(PANDAS, lambda _: no_amount)], 2)
    assert [row[2] for row in found(tmp_path, "fintech.kinds")] == [None, None, None]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (["secret-1", 5], r"fintech\.payments\.id: .*object"),
        ([2**70, 1], r"fintech\.payments\.id: .*object"),
        ([object(), None], r"fintech\.payments\.id: .*object"),
    ],
    ids=["text and number", "a large number", "an object"],
)
def test_a_column_of_several_types_is_named_without_its_values(tmp_path: Path, column: list[Any], text: str) -> None:
    frame = pd.DataFrame({"id": pd.Series(column, dtype=object), "at": None, "amount": None, "ds": ds(2)})
    with pytest.raises(SchemaMismatch, match=text) as raised:
        run(tmp_path, [writes(PAYMENTS, lambda _: frame)], 2)
    assert "secret" not in str(raised.value)
    twice = pd.DataFrame([["x", "y"]], columns=["id", "id"])
    with pytest.raises(SchemaMismatch, match=r"fintech\.payments has id more than once"):
        run(tmp_path, [writes(PAYMENTS, lambda _: twice)], 2)


# --- an asset that reads itself ---------------------------------------------------------------------------------------

TOTALS = Table("fintech", "totals", (Column("total", "BIGINT"),))
BEFORE = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def running_total(seen: list[Any], kind: type, table: Table = TOTALS, **how: Any) -> dg.AssetsDefinition:
    """An asset that adds one to its own total of the day before."""

    def total(context: dg.AssetExecutionContext, before: Any) -> pa.Table:
        seen.append(before)
        rows = before if isinstance(before, pa.Table) else pa.Table.from_pandas(before, preserve_index=False)
        last = max(rows.column("total").to_pylist(), default=0)
        more = [None] * (len(table.columns) - 1)
        return table_of(table, (last + 1, *more, context.partition_key))

    total.__annotations__ = {"context": dg.AssetExecutionContext, "before": kind, "return": pa.Table}
    ins = {"before": dg.AssetIn(key=[table.database, table.name], partition_mapping=BEFORE, **how)}
    return dg.asset(
        total, key=[table.database, table.name], ins=ins, partitions_def=DAYS, metadata=asset_metadata(table)
    )  # fmt: skip


@pytest.mark.parametrize("first", [1, 5], ids=["the first day", "a later day"])
@pytest.mark.parametrize("kind", [pa.Table, pd.DataFrame])
def test_an_asset_that_reads_its_own_earlier_day_starts_from_no_rows(tmp_path: Path, kind: type, first: int) -> None:
    seen: list[Any] = []
    asset = running_total(seen, kind)
    for number in (first, first + 1, first + 3):
        run(tmp_path, [asset], number)
    # the last run has no day before it
    assert found(tmp_path, "fintech.totals") == [(1, ds(first)), (1, ds(first + 3)), (2, ds(first + 1))]
    empty = seen[0]
    assert isinstance(empty, kind)
    assert list(getattr(empty, "column_names", None) or empty.columns) == ["total", "ds"]
    assert len(empty) == 0
    if kind is pa.Table:
        assert empty.schema == TOTALS.arrow_schema
    else:
        assert empty.dtypes["total"] == pd.ArrowDtype(pa.int64())


def test_an_asset_that_reads_itself_gets_the_columns_that_it_asks_for_and_those_that_it_gained(tmp_path: Path) -> None:
    seen: list[Any] = []
    run(tmp_path, [running_total(seen, pa.Table, metadata={"columns": ["total"]})], 2)
    grown = replace(TOTALS, columns=(*TOTALS.columns, Column("note", "STRING")))
    run(tmp_path, [running_total(seen, pa.Table, grown)], 3)
    assert [rows.column_names for rows in seen] == [["total"], ["total", "note", "ds"]]
    assert seen[1].to_pylist() == [{"total": 1, "note": None, "ds": ds(2)}]


def test_an_asset_that_reads_itself_still_misses_the_tables_of_others(tmp_path: Path) -> None:
    @dg.asset(
        key=["fintech", "totals"],
        partitions_def=DAYS,
        metadata=asset_metadata(TOTALS),
        ins={
            "before": dg.AssetIn(key=["fintech", "totals"], partition_mapping=BEFORE),
            "upstream": dg.AssetIn(key=KEYS["fintech.payments"]),
        },
    )
    def both(before: pa.Table, upstream: pa.Table) -> pa.Table:
        raise AssertionError("never called")

    with pytest.raises(TableNotFound, match=r"There is no table fintech\.payments"):
        run(tmp_path, [UPSTREAM, both], 2, select="fintech/totals")


# --- keys, schemas and partitions -------------------------------------------------------------------------------------


def in_a_schema(schema: Any, key: Sequence[str] = ("ignored", "payments")) -> dg.AssetsDefinition:
    @dg.asset(key=key, partitions_def=DAYS, metadata={**asset_metadata(PAYMENTS), "schema": schema})
    def written() -> pa.Table:
        return payments(payment("x", at(2)))

    return written


@pytest.mark.parametrize("key", [["ignored", "payments"], ["payments"], ["a", "b", "payments"]])
def test_the_metadata_schema_replaces_the_database_when_writing_and_when_loading(
    tmp_path: Path, instance: dg.DagsterInstance, key: list[str]
) -> None:
    seen: list[Any] = []

    @dg.asset(partitions_def=DAYS, ins={"upstream": dg.AssetIn(key=key)})
    def look(upstream: pa.Table) -> None:
        seen.append(upstream)

    run(tmp_path, [in_a_schema("bank", key), look], 2, instance=instance)
    assert rows_of(seen[0]) == found(tmp_path, "bank.payments") == [payment("x", at(2))]
    warehouse = EmbeddedWarehouse(tmp_path)
    assert (warehouse.tables("bank"), warehouse.tables("ignored"), warehouse.tables("b")) == (["payments"], [], [])
    record = instance.fetch_materializations(dg.AssetKey(key), limit=1).records[0]
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["dagster/table_name"].value == "bank.payments"


@pytest.mark.parametrize("schema", ["", 5, ["bank"]])
def test_a_schema_that_is_no_name_is_refused(tmp_path: Path, schema: Any) -> None:
    with pytest.raises(HiveIOError, match=rf"schema of ignored/payments: expected the name.*{re.escape(repr(schema))}"):
        run(tmp_path, [in_a_schema(schema)], 2)


def with_partitions(partitions: dg.PartitionsDefinition, key: Sequence[str] = ("fintech", "payments"), **more: Any) -> Any:
    @dg.asset(key=key, partitions_def=partitions, metadata={**asset_metadata(PAYMENTS), **more})
    def written() -> pa.Table:
        return payments(payment("x", at(2)))

    return written


def load_with(folder: Path, partitions: dg.PartitionsDefinition, partition_key: str, key: Sequence[str]) -> None:
    """Load an asset with such partitions, whose table another program has written."""

    @dg.asset(ins={"upstream": dg.AssetIn(key=key)}, partitions_def=partitions)
    def look(upstream: pa.Table) -> None:
        raise AssertionError("never called")

    external = dg.AssetSpec(key, partitions_def=partitions).with_io_manager_key("io_manager")
    materialize(folder, [external, look], partition_key, "look")


def materialize(folder: Path, assets: Sequence[Any], partition_key: str | None, select: str = "*") -> None:
    definitions = dg.Definitions(
        assets=assets,
        jobs=[dg.define_asset_job("job", selection=select)],
        resources={"io_manager": manager(folder)},
    )
    definitions.resolve_job_def("job").execute_in_process(partition_key=partition_key)


NOT_DAYS: dict[str, tuple[dg.PartitionsDefinition, Any, str]] = {
    "hours": (dg.HourlyPartitionsDefinition("2026-01-01-00:00"), "2026-01-02-05:00", r"'0 \* \* \* \*' in UTC"),
    "days of a zone": (
        dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin"), ds(2), r"'0 0 \* \* \*' in Europe/Berlin"
    ),
    "days that begin at 6": (dg.DailyPartitionsDefinition("2026-01-01", hour_offset=6), ds(2), r"'0 6 \* \* \*' in UTC"),
    "days that begin at 0:30": (dg.DailyPartitionsDefinition("2026-01-01", minute_offset=30), ds(2), r"'30 0 \* \* \*'"),
    "weeks": (dg.WeeklyPartitionsDefinition("2026-01-04"), "2026-01-04", r"'0 0 \* \* 0' in UTC"),
    "months": (dg.MonthlyPartitionsDefinition("2026-01-01"), "2026-01-01", r"'0 0 1 \* \*' in UTC"),
    "names": (dg.StaticPartitionsDefinition([ds(2), "b"]), ds(2), "StaticPartitionsDefinition"),
    "days and names": (
        dg.MultiPartitionsDefinition({"ds": DAYS, "source": dg.StaticPartitionsDefinition(["a", "b"])}),
        dg.MultiPartitionKey({"ds": ds(2), "source": "a"}),
        "MultiPartitionsDefinition",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_DAYS)
def test_partitions_other_than_days_in_utc_are_refused_when_written_and_when_loaded(tmp_path: Path, kind: str) -> None:
    partitions, partition_key, found_ones = NOT_DAYS[kind]
    EmbeddedWarehouse(tmp_path).replace(PAYMENTS, payments(payment("old", at(2))), days(2))
    for attempt in (
        lambda: materialize(tmp_path, [with_partitions(partitions)], partition_key),
        lambda: load_with(tmp_path, partitions, partition_key, ["fintech", "payments"]),
    ):
        with pytest.raises(HiveIOError, match=rf"fintech/payments: expected partitions that are days in UTC.*{found_ones}"):
            attempt()
    assert found(tmp_path) == [payment("old", at(2))]


@pytest.mark.parametrize(
    ("partitions", "partition_key"),
    [
        (dg.DailyPartitionsDefinition("2026-01-01", timezone="Etc/UTC"), ds(2)),
        (dg.DailyPartitionsDefinition("20260101", fmt="%Y%m%d"), "20260102"),
        (dg.TimeWindowPartitionsDefinition(start="2026-01-01", fmt="%Y-%m-%d", cron_schedule="0 0 * * *"), ds(2)),
    ],
)
def test_days_in_utc_are_taken_however_they_are_described(
    tmp_path: Path, instance: dg.DagsterInstance, partitions: dg.PartitionsDefinition, partition_key: str
) -> None:
    definitions = dg.Definitions(assets=[with_partitions(partitions)], resources={"io_manager": manager(tmp_path)})
    job = definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(partition_key=partition_key, instance=instance)
    assert found(tmp_path) == [payment("x", at(2))]
    assert row_counts(instance, "fintech.payments") == {partition_key: 1}


def test_an_asset_key_without_a_database_is_refused(tmp_path: Path) -> None:
    for attempt in (
        lambda: materialize(tmp_path, [with_partitions(DAYS, ["payments"])], ds(2)),
        lambda: load_with(tmp_path, DAYS, ds(2), ["payments"]),
    ):
        with pytest.raises(HiveIOError, match=r"\['payments'\] names no database; use \[database, table\]"):
            attempt()


def test_an_op_output_and_another_partition_expression_are_refused(tmp_path: Path) -> None:
    @dg.op(out=dg.Out(io_manager_key="io_manager"))
    def rows() -> pa.Table:
        return payments(payment("x", at(2)))

    @dg.job(resource_defs={"io_manager": manager(tmp_path), "lake": WarehouseResource(location=str(tmp_path))})
    def a_job() -> None:
        rows()

    with pytest.raises(HiveIOError, match=r"output of an op.*\[database, table\]"):
        a_job.execute_in_process()
    with pytest.raises(HiveIOError, match=r"partition_expr of fintech/payments: expected 'ds', found 'day'"):
        materialize(tmp_path, [with_partitions(DAYS, partition_expr="day")], ds(2))


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


def test_the_result_of_a_query_is_upserted(tmp_path: Path) -> None:
    run(tmp_path, [writes(PAYMENTS, as_arrow)], 2)
    run(tmp_path, [writes(PAYMENTS, as_query, upsert=True)], 2)
    assert found(tmp_path) == expected(2)


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
