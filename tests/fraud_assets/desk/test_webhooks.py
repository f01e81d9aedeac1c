"""Webhooks to a real receiver: signatures, order, failures, and what is not posted."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from fraud_assets.cases.model import Decision, ReasonCode
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import SYSTEM_CLOCK
from fraud_assets.desk.serving import Server
from fraud_assets.desk.webhooks import NotPosted, Webhooks, addresses_of, key_of
from fraud_assets.errors import SettingsError
from tests.fraud_assets.cases.alerts import alert

KEY = b"k" * 32


@dataclass
class Receiver:
    """Another system that takes webhooks, and answers with a status that a test sets."""

    url: str = ""
    status: int = 204
    taken: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    app, found = Flask("receiver"), Receiver()

    @app.post("/hook")
    def hook() -> Response:
        if found.status < 300:
            found.taken.append(Webhook(KEY).verify(request.get_data(), dict(request.headers)))
            found.ids.append(request.headers["webhook-id"])
        return Response(status=found.status)

    with Server(app, "127.0.0.1", 0) as server:
        found.url = f"{server.url}/hook?token=s3same"
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaseStore]:
    made = CaseStore.open(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    made.sync([alert(1, "before")], dt.datetime.now(dt.UTC))
    yield made
    made.close()


@pytest.fixture
def hooks(store: CaseStore, receiver: Receiver) -> Webhooks:
    made = Webhooks(store, receiver.url, KEY, SYSTEM_CLOCK, "https://desk.example.org/")
    assert made() == "0 steps posted"
    return made


def test_steps_are_posted_once_in_order_and_signed(store: CaseStore, receiver: Receiver, hooks: Webhooks) -> None:
    now = dt.datetime.now(dt.UTC)
    store.sync([alert(2), alert(3)], now)
    (case,) = store.cases_of_customer("c1")
    store.decide(case.case_id, Decision.FRAUD, ReasonCode.MULE, "calls herself Zoë", "ines", case.version, now)
    assert hooks() == "3 steps posted" and hooks() == "0 steps posted"
    assert [each["type"] for each in receiver.taken] == ["case.opened", "case.merged", "case.decided"]
    last = receiver.taken[-1]["data"]
    assert last["by"] == "ines" and last["detail"]["decision"] == "fraud" and last["case"]["status"] == "decided"
    assert last["case"]["link"] == f"https://desk.example.org/cases/{case.case_id}"
    assert "Zoë" not in json.dumps(receiver.taken, ensure_ascii=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"x" * 32).verify("{}", {"webhook-id": "1", "webhook-timestamp": f"{now:%s}", "webhook-signature": "v1,"})


def test_while_the_receiver_is_away_steps_wait(store: CaseStore, receiver: Receiver, hooks: Webhooks) -> None:
    store.sync([alert(2), alert(3)], dt.datetime.now(dt.UTC))
    receiver.status = 503
    for _ in range(2):
        with pytest.raises(NotPosted, match=r"127\.0\.0\.1 answered 503 to step 2"):
            hooks()
    receiver.status = 200
    # another process goes on where this one was
    again = Webhooks(store, receiver.url, KEY, SYSTEM_CLOCK)
    assert again() == "2 steps posted" and receiver.ids == ["step_2", "step_3"]


def test_a_step_that_is_refused_for_good_does_not_hold_up_the_others(
    store: CaseStore, receiver: Receiver, hooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    store.sync([alert(2)], dt.datetime.now(dt.UTC))
    receiver.status = 422
    assert hooks() == "0 steps posted, 1 refused and left out"
    receiver.status = 200
    store.sync([alert(3)], dt.datetime.now(dt.UTC))
    assert hooks() == "1 steps posted" and "refused step 2" in caplog.text


def test_a_receiver_that_is_not_there_is_named_without_its_token(store: CaseStore) -> None:
    hooks = Webhooks(store, "http://127.0.0.1:9/hook?token=s3same", KEY, SYSTEM_CLOCK)
    hooks()
    store.sync([alert(2)], dt.datetime.now(dt.UTC))
    with pytest.raises(NotPosted) as error:
        hooks()
    assert "127.0.0.1 does not answer" in str(error.value) and "s3same" not in str(error.value)


@pytest.mark.parametrize("key", [None, "", "short", "c2hvcnQ=", "not base64 at all, but long enough for a key"])
def test_a_key_that_signs_nothing_is_refused(key: str | None) -> None:
    with pytest.raises(SettingsError, match="FRAUD_DESK_WEBHOOK_KEY") as error:
        key_of(SecretStr(key) if key is not None else None)
    assert not key or key not in str(error.value)


def test_a_key_may_have_the_prefix_of_the_standard() -> None:
    text = base64.b64encode(KEY).decode()
    assert key_of(SecretStr(text)) == key_of(SecretStr(f"whsec_{text}")) == KEY


def test_addresses() -> None:
    assert addresses_of(None) == [] and addresses_of(SecretStr(" https://a/x  http://b ")) == ["https://a/x", "http://b"]
    for wrong in ("ftp://s3same", "s3same", "https://", "https://[s3same"):
        with pytest.raises(SettingsError, match="address 2") as error:
            addresses_of(SecretStr(f"https://a {wrong}"))
        assert "s3same" not in str(error.value)
