"""Values as the pages show them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from fraud_assets.cases.model import Event, EventKind
from fraud_assets.desk.shown import ago, amount, amounts, percent, score, seen, step
from tests.fraud_assets.desk.site import NOW


def test_amounts_name_their_currency_and_are_never_added() -> None:
    assert amount(Decimal("1882.5"), "PLN") == "1,882.50 PLN"
    assert amount(Decimal("1"), None) == "1.00 (currency not named)"
    assert amounts({"USD": Decimal(2), "EUR": Decimal(1)}) == "1.00 EUR + 2.00 USD"


def test_a_score_is_never_shown_as_certain() -> None:
    assert [score(0.99999), score(0.5), score(0.0001)] == ["0.999", "0.500", "0.000"]
    assert [percent(None), percent(0.123)] == ["–", "12.3 %"]


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (dt.timedelta(seconds=59), "0 min"),
        (dt.timedelta(minutes=59), "59 min"),
        (dt.timedelta(hours=47), "47 h"),
        (dt.timedelta(days=2), "2 d"),
        (dt.timedelta(hours=-3), "in 3 h"),
    ],
)
def test_a_time_is_so_long_ago(duration: dt.timedelta, text: str) -> None:
    assert ago(NOW - duration, NOW) == text


def test_characters_without_a_shape_are_written_out() -> None:
    assert seen("a\u202eb\x00c\u2066") == "a\\u202eb\\u0000c\\u2066" and seen("Café 咖啡") == "Café 咖啡"


@pytest.mark.parametrize(
    ("kind", "detail", "text"),
    [
        (EventKind.MERGED, {"transaction_id": "t1", "score": 0.5, "severity": "high"}, "alert of t1, score 0.500, high"),
        (EventKind.SNOOZED, {"until": "2026-03-05T06:00:00Z", "before": {}}, "until 2026-03-05 06:00 UTC"),
        (EventKind.ASSIGNED, {"to": None, "before": "ines"}, "to nobody"),
        (EventKind.DECIDED, {"decision": "fraud", "reason_code": "stolen_card", "note": "n", "exceptions": {"t1": "honest"}},
         "fraud, stolen card; t1 honest; n"),
        (EventKind.UNDONE, {"what": "decided"}, "what was decided"),
        (EventKind.REOPENED, {"why": "new papers"}, "new papers"),
    ],
)  # fmt: skip
def test_a_step_is_told_in_a_few_words(kind: EventKind, detail: dict[str, object], text: str) -> None:
    assert step(Event(1, "1", NOW, "ines", kind, detail)) == text
