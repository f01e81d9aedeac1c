"""Who read a case, over HTTP: pages, files and programs are logged; a lead sees it."""

from __future__ import annotations

import httpx
import pytest

from fraud_assets.desk.people import Role
from tests.fraud_assets.desk.site import Person, Site
from tests.fraud_assets.desk.test_case_pages import text_of


def test_pages_files_and_programs_are_logged_once_a_day(site: Site) -> None:
    vera, lea = site.person("vera"), site.person("lea")
    for _ in range(2):
        vera.get("/cases/1")
    vera.get("/cases/1/evidence.json")
    vera.get("/")
    vera.get("/cases/99")
    token = site.accounts.add_token("tickets", Role.VIEWER)
    httpx.get(f"{site.url}/api/cases/2", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
    assert "Time Case Person As 2026-03-02 12:00 1 vera file 2026-03-02 12:00 1 vera page" in text_of(
        lea.get("/readings", by="vera").text
    )
    assert "2 api:tickets api" in text_of(lea.get("/readings", case="2").text)
    # the link on the page of a case leads there, and reading the log is no reading of a case
    page = lea.get("/cases/2")
    assert 'href="/readings?case=2"' in page.text
    assert text_of(lea.get("/readings").text).count("2026-03-02 12:00") == 4


@pytest.mark.parametrize("query", ["?case=9", "?case=x", "?by=%00", "?case=%27%3B--", "?by=" + "x" * 5000])
def test_what_no_one_read_has_no_rows(query: str, shared_lead: Person) -> None:
    answer = shared_lead.get(f"/readings{query}")
    assert answer.status_code == 200 and "None." in answer.text


@pytest.mark.parametrize("name", ["ines", "vera"])
def test_only_a_lead_sees_it(name: str, site: Site) -> None:
    person = site.person(name)
    assert person.get("/readings").status_code == 403 and "/readings" not in person.get("/cases/1").text
