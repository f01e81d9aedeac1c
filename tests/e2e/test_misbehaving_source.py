"""A source that fails, throttles, truncates and repeats; late, repeated, corrected and malformed rows: each row counts once.

Expected rows come from the same world behind a server without faults.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pytest
from flask import Flask

from fraud_assets.ingestion.batch import Counts
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.load import fetch, load
from fraud_assets.ingestion.normal_form import normal
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import API_TABLES, ApiTable
from hive_io import EmbeddedWarehouse, Span
from mock_sources import Faults, HttpFaults, World, create_app
from mock_sources.faults import MALFORMATIONS, ODDITIES
from mock_sources.list_faults import LIST_MALFORMATIONS
from mock_sources.serving import serving
from tests.fraud_fixtures import KEY_OF, SPAN, served

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DAYS = Span.days(dt.date(2026, 3, 31), dt.date(2026, 4, 1))
LATER = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)  # after the last late arrival
ROWS = Faults(late=0.1, duplicates=0.05, corrected=0.05, malformed=0.02, odd=0.1, malformed_others=0.2)
PATHS = {"transactions": "/api/transactions", "customers": "/api/customers"}
FIELDS = {"blacklist": "blacklist_info", "credit_scores": "credit_scores", "fraud_reports": "fraud_reports"}


@pytest.mark.slow
def test_every_row_is_loaded_or_rejected_or_superseded_once(tmp_path: Path) -> None:
    _survives(tmp_path, range(3))


@pytest.mark.long
def test_every_row_is_loaded_or_rejected_or_superseded_once_in_many_worlds(tmp_path: Path) -> None:
    _survives(tmp_path, range(3, 40))


@pytest.mark.parametrize("way", MALFORMATIONS)
def test_every_malformed_transaction_is_rejected_and_kept_as_served(way: str) -> None:
    row = served("transactions", customer_id="c000001")
    MALFORMATIONS[way](row)
    _assert_rejected("transactions", row)


@pytest.mark.parametrize(
    ("name", "way"), [(name, way) for name, ways in LIST_MALFORMATIONS.items() for way in range(len(ways))]
)
def test_every_malformed_row_of_other_tables_is_rejected_and_kept_as_served(name: str, way: int) -> None:
    [table] = [table for table in API_TABLES if name in (table, FIELDS.get(table))]
    _assert_rejected(table, {**served(table), **LIST_MALFORMATIONS[name][way]})


def _assert_rejected(table: str, row: dict[str, Any]) -> None:
    good = served(table)
    batch = validate(API_TABLES[table], [good, row], SPAN)
    assert [json.loads(payload) for payload in batch.rejected.column("payload").to_pylist()] == [row]
    assert batch.rows.num_rows == 1


@pytest.mark.parametrize("way", ODDITIES)
def test_every_odd_name_is_loaded_byte_for_byte(way: str, lake: EmbeddedWarehouse) -> None:
    name = ODDITIES[way]("Café")
    app = Flask("odd")
    app.get("/api/transactions")(lambda: [served("transactions", merchant_details__name=name)])
    with serving(app) as url, SourceClient(url) as client:
        load(API_TABLES["transactions"], client, lake, SPAN, 0.0)
    [loaded] = lake.read("fintech.transactions").column("merchant_name").to_pylist()
    assert loaded.encode() == name.encode()


def _survives(folder: Path, seeds: Sequence[int]) -> None:
    requests: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for seed in seeds:
        rows += _one_world(folder / str(seed), seed, requests)
    # every fault must have occurred
    assert {"500", "429", "cut", "again", "200"} <= set(requests)
    failed = requests["500"] + requests["429"] + requests["cut"]
    assert failed / (failed + requests["200"]) == pytest.approx(0.2, abs=0.06)
    assert rows["superseded in transactions"] and rows["odd"]
    assert all(rows[f"loaded in {name}"] and rows[f"rejected in {name}"] for name in API_TABLES)


def _one_world(folder: Path, seed: int, requests: Counter[str]) -> Counter[str]:
    faults = HttpFaults(errors=0.08, throttled=0.06, cut=0.08, slow=0.05, repeated=0.3, seconds=0.01, retry_after=0, seed=seed)
    lake = EmbeddedWarehouse(folder)
    found: Counter[str] = Counter()
    with ExitStack() as servers:

        def server(rows: Faults, http_faults: HttpFaults | None = None) -> str:
            world = World(seed, 50, 60, fraud_rate=0.3, faults=rows, start=dt.date(2025, 1, 1))
            app = create_app(world, lambda: LATER, http_faults)
            app.wsgi_app = _counted(app.wsgi_app, requests if http_faults else Counter())  # type: ignore[method-assign]
            return servers.enter_context(serving(app))

        whole = server(ROWS)
        meant = server(replace(ROWS, malformed=0, malformed_others=0))
        url = server(ROWS, faults)
        client = servers.enter_context(SourceClient(url, page_size=15, attempts=15, backoff=0.001))
        for name, api in API_TABLES.items():
            days = [Expected.of(api, Span.days(day, day), whole, meant) for day in DAYS.each_day()]
            load(api, client, lake, DAYS, 1.0)
            loaded = _by_key(name, lake.read(f"fintech.{name}").to_pylist())
            assert loaded == {key: row for day in days for key, row in day.loaded.items()}
            rejected = lake.read(f"fintech.{name}_rejected").to_pylist()
            expected = sorted(row for day in days for row in day.rejected)
            assert sorted((row["ds"], row["payload"]) for row in rejected) == expected
            # fetched again through other faults: the same counts
            counts = fetch(api, client, DAYS, lake).days
            assert counts == {day.ds: Counts(len(day.loaded), len(day.rejected), day.superseded) for day in days}
            assert [count.served for count in counts.values()] == [day.served for day in days]
            for day in days:
                found[f"loaded in {name}"] += len(day.loaded)
                found[f"rejected in {name}"] += len(day.rejected)
                found[f"superseded in {name}"] += day.superseded
        usual = {merchant["name"] for merchant in World(seed, 50, 60).population.merchants.details}
        names = lake.read("fintech.transactions", ["merchant_name"]).column("merchant_name").to_pylist()
        found["odd"] += sum(name not in usual for name in names)
    return found


@dataclass(frozen=True)
class Expected:
    """Expected result for a day's rows.

    Attributes:
        loaded: rows in their last version, by key and day.
        rejected: day of arrival and payload.
        superseded: number of versions that have a later one.
        served: number of rows at the source, in all versions.
    """

    ds: str
    loaded: dict[tuple[str, str], dict[str, Any]]
    rejected: list[tuple[str, str]]
    superseded: int
    served: int

    @classmethod
    def of(cls, api: ApiTable, day: Span, whole: str, meant: str) -> Expected:
        """From the rows of two servers without HTTP faults; rows that differ at `meant`, which malforms none, are malformed."""
        ds, name = day.first_ds, api.table.name
        rows, good = _ask(whole, name, day), _ask(meant, name, day)
        pairs = list(zip(rows, good, strict=True))
        fine = sorted((row for row, other in pairs if row == other), key=lambda row: row.get("ingested_at", ""))
        last = {row[KEY_OF[name]]: row for row in fine}
        rejected = [
            (row.get("ingested_at", ds)[:10], json.dumps(row, ensure_ascii=False, sort_keys=True))
            for row, other in pairs
            if row != other
        ]
        loaded = _by_key(name, (_as_in_the_table(api, row, ds) for row in last.values()))
        return cls(ds, loaded, rejected, len(fine) - len(last), len(rows))


def _ask(url: str, name: str, day: Span) -> list[dict[str, Any]]:
    since, until = (f"{edge:%Y-%m-%dT%H:%M:%SZ}" for edge in (day.start, day.end))
    snapshot = API_TABLES[name].day_column is None
    asked = {"as_of": since} if snapshot else {"since": since, "until": until}
    if name in FIELDS:
        asked["fields"] = FIELDS[name]
    answer = httpx.get(url + PATHS.get(name, "/api/externalData"), params={**asked, "limit": "50000"}, timeout=60)
    assert answer.status_code == 200 and "next" not in answer.links
    return answer.json()[FIELDS[name]] if name in FIELDS else answer.json()


def _by_key(name: str, rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    rows = list(rows)
    found = {(row["ds"], row[KEY_OF[name]]): row for row in rows}
    assert len(found) == len(rows), "duplicate key"
    return found


def _as_in_the_table(api: ApiTable, row: dict[str, Any], ds: str) -> dict[str, Any]:
    result: dict[str, Any] = {"ds": ds}
    for column in api.read_columns:
        value: Any = row
        for key in api.paths[column.name]:
            value = value.get(key)  # an optional field that the source lacks is NULL
        result[column.name] = None if value is None else _READ.get(column.arrow_type, lambda same: same)(value)
    for name, parts in api.normal_forms.items():
        texts = [normal(result[part] or "") for part in parts]
        result[name] = ", ".join(filter(None, texts)) if texts[-1] else None
    if api.first_seen:
        # a first load takes the time of the row
        result[api.first_seen] = result[str(api.day_column)]
    return result


_READ: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.timestamp("us"): lambda text: dt.datetime.fromisoformat(text).replace(tzinfo=None),
    pa.decimal128(18, 2): lambda number: Decimal(str(number)).quantize(Decimal("0.01")),
}


def _counted(app: WSGIApplication, requests: Counter[str]) -> WSGIApplication:
    """The application, counting its responses: by status, `cut` for truncated bodies, and `again` for repeated pages."""

    def counting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        said: dict[str, str] = {}

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            said.update({**dict(headers), "status": status[:3]})
            return start_response(status, headers, *more)

        body = b"".join(app(environ, start))
        requests["cut" if int(said["Content-Length"]) > len(body) else said["status"]] += 1
        requests["again"] += "again=" in environ["QUERY_STRING"]
        return [body]

    return counting
