"""Alerts for tests."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from fraud_assets.cases.model import Alert

FIRST = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def alert(number: int, customer: str = "c1", **given: Any) -> Alert:
    """An alert of transaction `t<number>`, `number` minutes after FIRST."""
    values: dict[str, Any] = {
        "transaction_id": f"t{number}",
        "customer_id": customer,
        "event_time": FIRST + dt.timedelta(minutes=number),
        "amount": Decimal("100.10"),
        "currency": "EUR",
        "merchant_id": "m1",
        "score": 0.5,
        "severity": "medium",
        "rules": ("high_value",),
        "reasons": ("100.10 EUR is above 100",),
        "rule_versions": ("abc",),
    }
    return Alert(**{**values, **given})
