"""Suppressions, over HTTP."""

from __future__ import annotations

import pytest

from tests.fraud_assets.cases.alerts import alert
from tests.fraud_assets.desk.site import NOW, SCRIPT, Person, Site
from tests.fraud_assets.desk.test_case_pages import text_of

GOOD = {"kind": "customer", "value": "c9", "severity": "medium", "below_score": "0.9"}
GOOD |= {"until": "2026-03-20", "why": "on holiday"}


def test_a_lead_suppresses_a_customer_sees_what_it_hid_and_lifts_it(site: Site) -> None:
    lea = site.person("lea")
    lea.get("/suppressions")
    said = text_of(lea.post("/suppressions", **GOOD).text)
    assert "Alerts of customer c9 open no case until 2026-03-20" in said
    site.store.sync([alert(50, "c9"), alert(51, "c9", severity="low"), alert(52, "c10", score=0.5)], NOW)
    assert site.store.cases_of_customer("c9") == [] and len(site.store.cases_of_customer("c10")) == 1
    said = text_of(lea.get("/suppressions").text)
    assert "customer c9 medium, score below 0.9 2026-03-20 00:00 lea, 2026-03-02 12:00 on holiday 2 Lift" in said
    (number,) = (each.number for each in site.store.suppressions())
    assert "1 cases opened, 1 alerts added" in text_of(lea.post(f"/suppressions/{number}/lift").text)
    assert len(site.store.cases_of_customer("c9")) == 1
    assert "lifted 2026-03-02 12:00 by lea" in text_of(lea.get("/suppressions").text)
    assert lea.post(f"/suppressions/{number}/lift").status_code == 400
    assert lea.post("/suppressions/99/lift").status_code == 404


@pytest.mark.parametrize("name", ["ines", "vera"])
def test_only_a_lead_suppresses_and_lifts(name: str, site: Site) -> None:
    made = site.store.suppress("customer", "c9", NOW.replace(day=20), "lea", "why", NOW)  # type: ignore[arg-type]
    person = site.person(name)
    page = person.get("/suppressions").text
    assert "c9" in page and "Suppress</button>" not in page and "Lift</button>" not in page
    assert person.post("/suppressions", **GOOD).status_code == 403
    assert person.post(f"/suppressions/{made.number}/lift").status_code == 403
    assert len(site.store.suppressions(NOW)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "card"},
        {"value": " "},
        {"value": "\x00"},
        {"severity": "grave"},
        {"below_score": "2"},
        {"below_score": "0"},
        {"below_score": "nan"},
        {"until": "soon"},
        {"until": "2026-03-01"},
        {"until": "2030-01-01"},
        {"why": ""},
        {"why": "x" * 4001},
    ],
)
def test_a_suppression_that_is_not_valid_is_refused_and_keeps_what_was_written(
    change: dict[str, str], shared_site: Site, shared_lead: Person
) -> None:
    shared_lead.get("/suppressions")
    answer = shared_lead.post("/suppressions", **{**GOOD, **change})
    assert answer.status_code == 400 and "Nothing was changed" in answer.text
    assert shared_site.store.suppressions() == []
    assert "why" in change or 'value="on holiday"' in answer.text


def test_what_is_written_stays_text(site: Site) -> None:
    lea = site.person("lea")
    lea.get("/suppressions")
    lea.post("/suppressions", **{**GOOD, "value": SCRIPT, "why": SCRIPT})
    for page in (lea.get("/suppressions").text, lea.get("/suppressions", value=SCRIPT, why=SCRIPT).text):
        assert SCRIPT not in page and "&lt;script&gt;" in page
