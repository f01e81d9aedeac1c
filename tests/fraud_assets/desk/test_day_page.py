"""The page of a day, over HTTP."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.fraud_assets.desk.site import Site
from tests.fraud_assets.desk.test_case_pages import FRAUD, HONEST, case_of, text_of


def test_a_day_sums_up_what_was_decided_and_what_waits(site: Site) -> None:
    ines = site.person("ines")
    for customer, form in (("c1", FRAUD), ("c2", HONEST)):
        case = case_of(site, customer)
        ines.get(f"/cases/{case}")
        ines.post(f"/cases/{case}/decide", **form)
    site.time.time += dt.timedelta(minutes=1)
    said = text_of(ines.get("/day").text)
    assert "2 Mar 2026 today" in said and "Cases opened 2 Decided 2" in said
    assert "1 fraud, 1 honest" in said and "Precision of decided 50.0 %" in said and "Waiting 0" in said
    assert "ines 1 1 0" in said


def test_a_former_day_shows_its_alerts(site: Site) -> None:
    said = text_of(site.person("vera").get("/day?day=2026-03-01").text)
    assert "1 Mar 2026" in said and "today" not in said
    assert "Alerts 3 2 high, 1 medium" in said and "Waiting 0" in said


@pytest.mark.parametrize("day", ["2026-02-30", "tomorrow", "2026-03-03", "1066-10-14"])
def test_a_day_that_is_none(day: str, site: Site) -> None:
    answer = site.person("ines").get(f"/day?day={day}")
    assert answer.status_code == 400 and day in answer.text
