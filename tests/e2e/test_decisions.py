"""People confirm cases on Sunday; on Monday the labels, the merchant's risk, the scorecard and the alerts know it.

The source reports no fraud at all: whatever differs on Monday comes from the decisions.
"""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraud_assets.cases.model import Decision, ReasonCode
from fraud_assets.cases.store import CaseStore
from fraud_assets.cli.main import main
from fraud_assets.clock import Clock
from hive_io import EmbeddedWarehouse
from mock_sources import LabelledReplay, running

pytestmark = pytest.mark.slow

SUNDAY = dt.date(2026, 3, 1)
MONDAY = SUNDAY + dt.timedelta(days=1)
FIRST = MONDAY - dt.timedelta(days=35)
EVENING = dt.datetime(2026, 3, 1, 18, tzinfo=dt.UTC)
COMPROMISED = (90, 91)


def _file(path: Path) -> set[str]:
    """A labelled file without labels; return the ids of the frauds: 2,500 each, eight a day, at two small merchants."""
    draw = random.Random(3)
    rows: list[dict[str, object]] = []
    frauds: set[str] = set()

    def add(day: dt.date, customer: int, terminal: int, amount: float) -> None:
        at = dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=draw.randrange(86_400))
        rows.append(
            {"transaction_id": len(rows), "tx_datetime": at, "customer_id": customer, "terminal_id": terminal}
            | {"tx_amount": amount, "tx_fraud": 0}
        )

    for number in range((MONDAY - FIRST).days + 1):
        day = FIRST + dt.timedelta(days=number)
        for customer in range(60):
            add(day, customer, draw.randrange(20), draw.randrange(1000, 9000) / 100)
        for terminal in COMPROMISED:
            add(day, draw.randrange(60), terminal, 20.0)
        for _ in range(8 if day <= SUNDAY else 0):
            frauds.add(str(len(rows)))
            add(day, draw.randrange(60), draw.choice(COMPROMISED), 2500.0)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return frauds


def _fraud(*arguments: object, clock: Clock | None = None) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], obj=clock)
    assert result.exit_code == 0, result.output
    return result.output


def _of(lake: EmbeddedWarehouse, table: str, day: dt.date) -> list[dict[str, object]]:
    rows = lake.read(f"fintech.{table}").to_pylist()
    return [row for row in rows if row["ds"] == day.isoformat()]


@pytest.mark.long
def test_confirmed_cases_change_the_next_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frauds = _file(tmp_path / "bank.parquet")
    lake = EmbeddedWarehouse(tmp_path / "lake")
    monkeypatch.setenv("FRAUD_WAREHOUSE", str(lake.root))
    monkeypatch.setenv("FRAUD_FIRST_DAY", FIRST.isoformat())
    end = MONDAY + dt.timedelta(days=1)
    with running(LabelledReplay(tmp_path / "bank.parquet")) as url:
        monkeypatch.setenv("FRAUD_SOURCE_URL", url)
        _fraud("run", "--from", FIRST, "--to", end)
        before = {name: _of(lake, name, MONDAY) for name in ("merchant_profiles", "transaction_features", "fraud_alerts")}
        sunday = sorted(map(repr, _of(lake, "fraud_alerts", SUNDAY)))
        assert not lake.read("fintech.labels").num_rows and not lake.read("fintech.scorecards").num_rows

        clock = Clock(lambda: EVENING)
        _fraud("cases", "sync", clock=clock)
        store = CaseStore.open(f"sqlite:///{lake.root / 'desk.sqlite'}")
        first, *others = store.queue(limit=100)
        for case in others:
            alerts = {alert.transaction_id for alert in store.alerts(case.case_id)}
            exceptions = dict.fromkeys(alerts - frauds, Decision.HONEST)
            store.decide(
                case.case_id, Decision.FRAUD, ReasonCode.MERCHANT_COMPROMISED, None, "ann", case.version, EVENING, exceptions
            )
        # the first by the command, which also writes all of them to the lake
        _fraud("cases", "decide", first.case_id, "--as", "fraud", "--reason", "merchant_compromised", clock=clock)
        _fraud("run", "--from", SUNDAY, "--to", end)

    labels = _of(lake, "labels", SUNDAY)
    known = {row["transaction_id"] for row in labels if row["is_fraud"]}
    assert frauds <= known and len(known) < len(frauds) + 20 and {row["origin"] for row in labels} == {"decision"}
    assert sorted(map(repr, _of(lake, "fraud_alerts", SUNDAY))) == sunday, "a day does not know what was decided on it"

    # the merchant's risk
    risk = {row["merchant_id"]: row["reports_7"] for row in _of(lake, "merchant_profiles", MONDAY)}
    assert {row["reports_7"] for row in before["merchant_profiles"]} == {0}
    assert all(risk[str(merchant)] > 50 for merchant in COMPROMISED) and sum(risk.values()) == len(known)

    # the next card is learned from them
    [card] = _of(lake, "scorecards", MONDAY)
    assert card["frauds"] >= 200 and card["first_day"] == FIRST.isoformat()

    # alerts that are raised, and those that score otherwise
    def alerts(rows: list[dict[str, object]]) -> dict[object, dict[str, object]]:
        return {row["transaction_id"]: row for row in rows}

    then, now = alerts(before["fraud_alerts"]), alerts(_of(lake, "fraud_alerts", MONDAY))
    raised = [row for name, row in now.items() if name not in then]
    assert {row["merchant_id"] for row in raised} == set(map(str, COMPROMISED))
    assert all("risky_merchant" in row["rules"] for row in raised)  # type: ignore[operator]
    assert {row["card_version"] for row in now.values()} == {card["version"]}
    assert {str(row["card_version"])[:8] for row in then.values()} <= {"default-"}
    merchants = {row["transaction_id"]: row["merchant_report_share"] for row in _of(lake, "transaction_features", MONDAY)}
    assert all(merchants[row["transaction_id"]] > 0 for row in raised)

    # a Monday's alert opens a new case, that links to the decided one
    _fraud("cases", "sync", clock=Clock(lambda: EVENING + dt.timedelta(days=1)))
    cases = [store.case_of_transaction(str(row["transaction_id"])) for row in raised]
    assert [(case.status, case.former is not None) for case in cases] == [("open", True)] * len(raised) and raised
    store.close()
