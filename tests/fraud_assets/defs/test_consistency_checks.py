"""Consistency checks between tables: violations, transient states of other writers, and runs that fail because of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from fraud_assets.definitions import JOB, advisory_checks, build_definitions
from fraud_assets.defs import consistency_checks
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.consistency_checks import alerts_are_the_active_hits, customers_are_known, hits_have_transactions
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.runs.batch import RunFailed, run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.detection import FRAUD_ALERTS, rule_table
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from fraud_assets.settings import Settings, read_settings
from hive_io import EmbeddedWarehouse, HiveQL, Receipt, Span, Table
from hive_io.table import DAY as A_DAY
from hive_io.warehouse import Data
from mock_sources import World, running
from tests.fraud_fixtures import DAY, NOON, SPAN, all_tables, fill, transaction

ONE, OTHER = rule_table("high_value"), rule_table("unusual_transaction")
NEXT = DAY + A_DAY
BOTH = Span.days(DAY, NEXT)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistency_checks, "PAUSES", (0.05, 0.1))


@pytest.fixture
def tables(lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    return all_tables(lake, read_rule_book())


def hit(transaction_id: str, day: dt.date = DAY, **more: Any) -> dict[str, Any]:
    return {"transaction_id": transaction_id, "event_time": dt.datetime.combine(day, NOON.time()), "weight": 0.5, **more}


def on(transaction_id: str, day: dt.date) -> dict[str, Any]:
    return transaction(transaction_id, event_time=dt.datetime.combine(day, NOON.time()))


def contains(description: str | None, *facts: str) -> bool:
    return all(fact in str(description) for fact in facts)


def values(result: dg.AssetCheckResult) -> dict[str, Any]:
    return {name: value.value for name, value in result.metadata.items()}


# --- hits ---------------------------------------------------------------------------------------------------------------


def check_hits(warehouse: EmbeddedWarehouse, span: Span = BOTH) -> dict[str, dg.AssetCheckResult]:
    results = list(hits_have_transactions(warehouse, [ONE, OTHER], span))
    assert [result.asset_key for result in results] == [key(ONE.name), key(OTHER.name)]
    return {str(result.asset_key.path[-1]): result for result in results if result.asset_key}


def test_every_hit_has_its_transaction_on_its_day(tables: EmbeddedWarehouse) -> None:
    fill(tables, "transactions", [on("t", DAY), on("u", NEXT)], BOTH)
    fill(tables, ONE, [hit("t"), hit("u", NEXT)], BOTH)
    assert all(result.passed and values(result) == {"hits without a transaction": 0} for result in check_hits(tables).values())
    # u exists on the other day only; five exist nowhere
    fill(tables, OTHER, [hit("t"), hit("u"), *(hit(f"x{n}", NEXT) for n in range(5))], BOTH)
    found = check_hits(tables)
    assert found[ONE.name].passed and not found[OTHER.name].passed
    assert found[OTHER.name].severity is dg.AssetCheckSeverity.ERROR
    assert values(found[OTHER.name]) == {"hits without a transaction": 6}
    assert contains(found[OTHER.name].description, "6 hits", str(BOTH), "(u, x0, x1 …)")
    one_day = check_hits(tables, SPAN)[OTHER.name]
    assert values(one_day) == {"hits without a transaction": 1} and contains(one_day.description, "1 hit ", "2026-01-05")


def test_the_hits_of_all_rules_are_one_query(tables: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    queries: list[HiveQL] = []
    query = tables.query
    monkeypatch.setattr(tables, "query", lambda q: queries.append(q) or query(q))
    check_hits(tables)
    assert len(queries) == 1


# --- alerts -------------------------------------------------------------------------------------------------------------


def test_alerts_are_the_transactions_with_an_active_hit(tables: EmbeddedWarehouse) -> None:
    fill(tables, ONE, [hit("t"), hit("u", NEXT)], BOTH)
    fill(tables, OTHER, [hit("t"), hit("v")], BOTH)
    fill(tables, FRAUD_ALERTS, [hit("t"), hit("u", NEXT)], BOTH)
    without_other = alerts_are_the_active_hits(tables, [ONE], BOTH)
    assert without_other.passed, "v has a hit of a rule that is not active"
    both = alerts_are_the_active_hits(tables, [ONE, OTHER], BOTH)
    assert not both.passed and values(both) == {"hits without an alert": 1, "alerts without a hit": 0}
    assert contains(both.description, "1 transaction ", "(v)")
    fill(tables, FRAUD_ALERTS, [hit("t"), hit("v"), hit("u", NEXT), hit("w"), hit("t", NEXT)], BOTH)
    more = alerts_are_the_active_hits(tables, [ONE, OTHER], BOTH)
    assert values(more) == {"hits without an alert": 0, "alerts without a hit": 2}
    assert contains(more.description, "2 alerts ", "(t, w)")
    assert values(alerts_are_the_active_hits(tables, [ONE, OTHER], SPAN)) == {
        "hits without an alert": 0,
        "alerts without a hit": 1,
    }


def test_without_active_rules_any_alert_is_a_violation(tables: EmbeddedWarehouse) -> None:
    assert alerts_are_the_active_hits(tables, [], SPAN).passed
    fill(tables, FRAUD_ALERTS, [hit("t")])
    assert values(alerts_are_the_active_hits(tables, [], SPAN)) == {"hits without an alert": 0, "alerts without a hit": 1}


# --- other writers ------------------------------------------------------------------------------------------------------


def test_a_different_violation_at_each_attempt_is_none(tables: EmbeddedWarehouse) -> None:
    """A writer like the live path: transactions, then hits, then alerts; at each attempt it has just written another hit."""
    fill(tables, "transactions", [on(f"t{n}", DAY) for n in range(9)])
    attempts = 0

    class Between(EmbeddedWarehouse):
        def query(self, query: HiveQL) -> pa.Table:
            nonlocal attempts
            fill(tables, FRAUD_ALERTS, [hit(f"t{n}") for n in range(attempts)])
            fill(tables, ONE, [hit(f"t{n}") for n in range(attempts + 1)])
            attempts += 1
            found = super().query(query)
            assert found.num_rows == 1, "each attempt finds another transaction"
            return found

    assert alerts_are_the_active_hits(Between(tables.root), [ONE], SPAN).passed
    assert attempts == 2


def test_the_live_path_causes_no_violation(tables: EmbeddedWarehouse) -> None:
    done = Event()
    writes = 0

    def live() -> None:
        nonlocal writes
        writer = EmbeddedWarehouse(tables.root)
        while not done.is_set():
            number = writes % 50
            start = dt.datetime.combine(DAY, dt.time(12, number), dt.UTC)
            minute = Span(start, start + dt.timedelta(minutes=1))
            time = {"event_time": start.replace(tzinfo=None)}
            writer.upsert(TRANSACTIONS.table, rows(TRANSACTIONS.table, transaction(f"t{writes}", **time)))
            for table in (ONE, OTHER, FRAUD_ALERTS):
                writer.replace(table, rows(table, hit(f"t{writes}", **time)), minute)
            writes += 1

    thread = Thread(target=live)
    thread.start()
    try:
        results = []
        while writes < 25:
            results += hits_have_transactions(tables, [ONE, OTHER], SPAN)
            results.append(alerts_are_the_active_hits(tables, [ONE, OTHER], SPAN))
    finally:
        done.set()
        thread.join()
    assert len(results) > 6 and all(result.passed for result in results), results


def rows(table: Table, row: Mapping[str, Any]) -> pa.Table:
    complete = {**dict.fromkeys(table.arrow_schema.names), **row, "ds": DAY.isoformat()}
    return pa.Table.from_pylist([complete], schema=table.arrow_schema)


# --- customers ----------------------------------------------------------------------------------------------------------


def snapshot(lake: EmbeddedWarehouse, day: dt.date, *customers: str) -> None:
    fill(lake, CUSTOMERS.table, [{"customer_id": name} for name in customers], Span.days(day, day))


def test_customers_are_known_by_the_snapshot_of_the_next_day_at_latest(lake: EmbeddedWarehouse) -> None:
    fill(lake, "transactions", [transaction(f"{name}{n}", name) for n in range(2) for name in ("old", "new", "left", "never")])
    snapshot(lake, DAY, "old", "left")
    snapshot(lake, NEXT, "old", "new")
    first = customers_are_known(lake, SPAN)
    assert first.passed and values(first) == {"transactions": 0}, "a new customer is in the next day's snapshot"
    result = customers_are_known(lake, Span.days(NEXT, NEXT))
    assert not result.passed and result.severity is dg.AssetCheckSeverity.WARN
    assert values(result) == {"transactions": 8, "of unknown customers": 2, "unknown share": 0.25}
    assert contains(result.description, "2 of 8", "2026-01-05", "25.00%")
    assert values(customers_are_known(lake, BOTH)) == values(result)
    snapshot(lake, NEXT, "old", "new", "never")
    assert customers_are_known(lake, Span.days(NEXT, NEXT)).passed


def test_without_customers_nothing_is_checked(lake: EmbeddedWarehouse) -> None:
    def assert_nothing_to_check() -> None:
        result = customers_are_known(lake, Span.days(NEXT, NEXT))
        assert result.passed and values(result) == {"transactions": 0}
        assert contains(result.description, "2026-01-06", "2026-01-05")

    assert_nothing_to_check()  # no table
    fill(lake, "transactions", [transaction("t")])
    assert_nothing_to_check()
    snapshot(lake, DAY, "c1")
    assert_nothing_to_check()
    snapshot(lake, NEXT)
    assert_nothing_to_check()
    snapshot(lake, NEXT, "c1")
    assert values(customers_are_known(lake, Span.days(NEXT, NEXT)))["transactions"] == 1


# --- in a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with running(World(customers=60, merchants=60, fraud_rate=0.05)) as url:
        yield url


def evaluations(instance: dg.DagsterInstance, run_id: str) -> dict[tuple[str, str], Any]:
    types = {dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    found = [e.dagster_event.asset_check_evaluation_data for e in instance.all_logs(run_id, of_type=types) if e.dagster_event]
    return {(check.asset_key.path[-1], check.check_name): check for check in found}


@pytest.mark.slow
def test_a_run_evaluates_every_check_and_all_pass(source: str, tmp_path: Path) -> None:
    first = DAY - 3 * A_DAY
    settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=source, first_day=first)
    report = run_days(settings, Span.days(first, DAY))
    lake = EmbeddedWarehouse(settings.warehouse)
    with dagster_instance(settings) as instance:
        found = evaluations(instance, report.run_id)
    rules = [rule.name for rule in read_rule_book().evaluated]
    assert {table for table, name in found if name == consistency_checks.HITS} == set(rules)
    assert all(found[rule, consistency_checks.HITS].passed and found[rule, consistency_checks.HITS].blocking for rule in rules)
    alerts = found["fraud_alerts", consistency_checks.ALERTS]
    assert alerts.passed and alerts.blocking and lake.partitions(FRAUD_ALERTS.full_name)
    customers = found["customers", consistency_checks.CUSTOMERS_KNOWN]
    judged = sum(n for ds, n in lake.partitions("fintech.transactions").items() if ds < str(DAY))
    assert customers.passed and not customers.blocking
    assert customers.metadata["transactions"].value == judged > 0, "also when a range is loaded for the first time"


def disturbed_by(write: Callable[[EmbeddedWarehouse], object], after: str) -> type[EmbeddedWarehouse]:
    """A warehouse to which another writer writes after each write of a table."""

    class Disturbed(EmbeddedWarehouse):
        def replace(self, table: Table, data: Data, span: Span) -> Receipt:
            receipt = super().replace(table, data, span)
            if table.name == after:
                write(EmbeddedWarehouse(self.root))
            return receipt

    return Disturbed


@pytest.fixture
def settings(source: str, tmp_path: Path) -> Settings:
    return read_settings(warehouse=str(tmp_path / "lake"), source_url=source, first_day=DAY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "check", "facts"),
    [
        ("high_value", consistency_checks.HITS, ["1 hit ", "(stray)"]),
        ("fraud_alerts", consistency_checks.ALERTS, ["0 transactions", "1 alert ", "(stray)"]),
    ],
)
def test_a_violation_fails_the_run_with_its_facts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, check: str, facts: Collection[str]
) -> None:
    table = Engine(read_rule_book()).tables[name]
    late = dt.datetime.combine(DAY, dt.time(23, 59, 59), dt.UTC)
    stray = {**dict.fromkeys(table.arrow_schema.names), **hit("stray"), "ds": str(DAY)}
    stray["event_time"] = late.replace(tzinfo=None)
    stray_row = pa.Table.from_pylist([stray], schema=table.arrow_schema)
    span = Span(late, late + dt.timedelta(seconds=1))
    disturbed = disturbed_by(lambda lake: lake.replace(table, stray_row, span), name)
    monkeypatch.setattr("hive_io.locations.EmbeddedWarehouse", disturbed)
    with pytest.raises(RunFailed) as failed:
        run_days(settings, SPAN)
    assert contains(str(failed.value), f"{name}: check {check} failed", str(DAY), *facts)


@pytest.mark.slow
def test_a_failing_rule_stops_the_alerts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run_days(settings, SPAN)
    before = EmbeddedWarehouse(settings.warehouse).read(FRAUD_ALERTS.full_name)
    empty = TRANSACTIONS.table.arrow_schema.empty_table()
    disturbed = disturbed_by(lambda lake: lake.replace(TRANSACTIONS.table, empty, SPAN), "unusual_transaction")
    monkeypatch.setattr("hive_io.locations.EmbeddedWarehouse", disturbed)
    with pytest.raises(RunFailed, match=consistency_checks.HITS):
        run_days(settings, SPAN)
    assert EmbeddedWarehouse(settings.warehouse).read(FRAUD_ALERTS.full_name).equals(before) and before.num_rows


def test_advisory_checks_are_those_that_stop_nothing(settings: Settings) -> None:
    definitions = build_definitions(settings)
    graph, job = definitions.resolve_asset_graph(), definitions.resolve_job_def(JOB)
    job_checks = {check for each in job.asset_layer.data for check in each.assets_def.check_keys}
    advisory = {check for check in job_checks if not graph.get(check).blocking}
    assert advisory and advisory == set(advisory_checks(Engine(read_rule_book())))
