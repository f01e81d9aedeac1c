"""Rejected rows: every claim is counted, personal data is masked, and a retry loses no row, wherever it is killed."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from fraud_assets.cli.main import main
from fraud_assets.ingestion.quarantine import MASK, UnknownClaim, masked, overview, refused_rows
from fraud_assets.ingestion.quarantine_retry import Retried, days_to_run, retry
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.claims import Claim
from fraud_assets.schemas.sources import API_TABLES, ApiTable
from hive_io import EmbeddedWarehouse, HiveIOError, HiveQL, PartitionConflict, Receipt, Span, Table, TableNotFound
from hive_io.warehouse import Data
from tests.fraud_assets.schemas.test_sources import BROKEN
from tests.fraud_fixtures import DAY, SPAN, served

NEXT_DAY = DAY + dt.timedelta(days=1)
ASKED = Span.days(DAY - dt.timedelta(days=30), DAY + dt.timedelta(days=30))
TRANSACTIONS = API_TABLES["transactions"]
NAME, QUARANTINE = TRANSACTIONS.table.full_name, TRANSACTIONS.rejected.full_name


def claiming(api: ApiTable, *left_out: str) -> ApiTable:
    """The table without some claims, as after a change of the code."""
    assert set(left_out) <= {claim.name for claim in api.claims}
    return replace(api, claims=tuple(claim for claim in api.claims if claim.name not in left_out))


# the change of the code: any text is a currency
CURRENCY, STATUS = "currency_is_iso_4217", "status_is_known"
RELAXED = claiming(TRANSACTIONS, CURRENCY)


def tx(name: str, **changes: Any) -> dict[str, Any]:
    return served("transactions", transaction_id=name, **changes)


def rejected_tx(name: str, **changes: Any) -> dict[str, Any]:
    """A row that violates only CURRENCY."""
    return tx(name, currency="euro", **changes)


def load(lake: EmbeddedWarehouse, *rows: Any, api: ApiTable = TRANSACTIONS, day: dt.date = DAY) -> None:
    """Load rows as the API served them for a day."""
    span = Span.days(day, day)
    batch = validate(api, rows, span)
    lake.upsert(api.rejected, batch.rejected)
    lake.replace(api.table, batch.rows, span)


def in_table(lake: EmbeddedWarehouse, api: ApiTable = TRANSACTIONS) -> set[tuple[Any, ...]]:
    (key,) = api.table.key
    amount = "amount" if api is TRANSACTIONS else key
    return {(row[key], row[amount], row["ds"]) for row in lake.read(api.table.full_name).to_pylist()}


def in_quarantine(lake: EmbeddedWarehouse, api: ApiTable = TRANSACTIONS) -> dict[tuple[str, str], list[str]]:
    """Claims by payload and day."""
    return {(row["payload"], row["ds"]): row["claims"] for row in lake.read(api.rejected.full_name).to_pylist()}


def retried(lake: EmbeddedWarehouse, api: ApiTable = RELAXED, span: Span | None = None) -> list[Retried]:
    return list(retry(lake, api, ASKED, span))


def fraud(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


# --- listing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def every_claim(lake: EmbeddedWarehouse) -> EmbeddedWarehouse:
    """A warehouse with a violation of every claim of every table."""
    for table, _, changes, span in BROKEN:
        api = API_TABLES[table]
        lake.upsert(api.rejected, validate(api, [served(table, **changes)], span).rejected)
    return lake


def test_the_overview_names_every_table_and_claim(every_claim: EmbeddedWarehouse) -> None:
    expected = {(name, claim) for name, api in API_TABLES.items() for claim in api.claim_names}
    found = overview(every_claim, API_TABLES.values())
    assert {(each.table, each.claim) for each in found} == expected
    rows = Counter((table, claim) for table, claim, _, _ in BROKEN)
    assert sum(each.rows for each in found) == sum(rows.values())
    said = fraud("rejected", "--warehouse", every_claim.root).output
    assert all(any(line.split("│")[1].strip() == t and f" {c} " in line for line in rows_shown(said)) for t, c in expected)
    shown = json.loads(fraud("rejected", "--format", "json", "--warehouse", every_claim.root).output)
    assert {(each["table"], each["claim"]) for each in shown} == expected
    assert sum(each["rows"] for each in shown) == sum(rows.values())


def rows_shown(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("│")]


def test_the_overview_counts_rows_by_day_newest_first(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a"), rejected_tx("b", status="?"), tx("c"))
    load(lake, rejected_tx("d", date_time="2026-01-06T08:00:00Z", ingested_at="2026-01-06T08:00:00Z"), day=NEXT_DAY)
    found = [(each.day, each.claim, each.rows) for each in overview(lake, [TRANSACTIONS])]
    assert found == [("2026-01-06", CURRENCY, 1), ("2026-01-05", CURRENCY, 2), ("2026-01-05", STATUS, 1)]
    assert [each.day for each in overview(lake, [TRANSACTIONS], SPAN)] == ["2026-01-05"] * 2
    assert [each.rows for each in overview(lake, [TRANSACTIONS], claim=STATUS)] == [1]
    with pytest.raises(UnknownClaim, match=rf"nonsense .*{CURRENCY}"):
        overview(lake, [TRANSACTIONS], claim="nonsense")


def test_an_empty_warehouse_has_no_rejected_rows(lake: EmbeddedWarehouse) -> None:
    assert overview(lake, API_TABLES.values()) == []
    counted = fraud("rejected", "--warehouse", lake.root)
    assert counted.exit_code == 0 and not rows_shown(counted.output)
    said = fraud("rejected", "transactions", "--warehouse", lake.root)
    assert said.exit_code == 1 and QUARANTINE in " ".join(said.output.split())


def test_rows_are_listed_newest_day_first_up_to_a_limit(lake: EmbeddedWarehouse) -> None:
    load(lake, *(rejected_tx(f"t{n}") for n in range(4)), tx("late", status="?", ingested_at="2026-01-07T00:00:00Z"))
    rows = refused_rows(lake, TRANSACTIONS)
    assert [row.day for row in rows] == ["2026-01-07"] + ["2026-01-05"] * 4
    assert json.loads(rows[0].payload) == tx("late", status="?", ingested_at="2026-01-07T00:00:00Z")
    assert refused_rows(lake, TRANSACTIONS, limit=3) == rows[:3]
    assert refused_rows(lake, TRANSACTIONS, SPAN) == rows[1:]
    assert refused_rows(lake, TRANSACTIONS, claim=STATUS) == rows[:1]
    listed = json.loads(fraud("rejected", "transactions", "--format", "json", "--warehouse", lake.root).output)
    assert [each["row_id"] for each in listed] == [row.row_id for row in rows]
    assert [each["payload"] for each in listed] == [row.payload for row in rows], "transactions have no personal data"
    written = fraud("rejected", "transactions", "--format", "csv", "--claim", STATUS, "--warehouse", lake.root).output
    (line,) = csv.DictReader(io.StringIO(written))
    assert (line["day"], json.loads(line["claims"]), line["payload"]) == ("2026-01-07", [STATUS], rows[0].payload)


def test_a_long_payload_is_shortened_in_the_table_only(lake: EmbeddedWarehouse) -> None:
    load(lake, tx("a", merchant_details__name="x" * 1_000_000))
    said = fraud("rejected", "transactions", "--warehouse", lake.root).output
    assert len(said) < 5_000 and "merchant_name_is_short" in said
    assert re.search(r"\b1,?000,?\d{3}\b", said), "the length of the payload"
    (listed,) = json.loads(fraud("rejected", "transactions", "--format", "json", "--warehouse", lake.root).output)
    assert len(listed["payload"]) > 1_000_000


# --- personal data ----------------------------------------------------------------------------------------------------

SECRETS = ["Zoë Example", "zoe@example.org", "1990-12-31"]
PERSON = {"name": SECRETS[0], "email": SECRETS[1], "date_of_birth": SECRETS[2]}
CUSTOMERS = [
    pytest.param(served("customers", demographics={**PERSON, "country": "Austria"}), id="in its own field"),
    pytest.param(served("customers", demographics={**PERSON, "country": PERSON}), id="in the field of another column"),
    pytest.param(served("customers", demographics={"country": [PERSON]}), id="in a list"),
    pytest.param(served("customers", demographics=" ".join(SECRETS)), id="as one text"),
    pytest.param({**served("customers", customer_id=None), "contact": PERSON}, id="in an unknown field"),
    pytest.param({**served("customers", customer_id=None), "contact": SECRETS}, id="in an unknown list"),
    pytest.param([PERSON], id="a list"),
    pytest.param(SECRETS[1], id="a text"),
]


@pytest.mark.parametrize("row", CUSTOMERS)
def test_personal_data_is_masked_by_default(lake: EmbeddedWarehouse, row: Any) -> None:
    row = row | {"customer_id": None} if isinstance(row, dict) else row
    load(lake, row, api=API_TABLES["customers"])
    arguments = ["rejected", "customers", "--warehouse", lake.root]
    for form in ("table", "json", "csv"):
        result = fraud(*arguments, "--format", form)
        assert result.exit_code == 0, result.output
        assert MASK in result.output and "customer_id_is_given" in result.output
        assert not [secret for secret in SECRETS if secret in result.output]
    (whole,) = json.loads(fraud(*arguments, "--format", "json", "--personal").output)
    assert json.loads(whole["payload"]) == row


def test_other_data_is_shown() -> None:
    row = served("customers", demographics={**PERSON, "country": "Austria", "city": None})
    shown = json.loads(masked(API_TABLES["customers"], json.dumps(row)))
    assert shown == row | {"demographics": {**dict.fromkeys(PERSON, MASK), "country": "Austria", "city": None}}
    assert masked(API_TABLES["customers"], "no JSON, zoe@example.org") == json.dumps(MASK)


def test_personal_data_is_shown_only_as_json(lake: EmbeddedWarehouse) -> None:
    for arguments in (["customers"], ["customers", "--format", "csv"], ["--format", "json"]):
        result = fraud("rejected", *arguments, "--personal", "--warehouse", lake.root)
        assert result.exit_code == 2 and "--personal requires TABLE and --format json" in result.output
    assert "personal data" in fraud("rejected", "--help").output and "--personal" in fraud("rejected", "--help").output
    assert "--personal" in fraud("rejected", "list", "--help").output


# --- retry ------------------------------------------------------------------------------------------------------------


def test_valid_rows_move_to_the_table_and_the_others_stay(lake: EmbeddedWarehouse) -> None:
    still = rejected_tx("still", status="?")
    load(lake, rejected_tx("now", amount=7), still, tx("untouched", status="?"), tx("good"))
    before = in_quarantine(lake)
    (day,) = retried(lake)
    assert day == Retried("2026-01-05", taken=1, known=0, refused=2, changed=["2026-01-05"], known_on=[])
    assert in_table(lake) == {("now", 7, "2026-01-05"), ("good", 12.5, "2026-01-05")}
    claims = {json.loads(payload)["transaction_id"]: claims for (payload, _), claims in in_quarantine(lake).items()}
    assert claims == {"still": [STATUS], "untouched": [STATUS]}
    assert set(in_quarantine(lake)) < set(before), "payloads and days are unchanged"


def test_without_a_changed_claim_nothing_changes(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a"), None, 5, tx("good"))
    versions = versions_of(lake)
    (day,) = retried(lake, TRANSACTIONS)
    assert (day.taken, day.known, day.refused, day.changed) == (0, 0, 3, [])
    assert versions_of(lake) == versions, "nothing was written"


def test_a_second_retry_changes_nothing(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a"), rejected_tx("b", status="?"), tx("good"))
    retried(lake)
    rows, quarantine, versions = in_table(lake), in_quarantine(lake), versions_of(lake)
    assert [(day.taken, day.known, day.refused) for day in retried(lake)] == [(0, 0, 1)]
    assert (in_table(lake), in_quarantine(lake), versions_of(lake)) == (rows, quarantine, versions)


def versions_of(lake: EmbeddedWarehouse) -> dict[str, int]:
    """Commits of each table."""
    logs = sorted((lake.root / "fintech.db").glob("*/_delta_log"))
    return {log.parent.name: len(list(log.glob("*.json"))) for log in logs}


@pytest.mark.parametrize(
    ("in_the_table", "rejected", "kept", "taken"),
    [
        ("10:00:02", "10:00:01", "table", 0),
        ("10:00:01", "10:00:02", "rejected", 1),
        ("10:00:01", "10:00:01", "table", 0),
        ("10:00:01", None, "table", 0),
        (None, "10:00:01", "rejected", 1),
        (None, None, "table", 0),
    ],
)
def test_the_version_that_arrived_last_stays(
    lake: EmbeddedWarehouse, in_the_table: str | None, rejected: str | None, kept: str, taken: int
) -> None:
    arrived = [time and f"2026-01-05T{time}Z" for time in (in_the_table, rejected)]
    amounts = {"table": 1, "rejected": 2}
    load(lake, tx("a", amount=1, ingested_at=arrived[0]), rejected_tx("a", amount=2, ingested_at=arrived[1]))
    (day,) = retried(lake)
    assert (day.taken, day.known, day.refused) == (taken, 1 - taken, 0)
    assert (day.changed, day.known_on) == ((["2026-01-05"], []) if taken else ([], ["2026-01-05"]))
    assert in_table(lake) == {("a", amounts[kept], "2026-01-05")}
    assert in_quarantine(lake) == {}


def test_the_last_of_several_rejected_versions_is_loaded(lake: EmbeddedWarehouse) -> None:
    versions = [rejected_tx("a", amount=n, ingested_at=f"2026-01-0{n}T11:00:00Z") for n in (5, 6, 7)]
    load(lake, *versions, rejected_tx("a", amount=4, ingested_at="2026-01-07T10:00:00Z"))
    days = retried(lake)
    assert [(day.day, day.taken, day.known) for day in days] == [
        ("2026-01-05", 1, 0),
        ("2026-01-06", 1, 0),
        ("2026-01-07", 1, 1),
    ]
    assert in_table(lake) == {("a", 7, "2026-01-05")}


def test_a_row_is_loaded_on_its_own_day_and_other_rows_of_the_day_stay(lake: EmbeddedWarehouse) -> None:
    load(lake, tx("there", date_time="2026-01-04T10:00:00Z"), day=DAY - dt.timedelta(days=1))
    load(lake, tx("good"), rejected_tx("late", date_time="2026-01-04T09:00:00Z"), rejected_tx("old", date_time="2019-01-01"))
    (day,) = retried(lake)
    assert (day.taken, day.refused, day.changed) == (1, 1, ["2026-01-04"])
    assert {(name, on) for name, _, on in in_table(lake)} == {
        ("there", "2026-01-04"),
        ("late", "2026-01-04"),
        ("good", "2026-01-05"),
    }
    assert list(in_quarantine(lake).values()) == [["event_time_is_in_the_span_asked_for"]]


@pytest.mark.parametrize("table", ["customers", "blacklist", "credit_scores"])
def test_a_row_of_a_snapshot_is_loaded_on_its_day_of_arrival(lake: EmbeddedWarehouse, table: str) -> None:
    api = API_TABLES[table]
    (key,) = api.table.key
    longer = claiming(api, f"{key}_is_short")
    long = "x" * 1001
    load(lake, served(table), served(table, **{key: long}), api=api)
    load(lake, served(table), api=api, day=NEXT_DAY)
    (day,) = retried(lake, longer)
    assert (day.taken, day.changed) == (1, ["2026-01-05"])
    good = served(table)[key]
    assert {(name, on) for name, _, on in in_table(lake, api)} == {
        (good, "2026-01-05"),
        (long, "2026-01-05"),
        (good, "2026-01-06"),
    }


def test_only_the_requested_days_of_arrival_are_retried(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a"), rejected_tx("b", ingested_at="2026-01-06T00:00:00Z"))
    assert [day.day for day in retried(lake, span=Span.days(NEXT_DAY, NEXT_DAY))] == ["2026-01-06"]
    assert {name for name, _, _ in in_table(lake)} == {"b"}
    assert [on for _, on in in_quarantine(lake)] == ["2026-01-05"]


def test_rows_that_a_later_load_accepted_leave_quarantine(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a"), tx("good"))
    load(lake, rejected_tx("a"), tx("good"), api=RELAXED)
    assert len(in_quarantine(lake)) == 1, "a load does not remove it"
    rows = in_table(lake)
    (day,) = retried(lake)
    assert (day.taken, day.known, day.refused, day.changed) == (0, 1, 0, [])
    assert (in_table(lake), in_quarantine(lake)) == (rows, {})


def test_odd_rows_stay_as_served(lake: EmbeddedWarehouse) -> None:
    odd = ["\ud800", {"transaction_id": "\ud800"}, {"amount": 2**80}, [], True, "it's \\ a 'text'", {"a": float("inf")}]
    load(lake, *odd, rejected_tx("it's \\ 'odd'"))
    before = in_quarantine(lake)
    (day,) = retried(lake)
    assert (day.taken, day.refused) == (1, len(odd))
    assert {name for name, _, _ in in_table(lake)} == {"it's \\ 'odd'"}
    assert in_quarantine(lake) == {row: claims for row, claims in before.items() if "odd" not in row[0]}


def test_an_unreadable_payload_stays(lake: EmbeddedWarehouse) -> None:
    broken = [{"row_id": "1", "payload": "not JSON", "claims": [CURRENCY], "ds": "2026-01-05"}]
    lake.upsert(TRANSACTIONS.rejected, pa.Table.from_pylist(broken, schema=TRANSACTIONS.rejected.arrow_schema))
    load(lake, rejected_tx("a"))
    (day,) = retried(lake)
    assert (day.taken, day.refused) == (1, 1)
    assert in_quarantine(lake) == {("not JSON", "2026-01-05"): [CURRENCY]}


def test_more_rows_than_one_query_names(lake: EmbeddedWarehouse) -> None:
    rows = [rejected_tx(f"t{n}", amount=n) for n in range(4_500)]
    load(lake, *rows)
    assert len(refused_rows(lake, TRANSACTIONS)) == 4_500
    newer = [tx(f"t{n}", amount=-0.0, ingested_at="2026-01-05T23:00:00Z") for n in range(0, 4_500, 2)]
    lake.upsert(TRANSACTIONS.table, validate(TRANSACTIONS, newer, SPAN).rows)
    (day,) = retried(lake)
    assert (day.taken, day.known, day.refused) == (2_250, 2_250, 0)
    assert in_table(lake) == {(f"t{n}", n if n % 2 else 0, "2026-01-05") for n in range(4_500)}


def test_a_retry_before_the_first_load_is_an_error(lake: EmbeddedWarehouse) -> None:
    with pytest.raises(TableNotFound, match=QUARANTINE):
        retried(lake)


# --- killed retries, concurrent writers -------------------------------------------------------------------------------


class Killed(EmbeddedWarehouse):
    """Fails before a write, like a process that is killed there."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.left = writes

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise HiveIOError("killed")

    def replace(self, table: Table, data: Data, span: Span) -> Receipt:
        self._count()
        return super().replace(table, data, span)

    def upsert(self, table: Table, rows: pa.Table, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        self._count()
        return super().upsert(table, rows, times=times)


@pytest.mark.parametrize("writes", range(6))
def test_a_retry_killed_between_writes_can_be_repeated(tmp_path: Path, writes: int) -> None:
    """Two days of arrival, three writes each: the table, the marks in quarantine, the removal."""
    rows = [rejected_tx("a", amount=1), rejected_tx("b", status="?"), rejected_tx("c", ingested_at="2026-01-06T00:00:00Z")]
    lakes = [EmbeddedWarehouse(tmp_path / name) for name in ("whole", "killed")]
    for lake in lakes:
        load(lake, *rows, tx("good"))
    whole, lake = lakes
    retried(whole)
    assert len(in_table(whole)) == 3 and len(in_quarantine(whole)) == 1
    with pytest.raises(HiveIOError, match="killed"):
        list(retry(Killed(lake.root, writes), RELAXED, ASKED))
    names = {name for name, _, _ in in_table(lake)}
    waiting = {json.loads(payload)["transaction_id"] for (payload, _), claims in in_quarantine(lake).items() if claims}
    assert names | waiting == {"a", "b", "c", "good"}, "no row is lost"
    shown = refused_rows(lake, TRANSACTIONS)
    assert {json.loads(row.payload)["transaction_id"] for row in shown} == waiting, "marked rows are no longer listed"
    days = retried(lake)
    assert (in_table(lake), in_quarantine(lake)) == (in_table(whole), in_quarantine(whole))
    again = {day for each in days for day in (*each.changed, *each.known_on)}
    assert again == {"2026-01-05"}, "the days to run are reported"


class Interrupted(EmbeddedWarehouse):
    """Another writer commits once, between a query and the write of its result."""

    def __init__(self, root: Path, before_replace: Callable[[], None]) -> None:
        super().__init__(root)
        self.before_replace: Callable[[], None] | None = before_replace
        self.sweeps = 0

    def query(self, query: HiveQL) -> pa.Table:
        rows = super().query(query)
        if "claims IS NULL" in query.text:
            self.sweeps += 1
            step, self.before_replace = self.before_replace, None
            if step:
                step()
        return rows


def test_a_row_that_is_rejected_meanwhile_is_not_lost(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a"), rejected_tx("b", status="?"))

    def reject_another() -> None:
        batch = validate(TRANSACTIONS, [tx("meanwhile", status="?")], SPAN)
        EmbeddedWarehouse(lake.root).upsert(TRANSACTIONS.rejected, batch.rejected)

    beside = Interrupted(lake.root, reject_another)
    list(retry(beside, RELAXED, ASKED))
    assert beside.sweeps == 2, "the removal was recomputed with the other writer's rows"
    names = {json.loads(payload)["transaction_id"]: claims for (payload, _), claims in in_quarantine(lake).items()}
    assert names == {"b": [STATUS], "meanwhile": [STATUS]}
    assert {name for name, _, _ in in_table(lake)} == {"a"}


class Conflicting(EmbeddedWarehouse):
    """Another writer commits first, once, to each table that rows are upserted into."""

    def __init__(self, root: Path, steps: dict[str, Callable[[], None]]) -> None:
        super().__init__(root)
        self.steps = steps

    def upsert(self, table: Table, rows: pa.Table, *, times: Collection[dt.datetime] | None = None) -> Receipt:
        step = self.steps.pop(table.name, None)
        if step:
            step()
            raise PartitionConflict(table.full_name)
        return super().upsert(table, rows, times=times)


def test_after_a_conflict_the_table_is_read_again(lake: EmbeddedWarehouse) -> None:
    load(lake, rejected_tx("a", amount=1), rejected_tx("b", status="?"))

    def load_newer() -> None:
        newer = validate(TRANSACTIONS, [tx("a", amount=2, ingested_at="2026-01-05T23:00:00Z")], SPAN)
        EmbeddedWarehouse(lake.root).upsert(TRANSACTIONS.table, newer.rows)

    def reject_another() -> None:
        bad = validate(TRANSACTIONS, [tx("meanwhile", status="?")], SPAN)
        EmbeddedWarehouse(lake.root).upsert(TRANSACTIONS.rejected, bad.rejected)

    steps = {"transactions": load_newer, "transactions_rejected": reject_another}
    (day,) = retry(Conflicting(lake.root, steps), RELAXED, ASKED)
    assert not steps and (day.taken, day.known) == (0, 1)
    assert in_table(lake) == {("a", 2, "2026-01-05")}
    assert sorted(json.loads(payload)["transaction_id"] for payload, _ in in_quarantine(lake)) == ["b", "meanwhile"]


# --- days to run afterwards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "changed", "expected"),
    [
        ("transactions", ["2026-01-05"], ["2026-01-05 to 2026-01-06"]),
        ("transactions", ["2026-01-05", "2026-01-06", "2026-01-09"], ["2026-01-05 to 2026-01-07", "2026-01-09 to 2026-01-10"]),
        ("transactions", ["2026-02-04"], ["2026-02-04"]),
        ("transactions", ["2026-02-05"], []),
        ("customers", ["2026-01-05"], ["2026-01-05"]),
        ("transactions", [], []),
    ],
)
def test_the_days_to_run_depend_on_the_changed_days(table: str, changed: list[str], expected: list[str]) -> None:
    assert [str(span) for span in days_to_run(API_TABLES[table], changed, ASKED)] == expected


def test_the_command_reports_counts_and_the_days_to_run(lake: EmbeddedWarehouse) -> None:
    # an older version of the code, which accepted only one channel
    online = Claim("channel_is_online", "channel", lambda values: values == "online", "{x} = 'online'")
    strict = replace(TRANSACTIONS, claims=(*TRANSACTIONS.claims, online))
    load(lake, tx("new"), tx("known"), tx("bad", status="?"), api=strict)
    lake.upsert(TRANSACTIONS.table, validate(TRANSACTIONS, [tx("known")], SPAN).rows)
    result = fraud("rejected", "retry", "transactions", "--warehouse", lake.root)
    assert result.exit_code == 0, result.output
    assert re.search(r"^transactions: 1 rows .*\b1 .*\b1 still rejected", result.output), "loaded, already loaded, rejected"
    assert re.search(r"already loaded on 2026-01-05", result.output, re.IGNORECASE)
    assert re.search(r"^changed.*2026-01-05$", result.output, re.MULTILINE | re.IGNORECASE)
    assert f"fraud run --from 2026-01-05 --to 2026-01-07 --warehouse {lake.root}\n" in result.output
    assert "Café" not in result.output, "no payload"
    again = fraud("rejected", "retry", "transactions", "--warehouse", lake.root).output
    assert re.search(r"^transactions: 0 rows .*\b0 .*\b1 still rejected", again) and "fraud run" not in again


def test_an_unknown_table_is_a_usage_error(lake: EmbeddedWarehouse) -> None:
    for arguments in (["nothing"], ["retry", "nothing"], ["retry"]):
        result = fraud("rejected", *arguments, "--warehouse", lake.root)
        assert result.exit_code == 2 and "transactions" in result.output
