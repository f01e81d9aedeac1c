"""The queue, over HTTP."""

from __future__ import annotations

import re

from fraud_assets.desk.queue_page import PAGE
from tests.fraud_assets.cases.alerts import alert
from tests.fraud_assets.desk.site import NOW, Person, Site


def customers(person: Person, query: str = "") -> list[str]:
    """The customers that the queue lists, in order."""
    return re.findall(r"data-open>([^<]+)<", person.get(f"/?{query}").text)


def test_cases_stand_by_priority_with_counts(site: Site) -> None:
    ines = site.person("ines")
    assert customers(ines) == ["c1", "c2"]
    page = ines.get("/").text
    assert "<b>2</b> open" in page and "1 critical" in page and "1 high" in page and "2 cases" in page


def test_each_filter_chooses(site: Site) -> None:
    site.store.sync([alert(9, "c3", score=0.8, severity="low", rules=("velocity",))], NOW)
    ines = site.person("ines")
    assert customers(ines) == ["c1", "c3", "c2"]
    assert customers(ines, "severity=critical") == ["c2"]
    assert customers(ines, "rule=velocity") == ["c3"]
    assert customers(ines, "customer=c1") == ["c1"]
    assert customers(ines, "min_score=0.75") == ["c1", "c3"]
    assert customers(ines, "status=decided") == [] == customers(ines, "assigned=me")
    assert customers(ines, "text=far+above") == ["c1"]


def test_find_looks_through_all_cases(site: Site) -> None:
    ines = site.person("ines")
    assert customers(ines, "text=t3&status=any") == ["c2"]
    answer = ines.get("/find", text="c2")
    assert answer.url.path == "/" and answer.url.params["status"] == "any" and "data-open>c2<" in answer.text
    assert "No case fits" in ines.get("/find", text="nothing like it").text
    assert ines.get("/find", text=" ").url.path == "/"


def test_a_long_queue_has_pages_that_overlap_nowhere(site: Site) -> None:
    site.store.sync([alert(100 + number, f"k{number:03}", score=0.3) for number in range(PAGE + 5)], NOW)
    ines = site.person("ines")
    first, second = customers(ines), customers(ines, "page=2")
    assert (len(first), len(second)) == (PAGE, 7) and len({*first, *second}) == PAGE + 7
    assert customers(ines, "page=99") == second
    page = ines.get("/?page=2&severity=medium").text
    assert 'rel="prev"' in page and 'rel="next"' not in page and "severity=medium" in page
