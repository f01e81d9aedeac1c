"""The page of a case, as an investigator uses it over HTTP."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from pathlib import Path

import pytest

from fraud_assets.cases.evidence import wrong_hashes
from fraud_assets.cases.model import Decision, EventKind, Status
from tests.fraud_assets.cases.alerts import alert
from tests.fraud_assets.desk.conftest import RunningDesk
from tests.fraud_assets.desk.site import NOW, Site

FRAUD = {"decision": "fraud", "reason_fraud": "customer_denies"}
HONEST = {"decision": "honest", "reason_honest": "usual_for_customer"}


def case_of(site: Site, customer: str = "c1") -> str:
    return site.store.cases_of_customer(customer)[0].case_id


def text_of(page: str) -> str:
    """What a person reads: without tags, white space collapsed."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page.partition("<main")[2])).split())


def test_a_case_says_what_is_suspicious_and_what_is_usual(site: Site) -> None:
    page = site.person("ines").get(f"/cases/{case_of(site)}").text
    said = text_of(page)
    assert "2 alerts on 1 Mar 2026, 200.20 EUR together" in said
    assert "The gravest is 100.10 EUR on 1 Mar 2026, 12:01 UTC: 250.00 EUR is far above the usual." in said
    assert "Half of the payments in EUR are below 20.00 EUR, 95 % below 25.00 EUR (30 in 90 days before)" in said
    assert "-98 points give a score of 0.900" in said and "Scorecard card-7" in said
    assert "Amount over the median of the customer's payments in 90 days. 12.50 +90" in said
    assert "Lyon, FR 2 2 240 km" in said and "Graz, AT 30" in said
    assert "c8 : 1 alert at the same merchant m1" in said and "c7 : same device d1" in said
    # thirty usual payments and two alerts are drawn
    assert page.count('<circle class="dot"') >= 30 and page.count('<path class="hit"') == 3


def test_a_decision_leads_to_the_next_case_and_can_be_undone_there(site: Site) -> None:
    ines, first, second = site.person("ines"), case_of(site), case_of(site, "c2")
    ines.get(f"/cases/{first}")
    answer = ines.post(f"/cases/{first}/decide", **FRAUD, note="She denies it.\r\nCard blocked.")
    assert answer.url.path == f"/cases/{second}" and f"Case {first} is decided: fraud" in answer.text
    case = site.store.case(first)
    assert (case.decision, case.reason_code, case.decided_by) == ("fraud", "customer_denies", "ines")
    assert case.note == "She denies it.\nCard blocked."
    assert re.search(rf'href="/cases/{first}[^"]*#undo" data-key="u"', answer.text)
    ines.get(f"/cases/{first}")
    answer = ines.post(f"/cases/{first}/undo")
    assert "is open again" in answer.text and site.store.case(first).status == "open"
    # the button to undo is not offered a second time
    assert "#undo" not in ines.get("/").text


def test_the_last_decision_leads_back_to_the_queue(site: Site) -> None:
    ines = site.person("ines")
    for customer in ("c1", "c2"):
        case = case_of(site, customer)
        ines.get(f"/cases/{case}")
        answer = ines.post(f"/cases/{case}/decide", **HONEST)
    assert answer.url.path == "/" and "last case of this list" in answer.text and "No case fits" in answer.text


def test_the_next_case_is_the_next_of_the_list_that_the_person_works_on(site: Site) -> None:
    site.store.sync([alert(7, "c3", score=0.8), alert(8, "c4", score=0.6, rules=("velocity",))], NOW)
    ines, case = site.person("ines"), case_of(site)
    ines.get(f"/cases/{case}?rule=velocity")
    answer = ines.post(f"/cases/{case}/decide?rule=velocity", **FRAUD)
    assert answer.url.path == f"/cases/{case_of(site, 'c4')}" and answer.url.params["rule"] == "velocity"


def test_one_alert_can_be_decided_otherwise(site: Site) -> None:
    ines, case = site.person("ines"), case_of(site)
    ines.get(f"/cases/{case}")
    ines.post(f"/cases/{case}/decide", **FRAUD, **{"except:t2": "honest", "except:t1": ""})
    assert {row.transaction_id: row.decision for row in site.store.decisions_since()} == {
        "t1": Decision.FRAUD,
        "t2": Decision.HONEST,
    }
    assert "fraud, customer denies; t2 honest" in text_of(ines.get(f"/cases/{case}").text)


@pytest.mark.parametrize(
    ("form", "until"),
    [
        ({"days": "3"}, NOW + dt.timedelta(days=3)),
        ({"days": "1", "until_day": "2026-03-20"}, dt.datetime(2026, 3, 20, 6, tzinfo=dt.UTC)),
    ],
)
def test_a_case_is_put_aside_and_taken_back(form: dict[str, str], until: dt.datetime, site: Site) -> None:
    ines, case = site.person("ines"), case_of(site)
    ines.get(f"/cases/{case}")
    answer = ines.post(f"/cases/{case}/snooze", **form)
    assert answer.url.path == f"/cases/{case_of(site, 'c2')}"
    assert site.store.case(case).snoozed_until == until and "1 case" in ines.get("/?status=snoozed").text
    ines.get(f"/cases/{case}")
    ines.post(f"/cases/{case}/undo")
    assert site.store.case(case).status is Status.OPEN


def test_two_people_who_decide_at_once_decide_once(site: Site) -> None:
    ines, igor, case = site.person("ines"), site.person("igor"), case_of(site)
    for person in (ines, igor):
        person.get(f"/cases/{case}")
    note = "He pays there every month"
    answers = [ines.post(f"/cases/{case}/decide", **FRAUD), igor.post(f"/cases/{case}/decide", **HONEST, note=note)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert "ines decided it as fraud" in answers[1].text and note in answers[1].text
    assert site.store.case(case).decision == "fraud"
    assert [event.kind for event in site.store.history(case)].count(EventKind.DECIDED) == 1


def test_a_form_and_a_session_outlive_a_restart_of_the_desk(running_desk: RunningDesk) -> None:
    with running_desk() as first:
        ines = first.person("ines")
        ines.get("/cases/1")
        cookies, fields = ines.http.cookies, ines.fields
    with running_desk() as again:
        ines = again.stranger()
        ines.http.cookies, ines.fields = cookies, fields
        assert ines.post("/cases/1/decide", **FRAUD).status_code == 200
        assert again.store.case("1").decided_by == "ines"


def test_a_decided_case_is_not_decided_again(site: Site) -> None:
    ines, igor = site.person("ines"), site.person("igor")
    ines.get("/cases/1")
    ines.post("/cases/1/decide", **FRAUD)
    # the page has other forms with the version of now
    igor.get("/cases/1")
    answer = igor.post("/cases/1/decide", **HONEST, note="He pays there")
    assert answer.status_code == 409 and "was decided as fraud by ines" in answer.text and "He pays there" in answer.text
    assert site.store.case("1").decided_by == "ines" and len(site.store.decisions_of("1")) == 2


def test_a_comment_stands_in_the_history(site: Site) -> None:
    ines, case = site.person("ines"), case_of(site)
    ines.get(f"/cases/{case}")
    assert "commented by ines: Called twice." in text_of(ines.post(f"/cases/{case}/comment", note="Called twice.").text)


def test_a_new_alert_of_a_decided_customer_leads_to_the_former_case(site: Site) -> None:
    ines, former = site.person("ines"), case_of(site)
    ines.get(f"/cases/{former}")
    ines.post(f"/cases/{former}/decide", **HONEST)
    site.store.sync([alert(20)], NOW)
    later = case_of(site)
    assert later != former and f"Case {former} : honest" in text_of(ines.get(f"/cases/{later}").text)


def test_without_a_warehouse_a_case_can_be_read_and_decided(running_desk: RunningDesk, tmp_path: Path) -> None:
    with running_desk(lake=tmp_path / "gone") as site:
        ines, case = site.person("ines"), case_of(site)
        page = ines.get(f"/cases/{case}")
        assert page.status_code == 200 and "The warehouse cannot be read" in page.text
        assert "250.00 EUR is far above the usual" in page.text
        assert ines.post(f"/cases/{case}/decide", **FRAUD).status_code == 200
        assert site.store.case(case).status == "decided"
        assert "The warehouse cannot be read" in ines.get("/day").text and "cannot be read" in ines.get("/rules").text


def test_a_link_in_a_message_leads_from_a_transaction_to_its_case(site: Site) -> None:
    ines = site.person("ines")
    assert ines.get("/transactions/t3").url.path == f"/cases/{case_of(site, 'c2')}"
    answer = ines.get("/transactions/t99")
    assert answer.status_code == 404 and "t99 yet" in answer.text


def test_a_case_with_very_many_alerts_is_read_and_decided(site: Site) -> None:
    site.store.sync([alert(number, "c5", score=0.5 + number / 10_000) for number in range(1000, 3500)], NOW)
    ines, case = site.person("ines"), case_of(site, "c5")
    page = ines.get(f"/cases/{case}").text
    assert len(page) < 300_000 and "2,400 more alerts have lower scores" in page and "t3499" in page and "t1000" not in page
    ines.post(f"/cases/{case}/decide", **FRAUD, **{"except:t3499": "honest"})
    decisions = [row.decision for row in site.store.decisions_since(limit=5000)]
    assert (decisions.count(Decision.FRAUD), decisions.count(Decision.HONEST)) == (2499, 1)


@pytest.mark.parametrize("form", ["html", "json"])
def test_a_case_is_a_file_for_an_auditor(form: str, site: Site) -> None:
    answer = site.person("vera").get(f"/cases/{case_of(site)}/evidence.{form}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="case-1.{form}"'
    text = answer.text if form == "json" else answer.text.partition('<script type="application/json"')[2].partition(">")[2]
    data = json.loads(text if form == "json" else text.partition("</script>")[0])
    assert data["case"]["customer_id"] == "c1" and [each["transaction_id"] for each in data["alerts"]] == ["t1", "t2"]
    assert wrong_hashes(data) == [] and "zoe@example.org" not in answer.text


def test_there_is_no_file_of_an_unknown_case_or_kind(site: Site) -> None:
    ines = site.person("ines")
    assert ines.get("/cases/99/evidence.html").status_code == 404 and ines.get("/cases/1/evidence.pdf").status_code == 404
