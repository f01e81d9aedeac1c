"""Rule coverage compared with its baseline, from the counts recorded for earlier days."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.coverage_checks import BASELINE_DAYS, COULD_JUDGE, MIN_TRANSACTIONS, could_judge, day_metadata
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import Span
from hive_io.table import DAY as A_DAY
from mock_sources import World, running
from tests.fraud_fixtures import DAY

RULE = "unusual_transaction"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def counted(back: int, judged: int, transactions: int = 1000) -> dict[str, Any]:
    """A row of `CoverageRecorder.days`, for the day `back` days before DAY."""
    return {"ds": (DAY - back * A_DAY).isoformat(), "transactions": transactions, "judged": judged, "hits": 0}


def record(instance: dg.DagsterInstance, *rows: dict[str, Any]) -> None:
    """Record counts as runs of earlier days do."""
    for row in rows:
        event = dg.AssetMaterialization(key(RULE), partition=row["ds"], metadata=dict(day_metadata(row)))
        instance.report_runless_asset_event(event)


def passes(instance: dg.DagsterInstance, *rows: dict[str, Any]) -> bool:
    result = could_judge(instance, RULE, rows)
    assert result.check_name == COULD_JUDGE and result.severity is dg.AssetCheckSeverity.WARN
    return result.passed


def test_a_clear_drop_below_the_baseline_fails_with_both_shares(instance: dg.DagsterInstance) -> None:
    record(instance, *[counted(back, 900) for back in (1, 2, 5)])
    result = could_judge(instance, RULE, [counted(0, 100)])
    assert not result.passed
    assert all(fact in str(result.description) for fact in ("2026-01-05", "10%", "90%", "28 days"))
    assert {name: value.value for name, value in result.metadata.items()} == {"share judged": 0.1, "days that are worse": 1}
    again = could_judge(instance, RULE, [counted(0, 900)])
    assert again.passed and "900 of 1,000" in str(again.description)


@pytest.mark.parametrize(
    ("before", "judged", "expected"),
    [
        ([900, 900, 900], 500, True),  # half of them is enough, whatever the baseline
        ([900, 900, 900], 499, False),
        ([650, 650, 650], 400, True),  # a small drop
        ([660, 660, 660], 400, False),
        ([100, 100, 100], 90, True),  # a low baseline
        ([900, 900], 0, True),  # too few days
        ([900, 900, 900, 0, 0, 0, 0, 0, 0, 0], 0, False),
        ([], 0, True),
    ],
)
def test_coverage_that_passes(instance: dg.DagsterInstance, before: list[int], judged: int, expected: bool) -> None:
    record(instance, *[counted(back, earlier) for back, earlier in enumerate(before, 1)])
    assert passes(instance, counted(0, judged)) is expected


def test_days_that_are_not_compared(instance: dg.DagsterInstance) -> None:
    record(instance, *[counted(back, 0, 0) for back in range(3, 9)], *[counted(back, 900) for back in (1, 2)])
    assert passes(instance, counted(0, 0)), "empty days are skipped"
    record(instance, *[counted(BASELINE_DAYS + back, 900) for back in (1, 2, 3)])
    assert passes(instance, counted(0, 0)), "so are days before the baseline window"
    record(instance, counted(BASELINE_DAYS, 900))
    assert not passes(instance, counted(0, 0))
    assert passes(instance, counted(0, 0, MIN_TRANSACTIONS - 1)) and not passes(instance, counted(0, 0, MIN_TRANSACTIONS))
    assert passes(instance), "a run of days without transactions"


def test_the_counts_recorded_last_for_a_day_apply(instance: dg.DagsterInstance) -> None:
    days = [counted(back, 900) for back in (1, 2, 3)]
    record(instance, *days)
    record(instance, *[{**day, "judged": 0} for day in days])
    assert passes(instance, counted(0, 0))
    record(instance, *days)
    instance.report_runless_asset_event(
        dg.AssetMaterialization(key(RULE), partition=days[0]["ds"])
    )  # as by hand, without counts
    assert passes(instance, counted(0, 0)), "only two days have counts"
    record(instance, counted(4, 900))
    assert not passes(instance, counted(0, 0))


def test_the_days_of_one_run_are_compared_with_each_other(instance: dg.DagsterInstance) -> None:
    days = [counted(back, 900) for back in (6, 5, 4)]
    worst, bad = counted(1, 0), counted(2, 200)
    result = could_judge(instance, RULE, [worst, *days, counted(3, 800), bad, counted(0, 900)])
    assert not result.passed and worst["ds"] in str(result.description) and re.search(r"\b0%", str(result.description))
    assert result.metadata["days that are worse"].value == 2


@pytest.mark.slow
def test_a_run_reads_the_counts_of_earlier_runs(tmp_path: Path) -> None:
    """A rules file replaces the thresholds, after which the rule can judge nothing."""
    first = DAY - 3 * A_DAY
    check = dg.AssetCheckKey(key("high_value"), COULD_JUDGE)
    with running(World(customers=100, merchants=60)) as url:
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=first)
        results = []
        for span, rules in (
            (Span.days(first, first + 2 * A_DAY), None),
            (Span.days(first + 3 * A_DAY, first + 3 * A_DAY), "high_value: {params: {thresholds: {XXX: 1}}}"),
        ):
            if rules:
                (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
                settings = settings.model_copy(update={"rules_file": tmp_path / "rules.yaml"})
            run_days(settings, span)
            with dagster_instance(settings) as instance:
                found = instance.get_latest_asset_check_evaluation_record(check)
                assert found is not None and found.event is not None and found.event.dagster_event is not None
                results.append(found.event.dagster_event.asset_check_evaluation_data)
    assert [result.passed for result in results] == [True, False]
    assert str(DAY) in str(results[1].description) and re.search(r"\b0%", str(results[1].description))
