"""A desk that serves on loopback, with cases and a small warehouse, and people who use it over HTTP."""

from __future__ import annotations

import datetime as dt
import html
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import Clock
from fraud_assets.desk.app import create_app
from fraud_assets.desk.background import NO_WORK, BackgroundWork
from fraud_assets.desk.lake_view import LakeView
from fraud_assets.desk.options import DeskOptions
from fraud_assets.desk.people import Accounts, Role
from fraud_assets.desk.serving import Server
from fraud_assets.schemas.catalog import fixed_tables
from hive_io import EmbeddedWarehouse, Span, Warehouse
from hive_io.locations import open_warehouse
from tests.fraud_assets.cases.alerts import FIRST, alert
from tests.fraud_fixtures import fill, transaction

PASSWORD = "correct horse battery"
PEOPLE = {"lea": Role.LEAD, "ines": Role.INVESTIGATOR, "igor": Role.INVESTIGATOR, "vera": Role.VIEWER}
NOW = FIRST + dt.timedelta(days=1)
SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = f"Café {SCRIPT} \u202e"
"""A merchant's name with a script and a mark that turns the direction of text."""


class Movable:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = NOW
        self.clock = Clock(lambda: self.time)


class Person:
    """A person's browser: keeps cookies, takes the CSRF token and the version from the page that it read last."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.http = httpx.Client(base_url=url, headers=headers, follow_redirects=True, timeout=30)
        self.fields: dict[str, str] = {}

    def get(self, path: str, **params: str) -> httpx.Response:
        return self._read(self.http.get(path, params=params or None))

    def post(self, path: str, **form: str) -> httpx.Response:
        return self._read(self.http.post(path, data={**self.fields, **form}))

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        self.get("/sign-in")
        return self.post("/sign-in", name=name, password=password)

    def _read(self, answer: httpx.Response) -> httpx.Response:
        for name in ("csrf_token", "version"):
            if found := re.search(rf'name="{name}" value="([^"]*)"', answer.text):
                self.fields[name] = html.unescape(found[1])
        return answer


@dataclass
class Site:
    """What a test needs of a running desk."""

    url: str
    store: CaseStore
    accounts: Accounts
    time: Movable
    _open: list[Person] = field(default_factory=list)

    def stranger(self, headers: dict[str, str] | None = None) -> Person:
        """A browser in which nobody has signed in."""
        self._open.append(Person(self.url, headers))
        return self._open[-1]

    def person(self, name: str) -> Person:
        """The browser of a person who has signed in."""
        person = self.stranger()
        answer = person.sign_in(name)
        assert answer.status_code == 200 and "Sign out" in answer.text, answer.text
        return person

    def close(self) -> None:
        """Close all browsers."""
        for person in self._open:
            person.http.close()


def prepare(folder: Path) -> Path:
    """A database with the cases of two customers, `c1`, whose alerts are in the warehouse, and `c2`; and a file of users."""
    store = CaseStore.open(f"sqlite:///{folder / 'desk.sqlite'}")
    store.sync(
        [
            alert(1, score=0.9, severity="high", reasons=("250.00 EUR is far above the usual",)),
            alert(2, score=0.4),
            alert(3, "c2", score=0.7, severity="critical", merchant_id="m9"),
        ],
        NOW,
    )
    store.close()
    accounts = Accounts(folder / "users.json")
    for name, role in PEOPLE.items():
        accounts.put(name, role, PASSWORD)
    return folder


@contextmanager
def running(folder: Path, prepared: Path, lake: Path, work: BackgroundWork = NO_WORK, **options: Any) -> Iterator[Site]:
    """A desk with a copy of what `prepare` made."""
    for file in prepared.glob("[du]*"):
        shutil.copy(file, folder)
    store = CaseStore.open(f"sqlite:///{folder / 'desk.sqlite'}")
    accounts = Accounts(folder / "users.json")
    time = Movable()
    view = LakeView(partial(open_warehouse, str(lake), read_only=True), fixed_tables(), "the warehouse", seconds=20)
    try:
        app = create_app(store, accounts, view, options=DeskOptions(**options), clock=time.clock, work=work)
        with Server(app, "127.0.0.1", 0) as server:
            site = Site(server.url, store, accounts, time)
            yield site
            site.close()
    finally:
        view.close()
        store.close()


def fill_lake(folder: Path) -> Path:
    """The folder of an embedded warehouse with the rows of `fill_tables`."""
    lake = EmbeddedWarehouse(folder)
    fill_tables(lake)
    lake.close()
    return folder


def fill_tables(lake: Warehouse) -> None:
    """Thirty days of payments of `c1`, its two alerts, and other customers at the same merchant or device."""
    first = FIRST.replace(tzinfo=None)
    day = Span.days(first.date(), first.date())
    usual = [
        transaction(f"u{number}", amount="20.00", event_time=first - dt.timedelta(days=number), merchant_name="Corner shop")
        for number in range(1, 31)
    ]
    of_flagged = {
        "amount": "250.00",
        "merchant_name": HOSTILE,
        "merchant_city": "Lyon",
        "merchant_country": "FR",
        "merchant_latitude": 45.76,
        "merchant_longitude": 4.84,
        "device_id": "d1",
    }
    flagged = [transaction(f"t{number}", event_time=first + dt.timedelta(minutes=number), **of_flagged) for number in (1, 2)]
    shared = transaction("s1", "c7", event_time=first, device_id="d1")
    fill(lake, "transactions", [*usual, *flagged, shared], Span.days(first.date() - dt.timedelta(days=30), first.date()))
    customer = {"customer_id": "c1", "city": "Bern", "country": "CH", "latitude": 46.95, "longitude": 7.45}
    personal = {"name": "Zoë Example", "email": "zoe@example.org", "date_of_birth": "1980-01-02"}
    fill(lake, "customers", [{**customer, **personal}], day)
    amounts = {"amount_median": Decimal("20.00"), "amount_p95": Decimal("25.00")}
    fill(lake, "customer_amounts", [{"customer_id": "c1", "currency": "EUR", "transactions": 30, **amounts}], day)
    key = {"transaction_id": "t1", "customer_id": "c1", "event_time": first}
    contributions = '{"base": -200, "amount_to_median": 90, "high_value": 12}'
    score = {"score": 0.9, "points": -98, "card_version": "card-7", "contributions": contributions}
    fill(lake, "transaction_scores", [{**key, **score}], day)
    fill(lake, "transaction_features", [{**key, "amount_to_median": Decimal("12.50")}], day)
    hit = {"event_time": first, "score": 0.5, "rules": ["high_value"], "reasons": ["r"], "rule_versions": ["1"]}
    money = {"amount": Decimal("250.00"), "currency": "EUR", "merchant_id": "m1"}
    alerts = [("t1", "c1", "high"), ("t2", "c1", "medium"), ("t9", "c8", "high")]
    rows = [{"transaction_id": name, "customer_id": of, "severity": severity, **hit, **money} for name, of, severity in alerts]
    fill(lake, "fraud_alerts", rows, day)
    found = {"hits": 3, "matured": 3, "frauds": 1, "precision": 1 / 3, "caught": 1, "known": 2, "only_this": 1}
    fill(lake, "rule_quality", [{"rule": name, "status": "active", **found} for name in ("all alerts", "high_value")], day)
