"""What is no act of the customer is no evidence: refunds, incoming and reversed money, declines of the processor."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import NOON, judge, profile, transaction

TECHNICAL = [
    "processor_error", "issuer_unavailable", "acquirer_unavailable", "network_error", "system_error", "timeout",
    "68", "91", "96",
]  # fmt: skip
Row = dict[str, Any]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


def after(seconds: float, transaction_id: str, customer_id: str, amount: str = "10.00", **more: Any) -> Row:
    return transaction(transaction_id, customer_id, amount, event_time=NOON + dt.timedelta(seconds=seconds), **more)


def series(customer: str, count: int, odd: Row, amount: str = "10.00", **more: Any) -> list[Row]:
    """Transactions of a customer, the second of which differs; the last one has the customer's name."""
    return [
        after(
            n * 60, customer if n == count - 1 else f"{customer} {n}", customer, amount, **{**more, **(odd if n == 1 else {})}
        )
        for n in range(count)
    ]


def test_velocity_counts_what_the_customer_did(engine: Engine, lake: EmbeddedWarehouse) -> None:
    odd: dict[str, Row] = {
        "refund": {"transaction_type": "refund"},
        "income": {"transaction_type": "transfer_in"},
        "reversed": {"status": "reversed"},
        "outage": {"status": "declined", "decline_reason": "issuer_unavailable"},
        "declined": {"status": "declined", "decline_reason": "insufficient_funds"},
        "declined, no reason": {"status": "declined"},
        "approved at last": {"decline_reason": "timeout"},
        "sent": {"transaction_type": "transfer_out"},
        "pending": {"status": "pending"},
    }
    result = judge(engine, lake, "velocity", transactions=[row for name, how in odd.items() for row in series(name, 6, how)])
    assert result.hits.keys() == {"declined", "declined, no reason", "approved at last", "sent", "pending"}
    assert result.transactions - result.judged == 4


@pytest.mark.parametrize("rule", ["velocity", "card_testing", "rapid_follow_up"])
def test_the_technical_reasons_are_a_closed_list(rule: str) -> None:
    text = (RULES_FOLDER / f"{rule}.sql").read_text(encoding="utf-8")
    assert ", ".join(f"'{reason}'" for reason in TECHNICAL) in text


def test_an_outage_of_the_processor_is_no_card_test(engine: Engine, lake: EmbeddedWarehouse) -> None:
    why = {
        **{reason: reason for reason in TECHNICAL},
        "as some write it": "  TimeOut ",
        "do_not_honor": "do_not_honor",
        "51": "51",
        "unknown": None,
        "empty": "",
        "in other words": "timeout of the session",
    }
    rows = [
        row
        for name, reason in why.items()
        for row in [
            *(after(n, f"{name} {n}", name, "99.00", status="declined", decline_reason=reason) for n in range(3)),
            after(60, name, name, "900.00"),
            # the small ones, too, are no tests
            *(after(7260 + n, f"{name} small {n}", name, "1.00", status="declined", decline_reason=reason) for n in range(3)),
            after(7300, f"{name}, small", name, "900.00"),
        ]
    ]
    result = judge(engine, lake, "card_testing", customer_profiles=[profile(name) for name in why], transactions=rows)
    honest = ["do_not_honor", "51", "unknown", "empty", "in other words"]
    assert result.hits.keys() == {*honest, *(f"{name}, small" for name in honest)}
    assert result.judged == result.transactions


def test_a_small_payment_that_is_voided_is_still_a_card_test(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [*(after(n, f"v{n}", "c1", "1.00", status="reversed") for n in range(3)), after(60, "large", "c1", "900.00")]
    assert judge(engine, lake, "card_testing", customer_profiles=[profile("c1")], transactions=rows).hits.keys() == {"large"}


def test_reversed_transfers_are_no_structuring(engine: Engine, lake: EmbeddedWarehouse) -> None:
    sent = {"amount": "9000.00", "transaction_type": "transfer_out"}
    rows = [row for name, how in BOTH_WAYS.items() for row in series(name, 3, how, **sent)]
    result = judge(engine, lake, "structuring", transactions=rows)
    assert result.hits.keys() == {"approved"}
    assert result.transactions - result.judged == 1


BOTH_WAYS: dict[str, Row] = {"approved": {}, "reversed": {"status": "reversed"}}


def test_reversed_transfers_pass_nothing_through(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [
        row
        for name, how in BOTH_WAYS.items()
        for row in [
            after(0, f"{name} in", name, "1000.00", transaction_type="transfer_in", **how),
            after(60, name, name, "1000.00", transaction_type="transfer_out"),
            after(0, f"{name} in too", f"{name} out", "1000.00", transaction_type="transfer_in"),
            after(60, f"{name} out", f"{name} out", "1000.00", transaction_type="transfer_out", **how),
        ]
    ]
    assert judge(engine, lake, "pass_through", transactions=rows).hits.keys() == {"approved", "approved out"}


def test_reversed_payments_are_no_spending_of_a_new_account(engine: Engine, lake: EmbeddedWarehouse) -> None:
    opened = [{"customer_id": name, "opened_at": NOON - dt.timedelta(days=1)} for name in BOTH_WAYS]
    rows = [row for name, how in BOTH_WAYS.items() for row in series(name, 3, how, "150.00")]
    assert judge(engine, lake, "new_account_activity", customers=opened, transactions=rows).hits.keys() == {"approved"}


def test_a_payment_tried_again_is_not_several(engine: Engine, lake: EmbeddedWarehouse) -> None:
    ways = {**BOTH_WAYS, "outage": {"status": "declined", "decline_reason": "91"}, "declined": {"status": "declined"}}
    rows = [row for name, how in ways.items() for row in series(name, 3, how, "900.00")]
    rows = [row for row in rows if not row["transaction_id"].endswith(" 0")]
    result = judge(engine, lake, "rapid_follow_up", customer_profiles=[profile(name) for name in ways], transactions=rows)
    assert result.hits.keys() == {"approved", "declined"}


@pytest.mark.parametrize("kind", ["refund", "transfer_in", "transfer_out"])
def test_a_refund_or_transfer_elsewhere_is_no_journey(kind: str, engine: Engine, lake: EmbeddedWarehouse) -> None:
    here = {"merchant_latitude": 48.2082, "merchant_longitude": 16.3738, "channel": "pos"}
    there = {"merchant_latitude": -33.8688, "merchant_longitude": 151.2093, "channel": "pos"}

    def travel(customer: str, **more: Any) -> list[Row]:
        return [
            after(0, f"{customer} before", customer, **here),
            after(1800, customer, customer, **there, **more),
            after(3600, f"{customer} after", customer, **here),
        ]

    rows = [*travel("journey"), *travel(kind, transaction_type=kind)]
    result = judge(engine, lake, "impossible_travel", transactions=rows)
    assert result.hits.keys() == {"journey", "journey after"}
    assert result.judged == 3


def test_a_refund_or_transfer_from_abroad_is_no_new_country(engine: Engine, lake: EmbeddedWarehouse) -> None:
    kinds = ("purchase", "withdrawal", "refund", "transfer_in", "transfer_out")
    result = judge(
        engine,
        lake,
        "suspicious_locations",
        customer_countries=[{"customer_id": "c1", "merchant_country": "AT", "transactions": 50}],
        merchant_profiles=[{"merchant_id": "m7", "place": "Riskville, FR", "transactions": 10, "reports": 9}],
        transactions=[
            *(transaction(kind, transaction_type=kind, merchant_city="Paris", merchant_country="FR") for kind in kinds),
            *(
                transaction(f"{kind} at risk", transaction_type=kind, merchant_city="Riskville", merchant_country="FR")
                for kind in kinds
            ),
        ],
    )
    at_risk = {"purchase at risk", "withdrawal at risk", "transfer_out at risk"}
    assert result.hits.keys() == {"purchase", "withdrawal", *at_risk}
    assert result.judged == 5


def test_a_refund_of_a_risky_merchant_is_no_risk(engine: Engine, lake: EmbeddedWarehouse) -> None:
    risky = {"merchant_id": "m1", "place": "Graz, AT", "transactions": 10, "reports": 9, "reports_7": 9, "reports_1": 1}
    rows = [transaction("bought"), transaction("refunded", transaction_type="refund")]
    result = judge(engine, lake, "risky_merchant", merchant_profiles=[risky], transactions=rows)
    assert (result.hits.keys(), result.judged) == ({"bought"}, 1)
