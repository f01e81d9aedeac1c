"""The page of a day, over HTTP."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from fraud_assets.clock import SYSTEM_CLOCK
from fraud_assets.desk.background import BackgroundWork, Task
from fraud_assets.errors import FraudError
from tests.fraud_assets.desk.conftest import RunningDesk
from tests.fraud_assets.desk.site import Site
from tests.fraud_assets.desk.test_background import until
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


def test_a_monitor_sees_whether_the_desk_works_and_nothing_else(running_desk: RunningDesk) -> None:
    def broken() -> str:
        raise FraudError("the warehouse is away")

    with running_desk() as site:
        answer = httpx.get(f"{site.url}/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "failing": []})
    task = Task("alerts to cases", broken, SYSTEM_CLOCK)
    with BackgroundWork([task]) as work, running_desk(work=work) as site:
        until(lambda: task.state.problem is not None)
        answer = httpx.get(f"{site.url}/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "failing", "failing": ["alerts to cases"]})
        page = site.person("vera").get("/").text
        assert "alerts to cases" in page and "the warehouse is away" in page
