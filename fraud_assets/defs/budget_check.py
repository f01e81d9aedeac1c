"""The check of the alerts of a day against their budget."""

from __future__ import annotations

import dagster as dg

from fraud_assets.defs import checks
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.daily_results import DailyResult
from fraud_assets.detection.rule import SCORECARD
from fraud_assets.schemas.detection import ALERT_THRESHOLDS, FRAUD_ALERTS
from hive_io import PARTITION, HiveQL, Span, Warehouse

WITHIN_BUDGET = "alerts_are_within_budget"

MOST_OF_BUDGET = 2
"""Multiple of the budget above which a day warns. It holds on average, and days differ: docs/scorecard.md has figures."""

_ALERTS = """
SELECT ds, COUNT(*) AS alerts, SUM(IF(ARRAY_CONTAINS(rules, :scorecard), 1, 0)) AS by_score
FROM fintech.fraud_alerts
WHERE ds >= :first AND ds <= :last
GROUP BY ds
"""


def spec(budget: int, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    """The spec of the check, which stops nothing."""
    description = (
        f"A day has at most {MOST_OF_BUDGET} times as many alerts as the {budget:,} of its budget (FRAUD_ALERTS_A_DAY), which "
        "holds on average. Alerts of rules count, and the budget keeps none of them back."
    )
    return checks.advisory(FRAUD_ALERTS.name, WITHIN_BUDGET, description, partitions)


def alerts_are_within_budget(warehouse: Warehouse, budget: int, span: Span) -> DailyResult:
    """Count the alerts of each day, those without a hit apart, and name the score that these needed."""
    warehouse.ensure_table(ALERT_THRESHOLDS)
    needed = {row[PARTITION]: row for row in warehouse.read(ALERT_THRESHOLDS.full_name, span=span.whole_days()).to_pylist()}
    params = {"scorecard": SCORECARD, "first": span.first_ds, "last": span.last_ds}
    days = sorted(warehouse.query(HiveQL(_ALERTS, params)).to_pylist(), key=lambda row: str(row[PARTITION]))
    over = [day for day in days if day["alerts"] > MOST_OF_BUDGET * budget]
    described = [f"{day[PARTITION]}: {day['alerts']:,} alerts, {day['by_score']:,} of them without a hit." for day in over]
    records = [
        dg.TableRecord(
            {
                "day": day[PARTITION],
                "alerts": int(day["alerts"]),
                "without a hit": int(day["by_score"]),
                "score needed": needed[day[PARTITION]]["reason"] if day[PARTITION] in needed else "FRAUD_ALERT_SCORE",
            }
        )
        for day in days
    ]
    integer = [dg.TableColumn(name, "int") for name in ("alerts", "without a hit")]
    columns = dg.TableSchema([dg.TableColumn("day"), *integer, dg.TableColumn("score needed")])
    total = sum(int(day["alerts"]) for day in days)
    return DailyResult(
        check_name=WITHIN_BUDGET,
        asset_key=key(FRAUD_ALERTS.name),
        failed_days=[day[PARTITION] for day in over],
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join([f"The budget is {budget:,} alerts a day.", *described]) if over else None,
        metadata={
            "budget": budget,
            "alerts a day, mean": total / len(days) if days else 0.0,
            "days": dg.MetadataValue.table(records, schema=columns),
        },
    )
