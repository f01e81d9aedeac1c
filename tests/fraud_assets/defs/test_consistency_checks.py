"""Claims between tables: what breaks them, what only seems to for a moment, and how a run ends that finds them broken."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
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
TODAY = dt.datetime.now(dt.UTC).date()


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


def values(result: dg.AssetCheckResult) -> dict[str, Any]:
    return {name: value.value for name, value in result.metadata.items()}


# --- hits ---------------------------------------------------------------------------------------------------------------


def lost(warehouse: EmbeddedWarehouse, span: Span = BOTH) -> dict[str, dg.AssetCheckResult]:
    results = list(hits_have_transactions(warehouse, [ONE, OTHER], span))
    assert [result.asset_key for result in results] == [key(ONE.name), key(OTHER.name)]
    return {str(result.asset_key.path[-1]): result for result in results if result.asset_key}


def test_every_hit_has_its_transaction_on_its_day(tables: EmbeddedWarehouse) -> None:
    fill(tables, "transactions", [on("t", DAY), on("u", NEXT)], BOTH)
    fill(tables, ONE, [hit("t"), hit("u", NEXT)], BOTH)
    assert all(result.passed and values(result) == {"hits without a transaction": 0} for result in lost(tables).values())
    # u is there, on the other day only; five are nowhere
    fill(tables, OTHER, [hit("t"), hit("u"), *(hit(f"x{n}", NEXT) for n in range(5))], BOTH)
    found = lost(tables)
    assert found[ONE.name].passed and not found[OTHER.name].passed
    assert found[OTHER.name].severity is dg.AssetCheckSeverity.ERROR
    assert values(found[OTHER.name]) == {"hits without a transaction": 6}
    assert str(found[OTHER.name].description).startswith(f"6 hits of {BOTH} without a transaction (u, x0, x1 …). Run these")
    of_the_day = lost(tables, SPAN)[OTHER.name]
    assert values(of_the_day) == {"hits without a transaction": 1} and "1 hit of 2026-01-05" in str(of_the_day.description)


def test_the_hits_of_all_rules_are_one_query(tables: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[HiveQL] = []
    query = tables.query
    monkeypatch.setattr(tables, "query", lambda q: asked.append(q) or query(q))
    lost(tables)
    assert len(asked) == 1


# --- alerts -------------------------------------------------------------------------------------------------------------


def test_alerts_are_the_transactions_with_an_active_hit(tables: EmbeddedWarehouse) -> None:
    fill(tables, ONE, [hit("t"), hit("u", NEXT)], BOTH)
    fill(tables, OTHER, [hit("t"), hit("v")], BOTH)
    fill(tables, FRAUD_ALERTS, [hit("t"), hit("u", NEXT)], BOTH)
    without_other = alerts_are_the_active_hits(tables, [ONE], BOTH)
    assert without_other.passed, "v has a hit of a rule that is not active"
    both = alerts_are_the_active_hits(tables, [ONE, OTHER], BOTH)
    assert not both.passed and values(both) == {"hits without an alert": 1, "alerts without a hit": 0}
    assert "1 transaction with a hit and no alert (v)" in str(both.description)
    fill(tables, FRAUD_ALERTS, [hit("t"), hit("v"), hit("u", NEXT), hit("w"), hit("t", NEXT)], BOTH)
    more = alerts_are_the_active_hits(tables, [ONE, OTHER], BOTH)
    assert values(more) == {"hits without an alert": 0, "alerts without a hit": 2}
    assert "2 alerts without a hit (t, w)" in str(more.description)
    assert values(alerts_are_the_active_hits(tables, [ONE, OTHER], SPAN)) == {
        "hits without an alert": 0,
        "alerts without a hit": 1,
    }


def test_without_active_rules_there_is_to_be_no_alert(tables: EmbeddedWarehouse) -> None:
    assert alerts_are_the_active_hits(tables, [], SPAN).passed
    fill(tables, FRAUD_ALERTS, [hit("t")])
    assert values(alerts_are_the_active_hits(tables, [], SPAN)) == {"hits without an alert": 0, "alerts without a hit": 1}


# --- other writers ------------------------------------------------------------------------------------------------------


def test_what_is_half_done_at_every_look_and_soon_whole_is_not_broken(tables: EmbeddedWarehouse) -> None:
    """A writer as the live path: transactions, then hits, then alerts; at each look it has just written another hit."""
    fill(tables, "transactions", [on(f"t{n}", DAY) for n in range(9)])
    looks = 0

    class Between(EmbeddedWarehouse):
        def query(self, query: HiveQL) -> pa.Table:
            nonlocal looks
            fill(tables, FRAUD_ALERTS, [hit(f"t{n}") for n in range(looks)])
            fill(tables, ONE, [hit(f"t{n}") for n in range(looks + 1)])
            looks += 1
            found = super().query(query)
            assert found.num_rows == 1, "it looks broken, each time by another transaction"
            return found

    assert alerts_are_the_active_hits(Between(tables.root), [ONE], SPAN).passed
    assert looks == 2


def test_beside_the_live_path_nothing_seems_broken(tables: EmbeddedWarehouse) -> None:
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
    today = customers_are_known(lake, SPAN)
    assert today.passed and "Nothing to judge" in str(today.description), "who is new today is in tomorrow's snapshot"
    result = customers_are_known(lake, Span.days(NEXT, NEXT))
    assert not result.passed and result.severity is dg.AssetCheckSeverity.WARN
    assert values(result) == {"transactions": 8, "of unknown customers": 2, "unknown share": 0.25}
    assert result.description == "2 of 8 transactions of 2026-01-05 (25.00%) are of customers whom no snapshot has."
    assert values(customers_are_known(lake, BOTH)) == values(result)
    snapshot(lake, NEXT, "old", "new", "never")
    assert customers_are_known(lake, Span.days(NEXT, NEXT)).passed


def test_without_customers_nothing_is_claimed(lake: EmbeddedWarehouse) -> None:
    def said() -> str:
        result = customers_are_known(lake, Span.days(NEXT, NEXT))
        assert result.passed and values(result) == {"transactions": 0}
        return str(result.description)

    assert "no snapshot of customers on 2026-01-06, an empty one, or no transactions on 2026-01-05" in said()  # no table
    fill(lake, "transactions", [transaction("t")])
    said()
    snapshot(lake, DAY, "c1")
    said()
    snapshot(lake, NEXT)
    said()
    snapshot(lake, NEXT, "c1")
    assert values(customers_are_known(lake, Span.days(NEXT, NEXT)))["transactions"] == 1


# --- in a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with running(World(customers=60, merchants=60, fraud_rate=0.05)) as url:
        yield url


def evaluations(instance: dg.DagsterInstance, run_id: str) -> dict[tuple[str, str], Any]:
    wanted = {dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    found = [e.dagster_event.asset_check_evaluation_data for e in instance.all_logs(run_id, of_type=wanted) if e.dagster_event]
    return {(check.asset_key.path[-1], check.check_name): check for check in found}


def test_a_run_of_days_makes_every_claim_and_they_hold(source: str, tmp_path: Path) -> None:
    first = TODAY - 3 * A_DAY
    settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=source, first_day=first)
    report = run_days(settings, Span.days(first, TODAY))
    lake = EmbeddedWarehouse(settings.warehouse)
    with dagster_instance(settings) as instance:
        found = evaluations(instance, report.run_id)
    rules = [rule.name for rule in read_rule_book().evaluated]
    assert {table for table, name in found if name == consistency_checks.HITS} == set(rules)
    assert all(found[rule, consistency_checks.HITS].passed and found[rule, consistency_checks.HITS].blocking for rule in rules)
    alerts = found["fraud_alerts", consistency_checks.ALERTS]
    assert alerts.passed and alerts.blocking and lake.partitions(FRAUD_ALERTS.full_name)
    customers = found["customers", consistency_checks.CUSTOMERS_KNOWN]
    judged = sum(n for ds, n in lake.partitions("fintech.transactions").items() if ds < str(TODAY))
    assert customers.passed and not customers.blocking
    assert customers.metadata["transactions"].value == judged > 0, "of a range that is brought for the first time, too"


def breaks(write: Callable[[EmbeddedWarehouse], object], after: str) -> type[EmbeddedWarehouse]:
    """A warehouse to which somebody else writes after each write of a table."""

    class Disturbed(EmbeddedWarehouse):
        def replace(self, table: Table, data: Data, span: Span) -> Receipt:
            receipt = super().replace(table, data, span)
            if table.name == after:
                write(EmbeddedWarehouse(self.root))
            return receipt

    return Disturbed


@pytest.fixture
def settings(source: str, tmp_path: Path) -> Settings:
    return read_settings(warehouse=str(tmp_path / "lake"), source_url=source, first_day=TODAY)


@pytest.mark.parametrize(
    ("after", "row", "said"),
    [
        (
            "high_value",
            "high_value",
            f"high_value: check {consistency_checks.HITS} failed. 1 hit of {TODAY} without a transaction (stray)",
        ),
        (
            "fraud_alerts",
            "fraud_alerts",
            f"fraud_alerts: check {consistency_checks.ALERTS} failed. On {TODAY}: 0 transactions with a hit",
        ),
    ],
)
def test_a_run_that_finds_a_claim_broken_fails_and_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, after: str, row: str, said: str
) -> None:
    tables = Engine(read_rule_book()).tables
    late = dt.datetime.combine(TODAY, dt.time(23, 59, 59), dt.UTC)
    stray = {**dict.fromkeys(tables[row].arrow_schema.names), **hit("stray", TODAY), "ds": str(TODAY)}
    stray["event_time"] = late.replace(tzinfo=None)
    row_of = pa.Table.from_pylist([stray], schema=tables[row].arrow_schema)
    span = Span(late, late + dt.timedelta(seconds=1))
    disturbed = breaks(lambda lake: lake.replace(tables[row], row_of, span), after)
    monkeypatch.setattr("hive_io.locations.EmbeddedWarehouse", disturbed)
    with pytest.raises(RunFailed) as failed:
        run_days(settings, Span.days(TODAY, TODAY))
    assert said in str(failed.value)


def test_a_failing_rule_stops_the_alerts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run_days(settings, Span.days(TODAY, TODAY))
    before = EmbeddedWarehouse(settings.warehouse).read(FRAUD_ALERTS.full_name)
    empty = TRANSACTIONS.table.arrow_schema.empty_table()
    disturbed = breaks(lambda lake: lake.replace(TRANSACTIONS.table, empty, Span.days(TODAY, TODAY)), "unusual_transaction")
    monkeypatch.setattr("hive_io.locations.EmbeddedWarehouse", disturbed)
    with pytest.raises(RunFailed, match=consistency_checks.HITS):
        run_days(settings, Span.days(TODAY, TODAY))
    assert EmbeddedWarehouse(settings.warehouse).read(FRAUD_ALERTS.full_name).equals(before) and before.num_rows


def test_what_stops_nothing_is_told_by_the_bulletin(settings: Settings) -> None:
    definitions = build_definitions(settings)
    graph, job = definitions.resolve_asset_graph(), definitions.resolve_job_def(JOB)
    of_the_job = {check for each in job.asset_layer.data for check in each.assets_def.check_keys}
    advisory = {check for check in of_the_job if not graph.get(check).blocking}
    assert advisory and advisory == set(advisory_checks(Engine(read_rule_book())))
