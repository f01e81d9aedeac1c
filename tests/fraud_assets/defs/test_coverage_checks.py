"""How much a rule could judge, against what was told of the days before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.coverage_checks import BEFORE, COULD_JUDGE, ENOUGH, could_judge, told
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import Span
from hive_io.table import DAY as A_DAY
from mock_sources import World, running
from tests.fraud_fixtures import DAY

RULE = "unusual_transaction"
TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def counted(back: int, judged: int, transactions: int = 1000) -> dict[str, Any]:
    """A row of `Engine.coverage`, so many days before DAY."""
    return {"ds": (DAY - back * A_DAY).isoformat(), "transactions": transactions, "judged": judged, "hits": 0}


def tell(instance: dg.DagsterInstance, *rows: dict[str, Any]) -> None:
    """As runs of earlier days did."""
    for row in rows:
        made = dg.AssetMaterialization(key(RULE), partition=row["ds"], metadata=dict(told(row)))
        instance.report_runless_asset_event(made)


def passes(instance: dg.DagsterInstance, *rows: dict[str, Any]) -> bool:
    result = could_judge(instance, RULE, rows)
    assert result.check_name == COULD_JUDGE and result.severity is dg.AssetCheckSeverity.WARN
    return result.passed


def test_clearly_less_than_on_the_days_before_is_told(instance: dg.DagsterInstance) -> None:
    tell(instance, *[counted(back, 900) for back in (1, 2, 5)])
    result = could_judge(instance, RULE, [counted(0, 100)])
    assert not result.passed
    assert result.description == (
        "It could judge 10% of the transactions of 2026-01-05, and 90% on average in the 28 days before: "
        "does one of the tables that it reads lack rows?"
    )
    assert {name: value.value for name, value in result.metadata.items()} == {"share judged": 0.1, "days that are worse": 1}
    again = could_judge(instance, RULE, [counted(0, 900)])
    assert again.passed and again.description == "It could judge 900 of 1,000 transactions."


@pytest.mark.parametrize(
    ("before", "today", "expected"),
    [
        ([900, 900, 900], 500, True),  # half of them is enough, whatever it was
        ([900, 900, 900], 499, False),
        ([650, 650, 650], 400, True),  # not clearly less
        ([660, 660, 660], 400, False),
        ([100, 100, 100], 90, True),  # it never could
        ([900, 900], 0, True),  # too few days
        ([900, 900, 900, 0, 0, 0, 0, 0, 0, 0], 0, False),
        ([], 0, True),
    ],
)
def test_what_is_enough(instance: dg.DagsterInstance, before: list[int], today: int, expected: bool) -> None:
    tell(instance, *[counted(back, judged) for back, judged in enumerate(before, 1)])
    assert passes(instance, counted(0, today)) is expected


def test_days_that_say_nothing(instance: dg.DagsterInstance) -> None:
    tell(instance, *[counted(back, 0, 0) for back in range(3, 9)], *[counted(back, 900) for back in (1, 2)])
    assert passes(instance, counted(0, 0)), "days without transactions do not count"
    tell(instance, *[counted(BEFORE + back, 900) for back in (1, 2, 3)])
    assert passes(instance, counted(0, 0)), "nor those that are too long ago"
    tell(instance, counted(BEFORE, 900))
    assert not passes(instance, counted(0, 0))
    assert passes(instance, counted(0, 0, ENOUGH - 1)) and not passes(instance, counted(0, 0, ENOUGH))
    assert passes(instance), "a run of days without transactions"


def test_what_was_told_last_of_a_day_holds(instance: dg.DagsterInstance) -> None:
    days = [counted(back, 900) for back in (1, 2, 3)]
    tell(instance, *days)
    tell(instance, *[{**day, "judged": 0} for day in days])
    assert passes(instance, counted(0, 0))
    tell(instance, *days)
    instance.report_runless_asset_event(dg.AssetMaterialization(key(RULE), partition=days[0]["ds"]))  # by hand, without counts
    assert passes(instance, counted(0, 0)), "of two days only it is known"
    tell(instance, counted(4, 900))
    assert not passes(instance, counted(0, 0))


def test_the_days_of_one_run_are_held_against_each_other(instance: dg.DagsterInstance) -> None:
    days = [counted(back, 900) for back in (6, 5, 4)]
    worst, bad = counted(1, 0), counted(2, 200)
    result = could_judge(instance, RULE, [worst, *days, counted(3, 800), bad, counted(0, 900)])
    assert not result.passed and f"0% of the transactions of {worst['ds']}" in str(result.description)
    assert result.metadata["days that are worse"].value == 2


def test_a_run_reads_what_runs_before_it_told(tmp_path: Path) -> None:
    """A rules file that takes the thresholds away: the rule can judge nothing any more."""
    first = TODAY - 4 * A_DAY
    check = dg.AssetCheckKey(key("high_value"), COULD_JUDGE)
    with running(World(customers=100, merchants=60)) as url:
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=first)
        said = []
        for span, rules in (
            (Span.days(first, first + 2 * A_DAY), None),
            (Span.days(first + 3 * A_DAY, first + 3 * A_DAY), "high_value: {params: {thresholds: {XXX: 1}}}"),
        ):
            if rules:
                (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
                settings = settings.model_copy(update={"rules_file": tmp_path / "rules.yaml"})
            run_days(settings, span)
            with dagster_instance(settings) as instance:
                record = instance.get_latest_asset_check_evaluation_record(check)
                assert record is not None and record.event is not None and record.event.dagster_event is not None
                said.append(record.event.dagster_event.asset_check_evaluation_data)
    assert [each.passed for each in said] == [True, False]
    assert "It could judge 0% of the transactions of" in str(said[1].description)
