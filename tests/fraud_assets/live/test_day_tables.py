"""A day begins without a snapshot: detection goes on with that of an earlier day, and judges again when it arrives."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from flask import Response, request
from pydantic import SecretStr

from fraud_assets.defs.asset_specs import key
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.engine.refresh import refresh
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.live import service as module
from fraud_assets.live.micro_batch import MicroBatcher
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span
from mock_sources import World, create_app
from mock_sources.serving import serving
from tests.e2e.lakes import Rows, assert_same, rows_of
from tests.fraud_assets.live.test_micro_batch import LEFT_TO_A_RUN
from tests.fraud_assets.monitoring.test_incidents import Receiver
from tests.services.processes import wait_until
from tests.services.watching import SimulatedTime, Story, simulate

pytestmark = pytest.mark.slow

DAY = dt.date(2026, 3, 12)
BEFORE = DAY - dt.timedelta(days=1)
HISTORY = Span.days(DAY - dt.timedelta(days=6), BEFORE)
MORNING = dt.datetime(2026, 3, 12, 8, tzinfo=dt.UTC)
ENGINE = Engine(read_rule_book())
SECTIONS = {
    "blacklist": "blacklist_info",
    "credit_scores": "credit_scores",
    "fraud_reports": "fraud_reports",
}
HANGS = 120


class Source:
    """A source that fails for some tables.

    Attributes:
        faults: for each table, what happens: `refused` (its rows lack their key), `failing` (status 503) or `late` (no answer
            until `answers` is set).
    """

    def __init__(self) -> None:
        self.now = MORNING
        self.faults: dict[str, str] = {}
        self.answers = threading.Event()
        self.url = ""
        self.app = create_app(World(customers=120, merchants=60, fraud_rate=0.1), lambda: self.now)
        self.app.before_request(self._before)
        self.app.after_request(self._after)

    def _fault(self) -> str | None:
        fields = request.args.get("fields")
        table = "customers" if request.path == "/api/customers" else None
        table = next((name for name, field in SECTIONS.items() if field == fields), table) if fields else table
        return self.faults.get(table or "")

    def _before(self) -> Response | None:
        fault = self._fault()
        if fault == "late":
            self.answers.wait(HANGS)
        return Response("not yet", 503) if fault == "failing" else None

    def _after(self, response: Response) -> Response:
        if self._fault() == "refused":
            page = json.loads(response.get_data())
            for row in page if isinstance(page, list) else next(iter(page.values())):
                row.update(dict.fromkeys(("customer_id", "merchant_id", "report_id")))
            response.set_data(json.dumps(page))
        return response


@pytest.fixture
def source() -> Iterator[Source]:
    served = Source()
    with serving(served.app, threads=8) as served.url:
        yield served
        served.answers.set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with the days before the day, as a folder to copy."""
    folder = tmp_path_factory.mktemp("history") / "lake"
    source = Source()
    with serving(source.app) as url, SourceClient(url) as client:
        refresh(ENGINE, client, EmbeddedWarehouse(folder), HISTORY, 0.2)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of the day after one poll of a source without faults."""
    copy = tmp_path_factory.mktemp("undisturbed")
    lake = with_history(folder, copy / "lake")
    source = Source()
    with serving(source.app) as url, SourceClient(url) as client:
        assert list(batcher_of(lake, client, copy).poll(DAY))
    return judged(lake)


def with_history(folder: Path, copy: Path) -> EmbeddedWarehouse:
    shutil.copytree(folder, copy)
    return EmbeddedWarehouse(copy)


def batcher_of(lake: EmbeddedWarehouse, client: SourceClient, folder: Path, patience: float = 30.0) -> MicroBatcher:
    folder.mkdir(exist_ok=True)
    return MicroBatcher(
        ENGINE, client, lake, folder / "watch.json", DAY - dt.timedelta(days=60), 0.2, dt.timedelta(days=1), patience=patience
    )


def judged(lake: EmbeddedWarehouse) -> Rows:
    """The rows of the day, without what is left to a run and what a refused snapshot leaves in quarantine."""
    return {
        name: type(rows)({row: count for row, count in rows.items() if dict(row)["ds"] == str(DAY)})
        for name, rows in rows_of(lake).items()
        if name not in LEFT_TO_A_RUN and not name.endswith(("_rejected", "_loads"))
    }


def snapshot(lake: EmbeddedWarehouse, table: str, day: dt.date) -> list[str]:
    rows = lake.read(f"fintech.{table}", span=Span.days(day, day)).drop_columns(["ds"]).to_pylist()
    return sorted(map(repr, rows))


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        pytest.param(table, fault, marks=[] if n == m else pytest.mark.long)
        for n, table in enumerate(["customers", "blacklist", "fraud_reports"])
        for m, fault in enumerate(["refused", "failing", "late"])
    ],
)
def test_detection_goes_on_without_a_table_and_judges_again_with_it(
    table: str, fault: str, source: Source, folder: Path, undisturbed: Rows, tmp_path: Path
) -> None:
    lake = with_history(folder, tmp_path / "lake")
    with SourceClient(source.url, attempts=1) as client:
        source.faults[table] = fault
        batcher = batcher_of(lake, client, tmp_path / "b", patience=5.0 if fault == "late" else 30.0)
        [batch] = batcher.poll(DAY)
        assert batch.served > 20 and judged(lake)["fraud_alerts"]
        assert batcher.missing.keys() == {table} and fault[:4] in batcher.problems[table].replace("not available", "fail")
        if table != "fraud_reports":
            assert batcher.missing[table].instead == BEFORE and str(BEFORE) in batcher.problems[table]
            assert snapshot(lake, table, DAY) == snapshot(lake, table, BEFORE) != []

        # it survives a restart, and asks in the background
        source.answers.set()
        source.faults.clear()
        batcher = batcher_of(lake, client, tmp_path / "b")
        assert batcher.missing.keys() == {table}
        assert batcher.load_missing(ask=True) == []
        wait_until("the table", lambda: batcher.load_missing(ask=False) == [table], HANGS, every=0.05)
        assert batcher.missing == {} == batcher.problems
    assert_same(judged(lake), undisturbed)


def test_a_table_that_stays_refused_stays_missing(source: Source, folder: Path, tmp_path: Path) -> None:
    lake = with_history(folder, tmp_path / "lake")
    source.faults["blacklist"] = "refused"
    with SourceClient(source.url, attempts=1) as client:
        batcher = batcher_of(lake, client, tmp_path)
        list(batcher.poll(DAY))
        assert batcher.load_missing(ask=True) == []
        problem = batcher.problems["blacklist"]
        wait_until("an answer", lambda: batcher._day_tables.is_fetched("blacklist"), HANGS, every=0.05)
        assert batcher.load_missing(ask=False) == []
        assert batcher.problems["blacklist"] == problem and "merchant_id_is_given" in problem and "20%" in problem
        batcher.begin_reconciliation([str(DAY)])
        batcher.end_reconciliation(complete=True)
        assert batcher.missing == {}


def test_without_an_earlier_snapshot_the_rules_that_need_it_judge_nothing(
    source: Source, tmp_path: Path, lake: EmbeddedWarehouse
) -> None:
    source.faults.update(customers="failing", blacklist="refused")
    with SourceClient(source.url, attempts=1) as client:
        batcher = batcher_of(lake, client, tmp_path)
        [batch] = batcher.poll(DAY)
        assert batch.served > 20
        assert {table: missing.instead for table, missing in batcher.missing.items()} == {"customers": None, "blacklist": None}
    found = judged(lake)
    assert not found["blacklisted_merchants"] and found["transactions"] and found["fraud_alerts"]


def test_a_snapshot_that_a_run_has_loaded_is_not_missing(source: Source, folder: Path, tmp_path: Path) -> None:
    lake = with_history(folder, tmp_path / "lake")
    with SourceClient(source.url, attempts=1) as client:
        refresh(ENGINE, client, lake, Span.days(DAY, DAY), 0.2)
        rows = snapshot(lake, "customers", DAY)
        source.faults["customers"] = "refused"
        batcher = batcher_of(lake, client, tmp_path)
        list(batcher.poll(DAY))
        assert batcher.missing == {} and snapshot(lake, "customers", DAY) == rows


def test_a_day_whose_transactions_came_before_it_began_is_judged_again(source: Source, folder: Path, tmp_path: Path) -> None:
    """The source's clock is an hour ahead: around midnight, it serves transactions of a day that has not begun."""
    lake, other = (with_history(folder, tmp_path / name) for name in ("lake", "other"))
    with SourceClient(source.url, attempts=1) as client:
        source.now = dt.datetime(2026, 3, 12, 4, tzinfo=dt.UTC)
        list(batcher_of(other, client, tmp_path / "a").poll(DAY))
        batcher = batcher_of(lake, client, tmp_path / "b")
        source.now = dt.datetime(2026, 3, 11, 23, tzinfo=dt.UTC)
        list(batcher.poll(BEFORE))
        source.now = dt.datetime(2026, 3, 12, 2, tzinfo=dt.UTC)
        assert any(str(DAY) in batch.days for batch in batcher.poll(BEFORE))
        source.now = dt.datetime(2026, 3, 12, 4, tzinfo=dt.UTC)
        assert list(batcher.poll(DAY))
    found, expected = judged(lake), judged(other)
    assert found["fraud_alerts"] == expected["fraud_alerts"]
    assert_same({n: found[n] for n in ENGINE.book.rules}, {n: expected[n] for n in ENGINE.book.rules})


def test_a_refused_snapshot_is_an_incident_of_its_own(source: Source, folder: Path, tmp_path: Path) -> None:
    now = SimulatedTime(MORNING)
    receiver = Receiver()
    lake = with_history(folder, tmp_path / "lake")
    source.faults["blacklist"] = "refused"
    with serving(receiver.app) as hook:
        settings = read_settings(warehouse=str(lake.root), source_url=source.url, first_day=HISTORY.first_day)
        target = SecretStr(hook.replace("http://", "json://") + "/hook")
        settings = settings.model_copy(update={"notify": target, "notify_severity": "none"})

        def received(number: int) -> Callable[[], bool]:
            return lambda: len(receiver.titles) >= number

        def story() -> Story:
            yield lambda: now.seconds() > 400
            wait_until("a message", received(1), HANGS)
            source.faults.clear()
            yield lambda: not json.loads((lake.root / "pending.json").read_text())["missing"]
            wait_until("another message", received(2), HANGS)

        messages = simulate(settings, now, story(), every=10.0)
    titles = [title for title in receiver.titles if not title.startswith(module.SOURCE.opened)]
    assert titles[:2] == [f"{module.SNAPSHOTS.opened}: blacklist", f"{module.SNAPSHOTS.resolved}: blacklist"]
    body = receiver.bodies[receiver.titles.index(titles[0])]
    assert f"blacklist: snapshot of {DAY} refused" in body and str(BEFORE) in body and "merchant_id_is_given" in body
    assert not any("retrying" in message for message in messages), "no poll failed"
    with dagster_instance(settings) as instance:
        [record] = instance.fetch_observations(key("blacklist"), limit=10).records
        assert record.asset_observation is not None and record.partition_key == str(DAY)
        assert record.asset_observation.metadata["snapshot used"].value == str(BEFORE)
        assert isinstance(record.asset_observation, dg.AssetObservation)
