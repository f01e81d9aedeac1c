"""Rules on single transactions: hits and reasons, near misses, and transactions that cannot be judged."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.normal_form import normal
from hive_io import EmbeddedWarehouse, Span
from tests.fraud_fixtures import DAY, SPAN, compute, fill, judge, profile, transaction

D = Decimal
YESTERDAY = (DAY - dt.timedelta(days=1)).isoformat()
NASTY = 'Zoë\'s "Bar" \\ Grill \n\r\t 漢字 😀 {amount} % \u2028 \x7f'
CONTROLS = "a\x01\x02b\x08c\x0cd\x1fe\x1b\x1bf"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(read_rule_book())


# --- high_value ---------------------------------------------------------------------------------------------------------


def test_high_value_is_over_the_threshold_of_its_currency(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "high_value",
        transactions=[
            transaction("under", amount="1999.99"),
            transaction("at", amount="2000.00"),
            transaction("over", amount="2000.01", customer_id="c7"),
            transaction("crowns", amount="2000.01", currency="SEK"),
            transaction("many crowns", amount="22000.01", currency="SEK"),
            transaction("unnamed at", amount="2000.00", currency=None),
            transaction("unnamed over", amount="2000.01", currency=None),
            transaction("no threshold", amount="999999999999.99", currency="XXX"),
            transaction("absurd", amount="999999999999.99", currency="JPY"),
            transaction("salary", amount="5000.00", transaction_type="transfer_in"),
            transaction("sent", amount="2000.01", transaction_type="transfer_out"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "over": "2000.01 EUR is over the threshold of 2000.00",
        "many crowns": "22000.01 SEK is over the threshold of 22000.00",
        "unnamed over": "2000.01 (currency not named) is over the threshold of 2000.00",
        "absurd": "999999999999.99 JPY is over the threshold of 320000.00",
        "sent": "2000.01 EUR is over the threshold of 2000.00",
    }
    assert (result.transactions, result.judged) == (11, 9)
    over = result.hits["over"]
    assert (over["customer_id"], over["severity"], over["weight"]) == ("c7", "medium", 0.3)
    assert over["evidence"] == '{"amount": 2000.01, "currency": "EUR", "threshold": 2000.00}'


# --- unusual_transaction ------------------------------------------------------------------------------------------------


def test_unusual_is_far_from_the_mean_and_farther_where_amounts_vary(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "unusual_transaction",
        customer_profiles=[
            profile("c1"),
            profile("at the spread", amount_deviation=D(75), amount_max=D(400)),
            profile("over the spread", amount_deviation=D("75.01"), amount_max=D(400)),
            profile("varied", amount_deviation=D(80), amount_max=D(500)),
            profile("used to more", amount_deviation=D(80), amount_max=D(2000)),
            profile("wide", amount_deviation=D(1000), amount_max=D(200)),
        ],
        transactions=[
            transaction("2.99 deviations", amount="174.75"),
            transaction("3 deviations", amount="175.00"),
            transaction("4.5 deviations", amount="212.50", transaction_type=None),
            transaction("6 deviations", amount="250.00"),
            transaction("9 deviations", amount="325.00"),
            transaction("alike", "at the spread", "325.00"),
            transaction("not alike", "over the spread", "325.03"),
            transaction("varied, 6.99 deviations", "varied", "659.20"),
            transaction("varied, 7 deviations", "varied", "660.00"),
            transaction("varied, 10.5 deviations", "varied", "940.00"),
            transaction("far, under maximum", "used to more", "1980.00"),
            transaction("far, at maximum", "used to more", "2000.00"),
            transaction("1.99 maximum", "wide", "398.00"),
            transaction("2 maximum", "wide", "400.00"),
        ],
    )
    # from 0.1 at 3 deviations, or 7, to 0.95 at twice as many
    assert {name: hit["weight"] for name, hit in result.hits.items()} == {
        "3 deviations": 0.1,
        "4.5 deviations": pytest.approx(0.525, abs=1e-15),
        "6 deviations": 0.95,
        "9 deviations": 0.95,
        "alike": 0.1,
        "varied, 7 deviations": 0.1,
        "varied, 10.5 deviations": pytest.approx(0.525, abs=1e-15),
        "2 maximum": 0.1,
    }
    assert result.hits["6 deviations"]["reason"] == (
        "250.00 EUR is 6.00 standard deviations above this customer's mean of 100.00, and 1.32 times the largest amount "
        "before, 190.00 (in 10 transactions)"
    )
    assert (result.transactions, result.judged) == (14, 14)
    assert {hit["severity"] for hit in result.hits.values()} == {"high"}
    assert result.hits["6 deviations"]["evidence"] == (
        '{"amount": 250.00, "currency": "EUR", "deviations_above": 6.00, "share_of_maximum": 1.32, "mean": 100.00, '
        '"maximum": 190.00, "history": 10, "at_least": ""}'
    )


def test_unusual_is_not_judged_without_enough_history_of_the_currency(engine: Engine, lake: EmbeddedWarehouse) -> None:
    huge = "9999.00"
    result = judge(
        engine,
        lake,
        "unusual_transaction",
        customer_profiles=[
            profile("short", transactions=9),
            profile("euro"),
            profile("unnamed", currency=None),
            profile("both"),
            profile("both", currency="JPY", amount_mean=D(9000), amount_deviation=D(900), amount_max=D(12000)),
        ],
        transactions=[
            transaction("short", "short", huge),
            transaction("stranger", "stranger", huge),
            transaction("other currency", "euro", huge, currency="JPY"),
            transaction("no currency", "euro", huge, currency=None),
            transaction("currency of unnamed", "unnamed", huge),
            transaction("money in", "euro", huge, transaction_type="transfer_in"),
            transaction("money back", "euro", huge, transaction_type="refund"),
            transaction("money sent", "euro", huge, transaction_type="transfer_out"),
            transaction("usual in yen", "both", huge, currency="JPY"),
            transaction("unusual in euro", "both", huge),
            transaction("unnamed", "unnamed", huge, currency=None),
        ],
    )
    assert set(result.hits) == {"unusual in euro", "unnamed"}
    assert (result.transactions, result.judged) == (11, 3)
    assert result.evidence("unnamed")["currency"] == "(currency not named)"
    assert result.evidence("unusual in euro")["mean"] == D(100)


def test_unusual_after_amounts_that_were_all_alike(engine: Engine, lake: EmbeddedWarehouse) -> None:
    alike = {"amount_mean": D(50), "amount_max": D(50), "transactions": 30}
    result = judge(
        engine,
        lake,
        "unusual_transaction",
        customer_profiles=[
            profile("alike", amount_deviation=D(0), **alike),
            profile("nearly", amount_deviation=D("0.01"), **alike),
            profile("nothing", amount_mean=D(0), amount_max=D(0), amount_deviation=D(0)),
        ],
        transactions=[
            transaction("far", "alike", "5000.00"),
            transaction("usual", "alike", "50.00"),
            # three deviations of a tenth of the mean
            transaction("at", "nearly", "65.00"),
            transaction("a little more", "nearly", "50.10"),
            transaction("under", "nearly", "64.95"),
            transaction("a cent", "nothing", "0.01"),
            transaction("two cents", "nothing", "0.02"),
            transaction("no amount", "nothing", "0.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "far": (
            "5000.00 EUR is 990.00 standard deviations (of 5.00, the least that is taken) above this customer's mean of "
            "50.00, and 100.00 times the largest amount before, 50.00 (in 30 transactions)"
        ),
        "at": (
            "65.00 EUR is 3.00 standard deviations (of 5.00, the least that is taken) above this customer's mean of 50.00, "
            "and 1.30 times the largest amount before, 50.00 (in 30 transactions)"
        ),
        "two cents": (
            "0.02 EUR is 2.00 standard deviations (of 0.01, the least that is taken) above this customer's mean of 0.00, and "
            "2.00 times the largest amount before, 0.00 (in 10 transactions)"
        ),
    }
    assert (result.transactions, result.judged) == (8, 8)


def test_a_profile_of_another_day_is_not_used(engine: Engine, lake: EmbeddedWarehouse) -> None:
    fill(lake, "customer_profiles", [{**profile("c1"), "ds": YESTERDAY}], span=Span.days(DAY - dt.timedelta(1), DAY))
    fill(lake, "transactions", [transaction("t", amount="9999.00")])
    compute(engine, lake, "unusual_transaction")
    [counted] = lake.query(engine.coverage("unusual_transaction", SPAN)).to_pylist()
    assert (counted["transactions"], counted["judged"], counted["hits"]) == (1, 0, 0)


# --- high_risk_activity -------------------------------------------------------------------------------------------------


def risk(customer_id: str) -> dict[str, Any]:
    return {"customer_id": customer_id, "credit_score": 480, "fraud_reports": 0, "reason": "Credit score 480 is under 500"}


def test_high_risk_customers_who_spend_far_more_than_their_mean(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "high_risk_activity",
        high_risk_customers=[risk("c1"), risk("new"), risk("unnamed")],
        customer_profiles=[profile("c1"), profile("calm"), profile("unnamed", currency=None)],
        transactions=[
            transaction("under", amount="399.99"),
            transaction("at", amount="400.00"),
            transaction("over", amount="400.01"),
            transaction("not at risk", "calm", "5000.00"),
            transaction("no profile", "new", "5000.00"),
            transaction("other currency", amount="5000.00", currency="USD"),
            transaction("no currency", amount="5000.00", currency=None),
            transaction("money in", amount="5000.00", transaction_type="transfer_in"),
            transaction("money back", amount="5000.00", transaction_type="refund"),
            transaction("no type", "unnamed", "400.01", currency=None, transaction_type=None),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "over": "Credit score 480 is under 500; 400.01 EUR is more than 4 times this customer's mean of 100.00",
        "no type": (
            "Credit score 480 is under 500; 400.01 (currency not named) is more than 4 times this customer's mean of 100.00"
        ),
    }
    assert (result.transactions, result.judged) == (10, 5)
    assert (result.hits["over"]["weight"], result.hits["over"]["severity"]) == (0.4, "high")
    assert result.evidence("over") == {
        "amount": D("400.01"),
        "currency": "EUR",
        "mean": D("100.00"),
        "risk": "Credit score 480 is under 500",
    }


# --- blacklisted_merchants ----------------------------------------------------------------------------------------------


def listed(merchant_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "merchant_id": merchant_id,
        "listed_because": "chargebacks",
        "listed_at": dt.datetime(2025, 12, 1, 23, 59),
        **changes,
    }


def test_a_merchant_on_the_blacklist_of_the_day(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "blacklisted_merchants",
        blacklist=[listed("bad"), listed("odd", listed_because=None, listed_at=None)],
        transactions=[
            transaction("a", merchant_id="bad"),
            transaction("b", merchant_id="odd"),
            transaction("c", merchant_id="BAD"),
            transaction("d", merchant_id="good"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "a": "Merchant bad was blacklisted on 2025-12-01: chargebacks",
        "b": "Merchant odd was blacklisted on unknown: unknown",
        "c": "Merchant BAD was blacklisted on 2025-12-01: chargebacks",
    }
    assert (result.transactions, result.judged) == (4, 4)
    assert result.hits["a"]["evidence"] == '{"merchant_id": "bad", "listed_on": "2025-12-01", "listed_because": "chargebacks"}'
    assert result.evidence("b") == {"merchant_id": "odd", "listed_on": None, "listed_because": None}
    assert (result.hits["a"]["weight"], result.hits["a"]["severity"]) == (0.8, "critical")


def test_without_a_blacklist_of_the_day_nothing_is_judged(engine: Engine, lake: EmbeddedWarehouse) -> None:
    assert judge(engine, lake, "blacklisted_merchants", transactions=[transaction("a")]).judged == 0
    fill(lake, "blacklist", [listed("m1", ds=YESTERDAY)], span=Span.days(DAY - dt.timedelta(1), DAY))
    compute(engine, lake, "blacklisted_merchants")
    [counted] = lake.query(engine.coverage("blacklisted_merchants", SPAN)).to_pylist()
    assert (counted["transactions"], counted["judged"], counted["hits"]) == (1, 0, 0)


def test_an_empty_blacklist_is_a_list(engine: Engine, lake: EmbeddedWarehouse) -> None:
    rows = [transaction("a"), transaction("b", merchant_id="m2")]
    loaded = {"rows_loaded": 0, "loaded_until": dt.datetime(2026, 1, 5)}
    result = judge(engine, lake, "blacklisted_merchants", transactions=rows, blacklist_loads=[loaded])
    assert (result.transactions, result.judged, len(result.hits)) == (2, 2, 0)
    fill(lake, "blacklist_loads", [{**loaded, "ds": YESTERDAY}], span=Span.days(DAY - dt.timedelta(1), DAY))
    [counted] = lake.query(engine.coverage("blacklisted_merchants", SPAN)).to_pylist()
    assert (counted["transactions"], counted["judged"]) == (2, 0), "the list of another day does not count"


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_merchant_is_listed_in_any_spelling(engine: Engine, lake: EmbeddedWarehouse, with_keys: bool) -> None:
    """Days that an earlier release loaded have no keys; there, only blanks at the ends and letter case are ignored."""

    def keyed(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "merchant_key": normal(row["merchant_id"])} if with_keys else row

    later, sooner = dt.datetime(2025, 12, 2), dt.datetime(2025, 12, 1)
    result = judge(
        engine,
        lake,
        "blacklisted_merchants",
        blacklist=[
            keyed(listed("M-0042 ", listed_at=later, listed_because="later")),
            keyed(listed("m-0042", listed_at=sooner, listed_because="sooner")),
            keyed(listed("Cafe\u0301")),
        ],
        transactions=[
            keyed(transaction("a", merchant_id="m-0042")),
            keyed(transaction("b", merchant_id=" M-0042")),
            keyed(transaction("c", merchant_id="CAFÉ")),
            keyed(transaction("d", merchant_id="m-00420")),
        ],
    )
    composed = {"c": "Merchant CAFÉ was blacklisted on 2025-12-01: chargebacks"} if with_keys else {}
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "a": "Merchant m-0042 was blacklisted on 2025-12-01: sooner",
        "b": "Merchant  M-0042 was blacklisted on 2025-12-01: sooner",
        **composed,
    }
    assert result.judged == 4
    assert result.evidence("b")["merchant_id"] == " M-0042", "evidence has the spelling of the source"


def test_any_text_is_valid_json_in_evidence(engine: Engine, lake: EmbeddedWarehouse) -> None:
    texts = {
        "nasty": NASTY,
        "controls": CONTROLS,
        "empty": "",
        "quotes": '""\\\\"\\',
        "lines": "\n\n\r\r\t\t",
        "nul": "a\x00b\x00",
    }
    result = judge(
        engine,
        lake,
        "blacklisted_merchants",
        blacklist=[listed(f"m{text}", listed_because=text) for text in texts.values()],
        transactions=[transaction(name, merchant_id=f"m{text}") for name, text in texts.items()],
    )
    plain = str.maketrans({chr(code): " " for code in range(32) if chr(code) not in "\n\r\t"})
    for name, text in texts.items():
        expected = text.translate(plain)
        assert result.evidence(name) == {
            "merchant_id": f"m{expected}",
            "listed_on": "2025-12-01",
            "listed_because": expected,
        }
        assert result.hits[name]["reason"] == f"Merchant m{text} was blacklisted on 2025-12-01: {text}"


# --- suspicious_locations -----------------------------------------------------------------------------------------------


def sold(merchant_id: str, place: str, transactions: int, reports: int) -> dict[str, Any]:
    return {"merchant_id": merchant_id, "place": place, "transactions": transactions, "reports": reports}


def paid_in(customer_id: str, country: str, transactions: int) -> dict[str, Any]:
    return {"customer_id": customer_id, "merchant_country": country, "transactions": transactions}


def at(transaction_id: str, city: str | None, country: str | None, customer_id: str = "new", **more: Any) -> dict[str, Any]:
    return transaction(transaction_id, customer_id, merchant_city=city, merchant_country=country, **more)


def test_a_place_is_risky_by_reports_and_their_share(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "suspicious_locations",
        merchant_profiles=[
            # a place sums up all merchants in it
            sold("a1", "Graz, AT", 30, 2),
            sold("a2", "Graz, AT", 10, 0),
            sold("b", "Linz, AT", 41, 2),
            sold("c", "Wels, AT", 5, 1),
            sold("d", "Bonn, DE", 2, 3),
            sold("e", "LI", 10, 5),
            sold("m9", "m9", 4, 4),
            sold("f", "Rome, IT", 100, 0),
        ],
        transactions=[
            at("at the share", "Graz", "AT"),
            at("under the share", "Linz", "AT"),
            at("one report", "Wels", "AT"),
            at("more reports than sales", "Bonn", "DE"),
            at("only a country", None, "LI"),
            at("no place", None, None, merchant_id="m9"),
            at("city without country", "Graz", None, merchant_id="m9"),
            at("no reports", "Rome", "IT"),
            at("unknown", "Paris", "FR"),
            at("unknown merchant", None, None, merchant_id="m0"),
        ],
    )
    assert {name: (hit["reason"], hit["weight"]) for name, hit in result.hits.items()} == {
        "at the share": (
            "2 fraud reports for 40 transactions at Graz, AT in 28 days: 0.0500 per transaction, 0.05 is risky",
            0.5 + 0.4 * 0.05,
        ),
        "more reports than sales": (
            "3 fraud reports for 2 transactions at Bonn, DE in 28 days: 1.5000 per transaction, 0.05 is risky",
            0.9,
        ),
        "only a country": ("5 fraud reports for 10 transactions at LI in 28 days: 0.5000 per transaction, 0.05 is risky", 0.7),
    }
    # a merchant without a country is not a place; the rule risky_merchant judges it
    assert (result.transactions, result.judged) == (10, 6)
    evidence = result.evidence("at the share")
    assert {name: evidence[name] for name in ("place", "country", "reports", "transactions", "history")} == {
        "place": "Graz, AT",
        "country": "AT",
        "reports": 2,
        "transactions": 40,
        "history": None,
    }
    assert {hit["severity"] for hit in result.hits.values()} == {"medium"}


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_place_is_risky_in_any_spelling(engine: Engine, lake: EmbeddedWarehouse, with_keys: bool) -> None:
    composed, decomposed = "São Paulo", "Sa\u0303o  paulo"
    merchants = [sold("a", f"{composed}, BR", 4, 1), sold("b", f"{decomposed}, BR", 6, 1), sold("c", "GRAZ , AT", 10, 2)]
    payments = [at("one", composed.upper(), "BR"), at("two", decomposed, "BR"), at("three", "Graz ", "AT")]
    if with_keys:
        for row in merchants:
            city, country = row["place"].split(",")
            row["place_key"] = f"{normal(city)}, {normal(country)}"
        for row in payments:
            row["place_key"] = f"{normal(row['merchant_city'])}, {normal(row['merchant_country'])}"
    result = judge(engine, lake, "suspicious_locations", merchant_profiles=merchants, transactions=payments)
    assert {name: result.evidence(name)["place"] for name in result.hits} == (
        {"one": f"{composed.upper()}, BR", "two": f"{decomposed}, BR", "three": "Graz , AT"}
        if with_keys
        else {"three": "Graz , AT"}
    )
    if with_keys:
        assert {result.evidence(name)["transactions"] for name in ("one", "two")} == {10}


def test_a_country_is_new_after_enough_payments_elsewhere(engine: Engine, lake: EmbeddedWarehouse) -> None:
    result = judge(
        engine,
        lake,
        "suspicious_locations",
        customer_countries=[
            paid_in("20", "AT", 15),
            paid_in("20", "DE", 5),
            paid_in("19", "AT", 19),
        ],
        transactions=[
            at("new", "Paris", "FR", "20"),
            at("home", "Graz", "AT", "20"),
            at("second home", "Ulm", "DE", "20"),
            at("short history", "Paris", "FR", "19"),
            at("no history", "Paris", "FR", "0"),
            at("no country", "Paris", None, "20"),
            at("from home", None, "FR", "20", channel="online"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "new": "First payment in FR after 20 transactions elsewhere in 90 days"
    }
    assert (result.transactions, result.judged) == (7, 4)
    assert result.hits["new"]["weight"] == 0.3
    evidence = result.evidence("new")
    assert (evidence["place"], evidence["country"], evidence["history"], evidence["reports"]) == ("Paris, FR", "FR", 20, None)


def test_a_place_that_is_risky_and_new_is_risky(engine: Engine, lake: EmbeddedWarehouse) -> None:
    city = 'L\'Aquila "bassa" \\ \n'
    result = judge(
        engine,
        lake,
        "suspicious_locations",
        merchant_profiles=[sold("a", f"{city}, IT", 10, 2)],
        customer_countries=[paid_in("20", "AT", 20)],
        transactions=[at("both", city, "IT", "20")],
    )
    [hit] = result.hits.values()
    assert hit["reason"] == (
        f"2 fraud reports for 10 transactions at {city}, IT in 28 days: 0.2000 per transaction, 0.05 is risky"
    )
    assert hit["weight"] == pytest.approx(0.58, abs=1e-15)
    assert result.evidence("both")["place"] == f"{city}, IT"


def test_the_largest_and_smallest_amounts_fail_no_rule(engine: Engine, lake: EmbeddedWarehouse) -> None:
    largest = "1000000000000.00"
    tiny = profile("tiny", amount_mean=D("0.01"), amount_deviation=D("0.01"), amount_max=D("0.01"))
    huge = profile("huge", amount_mean=D(largest), amount_deviation=D(largest), amount_max=D(largest))
    rows = [
        transaction(f"{amount} of {customer}", customer, amount)
        for amount in (largest, "0.00")
        for customer in ("tiny", "huge")
    ]
    found = judge(engine, lake, "unusual_transaction", customer_profiles=[tiny, huge], transactions=rows)
    assert found.hits.keys() == {f"{largest} of tiny"}
    assert found.evidence(f"{largest} of tiny")["share_of_maximum"] == D("100000000000000.00")
    tables = {"customer_profiles": [tiny, huge], "high_risk_customers": [risk("tiny"), risk("huge")], "transactions": rows}
    assert judge(engine, lake, "high_risk_activity", **tables).hits.keys() == {f"{largest} of tiny"}
    assert judge(engine, lake, "high_value", transactions=rows).hits.keys() == {f"{largest} of tiny", f"{largest} of huge"}
