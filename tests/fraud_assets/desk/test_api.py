"""The API over HTTP; each answer is checked against the OpenAPI document that the desk serves."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from fraud_assets.desk.people import Role
from tests.fraud_assets.cases.alerts import alert
from tests.fraud_assets.desk.conftest import RunningDesk
from tests.fraud_assets.desk.site import NOW, Site

FRAUD = {"decision": "fraud", "reason_code": "stolen_card"}

LATER = "2026-03-20T06:00:00Z"
CHANGES = {
    "snooze": {"until": LATER},
    "assign": {"to": "ines"},
    "comment": {"text": "Ticket 12: called back."},
    "reopen": {"why": "A new statement"},
}


class Program:
    """A program with a token."""

    def __init__(self, site: Site, role: Role) -> None:
        self.name = f"{role}-program"
        self._headers = {"Authorization": f"Bearer {site.accounts.add_token(self.name, role)}"}
        self._url = site.url
        self._document = httpx.get(f"{site.url}/api/openapi.json").json()

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self._checked("get", path, httpx.get(self._url + path, params=params, headers=self._headers))

    def post(self, path: str, body: Any) -> httpx.Response:
        return self._checked("post", path, httpx.post(self._url + path, json=body, headers=self._headers))

    def _checked(self, method: str, path: str, answer: httpx.Response) -> httpx.Response:
        steps = path.split("/")
        template = "/".join([*steps[:3], *(["{case_id}"] if len(steps) > 3 else []), *steps[4:]])
        described = self._document["paths"][template][method]["responses"][str(answer.status_code)]["content"]
        content = described[answer.headers["Content-Type"]]
        schema = {**content["schema"], "components": self._document["components"]}
        jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(answer.json())
        return answer


@pytest.fixture
def program(site: Site) -> Program:
    return Program(site, Role.INVESTIGATOR)


def test_the_document_is_openapi_and_names_every_route(site: Site) -> None:
    document = httpx.get(f"{site.url}/api/openapi.json").json()
    validate(document)
    assert set(document["paths"]) == {
        "/api/cases",
        "/api/cases/{case_id}",
        *(f"/api/cases/{{case_id}}/{change}" for change in ("decide", "undo", *CHANGES)),
    }
    assert {parameter["name"] for parameter in document["paths"]["/api/cases"]["get"]["parameters"]} >= {"status", "limit"}


def test_cases_are_listed_and_chosen(program: Program, site: Site) -> None:
    site.store.sync([alert(7, "c3", score=0.8)], NOW)
    listed = program.get("/api/cases").json()
    assert listed["total"] == 3 and [case["customer_id"] for case in listed["cases"]] == ["c1", "c3", "c2"]
    assert listed["cases"][0]["amounts"] == {"EUR": "200.20"} and listed["cases"][0]["opened_at"] == "2026-03-02T12:00:00Z"
    assert [case["customer_id"] for case in program.get("/api/cases", severity="critical").json()["cases"]] == ["c2"]
    page = program.get("/api/cases", limit=1, offset=1).json()
    assert page["total"] == 3 and [case["customer_id"] for case in page["cases"]] == ["c3"]


def test_a_case_has_its_alerts_and_history(program: Program) -> None:
    found = program.get("/api/cases/1").json()
    assert [each["transaction_id"] for each in found["alerts"]] == ["t1", "t2"]
    assert found["alerts"][0]["amount"] == "100.10"
    assert [each["kind"] for each in found["history"]] == ["opened", "merged"]


def test_a_decision_is_made_under_the_tokens_name_and_taken_back(program: Program, site: Site) -> None:
    version = program.get("/api/cases/1").json()["case"]["version"]
    body = {**FRAUD, "version": version, "note": "from the ticket", "exceptions": {"t2": "honest"}}
    decided = program.post("/api/cases/1/decide", body).json()
    assert (decided["decision"], decided["decided_by"]) == ("fraud", "api:investigator-program")
    assert [row.decision for row in site.store.decisions_since()] == ["fraud", "honest"]
    assert program.post("/api/cases/1/undo", {"version": decided["version"]}).json()["status"] == "open"


def test_a_stale_version_is_refused(program: Program, site: Site) -> None:
    version = program.get("/api/cases/1").json()["case"]["version"]
    site.store.comment("1", "mine", "igor", version, NOW)
    answer = program.post("/api/cases/1/decide", {**FRAUD, "version": version})
    assert answer.status_code == 409 and "igor commented" in answer.json()["detail"]
    assert site.store.case("1").status == "open"


def test_a_lead_snoozes_assigns_comments_and_reopens_under_the_tokens_name(site: Site) -> None:
    program = Program(site, Role.LEAD)
    version = program.get("/api/cases/1").json()["case"]["version"]
    for change in ("comment", "assign", "snooze"):
        case = program.post(f"/api/cases/1/{change}", {**CHANGES[change], "version": version}).json()
        version = case["version"]
    assert (case["assigned_to"], case["status"], case["snoozed_until"]) == ("ines", "snoozed", LATER)
    version = program.post("/api/cases/1/decide", {**FRAUD, "version": version}).json()["version"]
    assert program.post("/api/cases/1/reopen", {**CHANGES["reopen"], "version": version}).json()["status"] == "open"
    history = program.get("/api/cases/1").json()["history"]
    assert [each["kind"] for each in history[2:]] == ["commented", "assigned", "snoozed", "decided", "reopened"]
    assert {each["by"] for each in history[2:]} == {"api:lead-program"}
    assert history[2]["detail"] == CHANGES["comment"] and history[6]["detail"] == CHANGES["reopen"]


def test_an_investigators_token_takes_a_case_and_gives_it_to_no_one_else(program: Program, site: Site) -> None:
    version = site.store.case("1").version
    assert program.post("/api/cases/1/assign", {"to": "ines", "version": version}).status_code == 403
    assert site.store.case("1").assigned_to is None
    case = program.post("/api/cases/1/assign", {"to": "api:investigator-program", "version": version}).json()
    assert case["assigned_to"] == "api:investigator-program"
    assert program.post("/api/cases/1/assign", {"to": None, "version": case["version"]}).json()["assigned_to"] is None


def test_only_a_leads_token_reopens(program: Program, site: Site) -> None:
    decided = program.post("/api/cases/1/decide", {**FRAUD, "version": site.store.case("1").version}).json()
    assert program.post("/api/cases/1/reopen", {"why": "so", "version": decided["version"]}).status_code == 403
    assert site.store.case("1").status == "decided"


@pytest.mark.parametrize("change", CHANGES)
def test_a_viewer_or_a_stale_version_changes_nothing(change: str, site: Site) -> None:
    version = site.store.case("1").version
    assert Program(site, Role.VIEWER).post(f"/api/cases/1/{change}", {**CHANGES[change], "version": version}).status_code == 403
    site.store.comment("1", "mine", "igor", version, NOW)
    before = site.store.case("1"), site.store.history("1")
    answer = Program(site, Role.LEAD).post(f"/api/cases/1/{change}", {**CHANGES[change], "version": version})
    assert answer.status_code == 409 and "igor commented" in answer.json()["detail"]
    assert (site.store.case("1"), site.store.history("1")) == before


@pytest.mark.parametrize(
    ("change", "body", "said"),
    [
        ("snooze", {"until": "2026-03-20T06:00:00"}, "timezone"),
        ("snooze", {"until": "2026-03-01T00:00:00Z"}, "366 days"),
        ("snooze", {"until": "2027-03-20T06:00:00Z"}, "366 days"),
        ("assign", {}, "to"),
        ("assign", {"to": "nemo"}, "nemo"),
        ("comment", {"text": "x" * 4001}, "4000"),
        ("comment", {"text": " "}, "text"),
        ("comment", {"text": "hello", "by": "lea"}, "by"),
        ("reopen", {"why": ""}, "why"),
    ],
)
def test_a_change_that_is_not_valid_says_why(change: str, body: dict[str, Any], said: str, site: Site) -> None:
    before = site.store.case("1")
    answer = Program(site, Role.LEAD).post(f"/api/cases/1/{change}", {**body, "version": before.version})
    assert answer.status_code == 400 and said in answer.json()["detail"]
    assert site.store.case("1") == before


def test_what_the_status_does_not_allow_is_a_conflict(site: Site) -> None:
    program = Program(site, Role.LEAD)
    version = site.store.case("1").version
    for change, body in {"undo": {}, "reopen": CHANGES["reopen"]}.items():
        answer = program.post(f"/api/cases/1/{change}", {**body, "version": version})
        assert answer.status_code == 409 and "is open" in answer.json()["detail"]
    version = program.post("/api/cases/1/decide", {**FRAUD, "version": version}).json()["version"]
    for change, body in {"decide": FRAUD, "snooze": CHANGES["snooze"], "assign": CHANGES["assign"]}.items():
        answer = program.post(f"/api/cases/1/{change}", {**body, "version": version})
        assert answer.status_code == 409 and "decided as fraud by api:lead-program" in answer.json()["detail"]
    assert len(site.store.decisions_of("1")) == 2


def test_a_program_does_not_undo_what_a_person_decided(program: Program, site: Site) -> None:
    case = site.store.case("1")
    decided = site.store.decide("1", "fraud", "mule", None, "ines", case.version, NOW)  # type: ignore[arg-type]
    answer = program.post("/api/cases/1/undo", {"version": decided.version})
    assert answer.status_code == 403 and site.store.case("1").decision == "fraud"


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic aW5lczpjb3JyZWN0", "token"])
def test_no_answer_without_a_token(token: str, site: Site) -> None:
    for path in ("/api/cases", "/api/cases/1"):
        answer = httpx.get(site.url + path, headers={"Authorization": token} if token else {})
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/problem+json" and "c1" not in answer.text


def test_a_persons_session_is_no_token(site: Site) -> None:
    ines = site.person("ines")
    answer = ines.http.post("/api/cases/1/decide", json={**FRAUD, "version": site.store.case("1").version})
    assert answer.status_code == 401 and site.store.case("1").status == "open"


def test_a_token_that_was_removed_is_refused(site: Site) -> None:
    program = Program(site, Role.VIEWER)
    assert program.get("/api/cases").status_code == 200
    site.accounts.remove_token(program.name)
    assert program.get("/api/cases").status_code == 401


def test_a_viewers_token_decides_nothing(site: Site) -> None:
    program = Program(site, Role.VIEWER)
    version = program.get("/api/cases/1").json()["case"]["version"]
    assert program.post("/api/cases/1/decide", {**FRAUD, "version": version}).status_code == 403
    assert site.store.case("1").status == "open"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"version": 1},
        {**FRAUD, "version": "x"},
        {**FRAUD, "version": 0},
        {**FRAUD, "version": "now", "decision": "guilty"},
        {**FRAUD, "version": "now", "reason_code": "customer_confirms"},
        {**FRAUD, "version": "now", "note": "x" * 4001},
        {**FRAUD, "version": "now", "exceptions": {"t99": "honest"}},
        {**FRAUD, "version": "now", "by": "lea"},
    ],
)
def test_a_body_that_is_not_valid_changes_nothing(body: Any, program: Program, site: Site) -> None:
    before = site.store.case("1")
    if isinstance(body, dict) and body.get("version") == "now":
        body["version"] = before.version
    answer = program.post("/api/cases/1/decide", body)
    assert answer.status_code == 400 and answer.json()["detail"]
    assert site.store.case("1") == before


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 501}, {"status": "gone"}, {"min_score": 2}, {"severity": "x"}, {"page": 2}]
)
def test_a_filter_that_is_not_valid_is_refused(params: dict[str, Any], program: Program) -> None:
    answer = program.get("/api/cases", **params)
    assert answer.status_code == 400 and next(iter(params)) in answer.json()["detail"]


def test_what_is_not_there(program: Program, site: Site) -> None:
    assert program.get("/api/cases/99").status_code == 404
    answer = httpx.get(f"{site.url}/api/none")
    assert answer.status_code == 404 and answer.json()["status"] == 404


def test_links_lead_to_the_address_that_people_use(running_desk: RunningDesk) -> None:
    with running_desk(url="https://desk.example.org/") as site:
        program = Program(site, Role.VIEWER)
        assert program.get("/api/cases").json()["cases"][0]["link"] == "https://desk.example.org/cases/1"
