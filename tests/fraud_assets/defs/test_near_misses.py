"""The asset `near_misses`: rows of all rules by day, and the check that finds who comes closer each time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import dagster as dg
import pytest

from fraud_assets.definitions import advisory_checks, build_definitions
from fraud_assets.defs.asset_specs import daily, key
from fraud_assets.defs.near_misses import COMES_CLOSER, near_miss_assets
from fraud_assets.detection.rule_book import RuleBook, read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.schemas.detection import NEAR_MISSES
from fraud_assets.settings import read_settings
from fraud_assets.workshop.stored_near import CREEP_DAYS, stored_creeping
from fraud_assets.workshop.trial import with_params
from hive_io import EmbeddedWarehouse, Span
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from hive_io.table import DAY as A_DAY
from tests.fraud_fixtures import DAY, all_tables, fill, transaction

WEEK = Span.days(DAY, DAY + 6 * A_DAY)
AMOUNTS = ("1820.00", "1900.00", "1990.00")


@pytest.fixture(scope="module")
def book() -> RuleBook:
    """A rule with a threshold of 2,000 EUR, and one that compares no numbers."""
    read = read_rule_book()
    return replace(read, rules={name: read.rules[name] for name in ("high_value", "blacklisted_merchants")})


@pytest.fixture
def filled(lake: EmbeddedWarehouse, book: RuleBook) -> EmbeddedWarehouse:
    """c1 comes closer on three days, c2 on two; c3 has a hit, c4 is far away."""
    all_tables(lake, book)
    amounts = {"c1": AMOUNTS, "c2": AMOUNTS[1:], "c3": ("2500.00",), "c4": ("1000.00",)}
    rows = [
        transaction(f"{customer}-{n}", customer, amount, event_time=dt.datetime.combine(DAY + n * A_DAY, dt.time(12)))
        for customer, of in amounts.items()
        for n, amount in enumerate(of)
    ]
    fill(lake, "transactions", rows, WEEK)
    return lake


def run(lake: EmbeddedWarehouse, book: RuleBook, span: Span) -> list[dg.AssetCheckEvaluation]:
    """Materialize the days of a span; the evaluations of the check on its last day."""
    resource = WarehouseResource(location=str(lake.root))
    definitions = dg.Definitions(
        near_miss_assets(Engine(book), daily(DAY), 0.1),
        resources={"lake": resource, "io_manager": HiveIOManagerFactory(lake=resource)},
        executor=dg.in_process_executor,
    )
    tags = {"dagster/asset_partition_range_start": span.first_ds, "dagster/asset_partition_range_end": span.last_ds}
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, tags=tags)
        return [
            each for each in result.get_asset_check_evaluations()
            if each.check_name == COMES_CLOSER and each.partition == span.last_ds
        ]  # fmt: skip


def rows_of(lake: EmbeddedWarehouse) -> list[tuple[str, str, float]]:
    rows = sorted(lake.read(NEAR_MISSES.full_name).to_pylist(), key=lambda row: row["transaction_id"])
    return [(row["ds"], row["transaction_id"], round(row["distance"], 4)) for row in rows]


def test_near_misses_are_stored_by_day_and_who_comes_closer_is_found(filled: EmbeddedWarehouse, book: RuleBook) -> None:
    [check] = run(filled, book, WEEK)
    expected = [
        ("2026-01-05", "c1-0", 0.09), ("2026-01-06", "c1-1", 0.05), ("2026-01-07", "c1-2", 0.005),
        ("2026-01-05", "c2-0", 0.05), ("2026-01-06", "c2-1", 0.005),
    ]  # fmt: skip
    assert rows_of(filled) == expected
    [row] = [row for row in filled.read(NEAR_MISSES.full_name).to_pylist() if row["transaction_id"] == "c1-2"]
    assert (row["rule"], row["rule_version"]) == ("high_value", book.rules["high_value"].version)
    assert "1990.00 > thresholds 2000.00" in row["missed"]
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN and not check.blocking
    [record] = check.metadata["customers"].records
    assert dict(record.data) == {"rule": "high_value", "customer": "c1", "missed by": "9.0%, 5.0%, 0.5%"}
    # by day, and again, there are the same rows
    for day in WEEK.each_day():
        [check] = run(filled, book, Span.days(day, day))
        assert check.passed is (day < DAY + 2 * A_DAY)
    assert rows_of(filled) == expected


def test_near_misses_of_long_ago_or_of_another_threshold_do_not_count(filled: EmbeddedWarehouse, book: RuleBook) -> None:
    run(filled, book, WEEK)
    assert {*stored_creeping(filled, DAY + (CREEP_DAYS - 1) * A_DAY)} == {("high_value", "c1")}
    assert stored_creeping(filled, DAY + CREEP_DAYS * A_DAY) == {}
    other = with_params(book.rules["high_value"], {"thresholds.EUR": Decimal(2001)})
    last = Span.days(DAY + 2 * A_DAY, WEEK.last_day)
    run(filled, replace(book, rules={**book.rules, "high_value": other}), last)
    assert stored_creeping(filled, WEEK.last_day) == {}


def test_the_asset_is_there_only_if_the_setting_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def has(name: str) -> bool:
        return key(name) in build_definitions(read_settings()).resolve_asset_graph().get_all_asset_keys()

    assert not has("near_misses")
    monkeypatch.setenv("FRAUD_NEAR_MISSES", "0.1")
    assert has("near_misses")
    added = {*advisory_checks(Engine(read_rule_book()), 0.1)} - {*advisory_checks(Engine(read_rule_book()))}
    assert added == {dg.AssetCheckKey(key("near_misses"), COMES_CLOSER)}
