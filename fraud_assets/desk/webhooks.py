"""Posts each step of a case to other systems, signed as standardwebhooks.com says.

The history of cases is the outbox: a mark for each address says which step it took last. So nothing is lost while the other
system is away, each step is posted at least once, in order, and its id lets the receiver leave out a repeated one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook

from fraud_assets.cases.model import Event
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import Clock
from fraud_assets.errors import FraudError, SettingsError

_AT_ONCE = 200
"""Steps of a round, at most; the next round goes on."""
_SECONDS = 10.0
"""Seconds for one post."""
_UNACCEPTABLE = frozenset({400, 413, 422})
"""Answers to a step that would be refused each time: it is logged and left out."""
_SHORTEST_KEY = 24
"""Bytes of the key, at least, as standardwebhooks.com asks for."""
_FREE_TEXT = frozenset({"note", "text", "why"})
"""What people wrote is not posted: it may hold personal data. The receiver can read it through the API."""

_log = logging.getLogger(__name__)


class NotPosted(FraudError):
    """The other system did not take a step."""


class Webhooks:
    """Posts to one address.

    Args:
        key: as `key_of` returns it.
        desk: address of the desk, for links; None for none.
    """

    def __init__(self, store: CaseStore, address: str, key: bytes, clock: Clock, desk: str | None = None) -> None:
        self._store = store
        self._address = address
        self._signer = Webhook(key)
        self._clock = clock
        self._desk = desk
        self._mark = f"webhook {hashlib.sha256(address.encode()).hexdigest()[:16]}"
        self.host = urlsplit(address).hostname or "?"

    def __call__(self) -> str:
        """Post the steps that the address lacks. A new address gets those from now on.

        Raises:
            NotPosted: the steps before the failure are marked, and the next round goes on with the one that failed.
        """
        mark = self._store.marks(self._mark).get(self._mark)
        if mark is None:
            mark = str(self._store.last_event())
            self._store.set_marks({self._mark: mark})
        posted = refused = 0
        with httpx.Client(timeout=_SECONDS, follow_redirects=False) as client:
            for event in self._store.events_since(int(mark), _AT_ONCE):
                if self._post(client, event):
                    posted += 1
                else:
                    refused += 1
                self._store.set_marks({self._mark: str(event.event_id)})
        return f"{posted:,} steps posted" + (f", {refused:,} refused and left out" if refused else "")

    def _post(self, client: httpx.Client, event: Event) -> bool:
        now = self._clock.now()
        name = f"step_{event.event_id}"
        body = json.dumps(self._body(event), default=str)
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(name, now, body),
        }
        try:
            answer = client.post(self._address, content=body, headers=headers)
        except httpx.HTTPError as error:
            # without the address: it may hold a token
            raise NotPosted(f"{self.host} does not answer ({type(error).__name__})") from None
        if answer.status_code in _UNACCEPTABLE:
            _log.error("%s refused step %s of case %s with %s", self.host, event.event_id, event.case_id, answer.status_code)
            return False
        if not answer.is_success:
            raise NotPosted(f"{self.host} answered {answer.status_code} to step {event.event_id}; expected 2xx")
        return True

    def _body(self, event: Event) -> dict[str, object]:
        case = self._store.case(event.case_id)
        return {
            "type": f"case.{event.kind}",
            "timestamp": event.at.isoformat().replace("+00:00", "Z"),
            "data": {
                "event_id": event.event_id,
                "by": event.by,
                "detail": {name: value for name, value in event.detail.items() if name not in _FREE_TEXT},
                "case": {
                    "case_id": case.case_id,
                    "customer_id": case.customer_id,
                    "status": case.status,
                    "severity": case.severity,
                    "score": case.score,
                    "decision": case.decision,
                    "version": case.version,
                    "link": f"{self._desk.rstrip('/')}/cases/{case.case_id}" if self._desk else None,
                },
            },
        }


def key_of(text: SecretStr | None) -> bytes:
    """The key in FRAUD_DESK_WEBHOOK_KEY.

    Raises:
        SettingsError: there is none, or it is not base64, or too short.
    """
    given = (text.get_secret_value() if text else "").removeprefix("whsec_")
    try:
        key = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST_KEY:
        raise SettingsError(
            f"FRAUD_DESK_WEBHOOK_KEY: expected base64 of at least {_SHORTEST_KEY} random bytes, which sign the posts to "
            "FRAUD_DESK_WEBHOOKS; make one with: openssl rand -base64 32"
        )
    return key


def addresses_of(text: SecretStr | None) -> Sequence[str]:
    """The addresses in FRAUD_DESK_WEBHOOKS.

    Raises:
        SettingsError: one is not an address of HTTP; it is not repeated, since it may hold a token.
    """
    addresses = text.get_secret_value().split() if text else []
    for number, address in enumerate(addresses, 1):
        try:
            parts = urlsplit(address)
            valid = parts.scheme in ("http", "https") and parts.hostname
        except ValueError:
            valid = False
        if not valid:
            raise SettingsError(f"FRAUD_DESK_WEBHOOKS: address {number} does not begin with http:// or https:// and a host")
    return addresses
