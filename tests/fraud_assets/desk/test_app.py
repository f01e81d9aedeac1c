"""Who may do what, over HTTP: forged forms, other people's sessions, roles, hostile data, odd input."""

from __future__ import annotations

import ipaddress
import re

import httpx
import pytest

from fraud_assets.cases.model import Status
from fraud_assets.desk.app import MAX_FORM_BYTES
from tests.fraud_assets.desk.conftest import RunningDesk
from tests.fraud_assets.desk.site import PASSWORD, SCRIPT, Person, Site

FRAUD = {"decision": "fraud", "reason_fraud": "customer_denies"}


def case_of(site: Site, customer: str = "c1") -> str:
    return site.store.cases_of_customer(customer)[0].case_id


def status(site: Site, customer: str = "c1") -> Status:
    return site.store.cases_of_customer(customer)[0].status


# --- signing in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/cases/1", "/cases/1/evidence.json", "/day", "/readings", "/find?text=c1", "/no"])
def test_no_page_is_shown_to_a_stranger(path: str, shared_site: Site) -> None:
    answer = httpx.get(shared_site.url + path)
    assert answer.status_code in (302, 404) and "c1" not in answer.text.replace("text=c1", "").replace("text%3Dc1", "")


def test_a_stranger_who_posts_changes_nothing(site: Site) -> None:
    stranger = site.stranger()
    stranger.get("/sign-in")
    answer = stranger.post(f"/cases/{case_of(site)}/decide", **FRAUD, version="1")
    assert answer.status_code == 401 and "Nothing was changed" in answer.text and status(site) == "open"


def test_a_wrong_password_and_an_unknown_name_get_one_answer(site: Site) -> None:
    answers = [site.stranger().sign_in(name, "wrong password") for name in ("ines", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401]
    texts = [re.sub('value="[^"]*"', "", answer.text) for answer in answers]
    assert texts[0] == texts[1] and "do not fit" in texts[0]


def test_guessing_is_stopped_for_the_name(site: Site) -> None:
    guesser = site.stranger()
    codes = [guesser.sign_in("ines", f"guess number {number}").status_code for number in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert site.stranger().sign_in("ines").status_code == 429


def test_after_signing_in_only_a_page_of_the_desk_is_opened(site: Site) -> None:
    for elsewhere in ("https://example.org/", "//example.org", "/\\example.org", "javascript:alert(1)"):
        person = site.stranger()
        person.http.follow_redirects = False
        person.get("/sign-in", next=elsewhere)
        assert person.post("/sign-in", name="ines", password=PASSWORD, next=elsewhere).headers["Location"] == "/"
    person = site.stranger()
    person.http.follow_redirects = False
    person.get("/sign-in")
    assert (
        person.post("/sign-in", name="ines", password=PASSWORD, next="/day?day=2026-03-01").headers["Location"]
        == "/day?day=2026-03-01"
    )


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(site: Site) -> None:
    person = site.stranger()
    person.http.follow_redirects = False
    person.get("/sign-in")
    cookie = person.post("/sign-in", name="ines", password=PASSWORD).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Secure" not in cookie


def test_behind_https_the_cookie_is_sent_over_https_only(running_desk: RunningDesk) -> None:
    with running_desk(url="https://desk.example.org") as site:
        answer = httpx.get(f"{site.url}/sign-in", headers={"Host": "desk.example.org"})
        assert answer.status_code == 200 and "; Secure" in answer.headers["Set-Cookie"]


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_is_of_one_person_and_ends_with_a_sign_out_everywhere(site: Site) -> None:
    ines, copied = site.person("ines"), site.stranger()
    copied.http.cookies.update(ines.http.cookies)
    assert "ines" in copied.get("/").text
    ines.get("/")
    assert "Sign in" in ines.post("/sign-out").text
    assert "Sign in" in copied.get("/").text


def test_a_changed_cookie_is_no_session(site: Site) -> None:
    ines = site.person("ines")
    name, value = next(iter(ines.http.cookies.items()))
    payload, _, signature = value.partition(".")
    for forged in (f"{payload[:-2]}xx.{signature}", f"{payload}.{signature[:-3]}abc", "", "."):
        stranger = site.stranger()
        stranger.http.cookies.set(name, forged)
        assert "Sign in" in stranger.get("/").text


@pytest.mark.parametrize("how", ["password", "removed", "hours"])
def test_a_session_ends(how: str, site: Site) -> None:
    ines = site.person("ines")
    person = site.accounts.person("ines")
    assert person is not None
    if how == "password":
        site.accounts.put("ines", person.role, "another long password")
    elif how == "removed":
        site.accounts.remove("ines")
    else:
        site.time.time = site.time.time.replace(day=site.time.time.day + 1)
    assert "Sign in" in ines.get("/").text


def test_a_role_changes_at_once(site: Site) -> None:
    ines = site.person("ines")
    text = site.accounts.file.read_text()
    site.accounts.file.write_text(text.replace('"investigator"', '"viewer"'))
    answer = ines.get(f"/cases/{case_of(site)}")
    assert "ines · viewer" in answer.text and "An investigator decides them" in answer.text


# --- forged forms -----------------------------------------------------------------------------------------------------


def test_a_form_without_or_with_a_wrong_token_changes_nothing(site: Site) -> None:
    ines, igor = site.person("ines"), site.person("igor")
    case = case_of(site)
    path = f"/cases/{case}/decide"
    ines.get(f"/cases/{case}")
    for token in (None, "", "wrong", igor.fields["csrf_token"]):
        form = {**FRAUD, "version": ines.fields["version"], **({} if token is None else {"csrf_token": token})}
        answer = ines.http.post(path, data=form)
        assert answer.status_code == 400 and "Nothing was changed" in answer.text
    assert status(site) == "open"
    assert ines.post(path, **FRAUD).status_code == 200 and status(site) == "decided"


def test_every_form_that_posts_has_a_token(site: Site) -> None:
    lea = site.person("lea")
    case = case_of(site)
    pages = [lea.get("/").text, lea.get(f"/cases/{case}").text]
    lea.post(f"/cases/{case}/snooze", days="1")
    pages.append(lea.get(f"/cases/{case}").text)
    lea.post(f"/cases/{case}/decide", **FRAUD)
    pages += [lea.get(f"/cases/{case}").text, site.stranger().get("/sign-in").text]
    forms = [form for page in pages for form in re.findall(r'<form method="post".*?</form>', page, re.DOTALL)]
    assert len(forms) > 12 and all('name="csrf_token"' in form for form in forms)


# --- roles ------------------------------------------------------------------------------------------------------------

CHANGES = {
    "decide": FRAUD,
    "snooze": {"days": "1"},
    "undo": {},
    "assign": {"to": "vera"},
    "comment": {"note": "hello"},
    "reopen": {"note": "why"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_viewer_changes_nothing(change: str, site: Site) -> None:
    vera, case = site.person("vera"), case_of(site)
    before = site.store.history(case)
    page = vera.get(f"/cases/{case}").text
    assert f"/{change}" not in page and "An investigator decides them" in page
    answer = vera.post(f"/cases/{case}/{change}", **CHANGES[change], version="1")
    assert answer.status_code == 403 and "vera is viewer" in answer.text
    assert site.store.history(case) == before


def test_a_lead_reopens_and_undoes_what_others_decided_and_an_investigator_does_not(site: Site) -> None:
    ines, igor, lea, case = site.person("ines"), site.person("igor"), site.person("lea"), case_of(site)
    ines.get(f"/cases/{case}")
    ines.post(f"/cases/{case}/decide", **FRAUD)
    igor.get(f"/cases/{case}")
    for change in ("undo", "reopen"):
        assert igor.post(f"/cases/{case}/{change}", note="no").status_code == 403
    assert status(site) == "decided"
    lea.get(f"/cases/{case}")
    lea.post(f"/cases/{case}/reopen", note="new documents")
    assert status(site) == "open" and site.store.history(case)[-1].detail["why"] == "new documents"


def test_an_investigator_takes_a_case_and_a_lead_gives_it_to_others(site: Site) -> None:
    ines, lea, case = site.person("ines"), site.person("lea"), case_of(site)
    ines.get(f"/cases/{case}")
    assert ines.post(f"/cases/{case}/assign", to="igor").status_code == 403
    ines.post(f"/cases/{case}/assign", to="ines")
    assert site.store.case(case).assigned_to == "ines"
    assert "1 case" in ines.get("/", assigned="me").text
    lea.get(f"/cases/{case}")
    assert lea.post(f"/cases/{case}/assign", to="nobody-here").status_code == 400
    lea.post(f"/cases/{case}/assign", to="igor")
    assert site.store.case(case).assigned_to == "igor"


def test_personal_data_is_hidden_from_a_viewer(site: Site) -> None:
    page = f"/cases/{case_of(site)}"
    seen, hidden = site.person("ines").get(page).text, site.person("vera").get(page).text
    for value in ("Zoë Example", "zoe@example.org", "1980-01-02"):
        assert value in seen and value not in hidden
    assert hidden.count("hidden</dd>") == 3 and "Bern" in hidden


# --- hostile and odd input --------------------------------------------------------------------------------------------


def test_a_script_in_a_merchants_name_stays_text(site: Site) -> None:
    page = site.person("ines").get(f"/cases/{case_of(site)}").text
    assert SCRIPT not in page and "&lt;script&gt;" in page
    assert "\u202e" not in page and "\\u202e" in page


def test_what_a_person_writes_stays_text(site: Site) -> None:
    ines, case = site.person("ines"), case_of(site)
    ines.get(f"/cases/{case}")
    ines.post(f"/cases/{case}/comment", note=f'"><img src=x onerror=alert(1)>{SCRIPT}')
    for path in (f"/cases/{case}", f"/?text={SCRIPT}", f"/?rule=%22%3E{SCRIPT}", f"/sign-in?next={SCRIPT}"):
        page = ines.get(path).text
        assert SCRIPT not in page and "<img src=x" not in page


def test_no_page_allows_inline_scripts_or_styles(site: Site) -> None:
    ines = site.person("ines")
    for path in ("/", f"/cases/{case_of(site)}", "/day", "/rules", "/cases/none", "/static/desk.js"):
        answer = ines.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(r"<script(?! src=)|<style| style=| on[a-z]+=", answer.text) or path.endswith(".js")
        assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["X-Frame-Options"] == "DENY"
        assert path.endswith(".js") or answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("case", ["999", "0", "-1", "x", "1e3", "99999999999999999999", "%00", "١"])
def test_an_unknown_case(case: str, shared_lead: Person) -> None:
    answer = shared_lead.get(f"/cases/{case}")
    assert answer.status_code == 404 and "no case" in answer.text.lower()


def test_a_stale_version_says_who_did_what_and_keeps_the_note(site: Site) -> None:
    ines, igor, case = site.person("ines"), site.person("igor"), case_of(site)
    for person in (ines, igor):
        person.get(f"/cases/{case}")
    igor.post(f"/cases/{case}/comment", note="I am calling the customer")
    answer = ines.post(f"/cases/{case}/decide", **FRAUD, note="she denies it all")
    assert answer.status_code == 409 and "igor commented on it" in answer.text and "she denies it all" in answer.text
    assert status(site) == "open"
    assert ines.post(f"/cases/{case}/decide", **FRAUD).status_code == 200 and status(site) == "decided"


def test_a_huge_note_is_refused_and_kept_or_not_even_read(site: Site) -> None:
    ines, case = site.person("ines"), case_of(site)
    ines.get(f"/cases/{case}")
    answer = ines.post(f"/cases/{case}/decide", **FRAUD, note="long " * 1000)
    assert answer.status_code == 400 and "4000" in answer.text and "long long" in answer.text
    assert ines.post(f"/cases/{case}/decide", **FRAUD, note="x" * MAX_FORM_BYTES).status_code == 413
    assert status(site) == "open"
    assert ines.post(f"/cases/{case}/decide", **FRAUD, note="ß" * 4000).status_code == 200 and status(site) == "decided"


@pytest.mark.parametrize(
    ("change", "form"),
    [
        ("decide", {"decision": "guilty", "reason_guilty": "x"}),
        ("decide", {"decision": "fraud", "reason_fraud": "customer_confirms"}),
        ("decide", {**FRAUD, "except:t1": "maybe"}),
        ("decide", {**FRAUD, "except:t99": "honest"}),
        ("decide", {**FRAUD, "version": ""}),
        ("decide", {**FRAUD, "version": "-1"}),
        ("decide", {**FRAUD, "version": "1" * 30}),
        ("snooze", {}),
        ("snooze", {"days": "2"}),
        ("snooze", {"until_day": "yesterday"}),
        ("snooze", {"until_day": "2020-01-01"}),
        ("snooze", {"until_day": "9999-12-31"}),
        ("comment", {"note": "  "}),
        ("comment", {"note": "a\x00b"}),
        ("undo", {}),
    ],
)
def test_a_form_that_no_page_makes_changes_nothing(
    change: str, form: dict[str, str], shared_site: Site, shared_lead: Person
) -> None:
    case = case_of(shared_site)
    shared_lead.get(f"/cases/{case}")
    before = shared_site.store.history(case)
    answer = shared_lead.post(f"/cases/{case}/{change}", **form)
    # an open case has nothing to undo: its status is in the way, not the form
    assert answer.status_code == (409 if change == "undo" else 400) and "Nothing was changed" in answer.text
    assert shared_site.store.history(case) == before


@pytest.mark.parametrize(
    "query",
    [
        "page=0", "page=-1", "page=x", "page=99999999999", "status=gone", "severity=none", "min_score=nan", "min_score=2",
        "min_score=%00", "text=%25", "text=_", "text='%3BDROP",
        "text=" + "x" * 5000, "customer=%00", "rule=%22", "page=%D9%A1",
    ],
)  # fmt: skip
def test_an_odd_filter_is_answered(query: str, shared_lead: Person) -> None:
    answer = shared_lead.get(f"/?{query}")
    assert answer.status_code == 200 and "Queue" in answer.text


def test_another_host_name_is_refused(site: Site) -> None:
    """A site that lets its name point to loopback would otherwise read the desk in a browser on this machine."""
    for path in ("/sign-in", "/", "/static/desk.js", "/no-such-page"):
        answer = httpx.get(site.url + path, headers={"Host": "evil.example.org"})
        assert answer.status_code == 400 and "FRAUD_DESK_URL" in answer.text


# --- a proxy that signs people in -------------------------------------------------------------------------------------


def test_a_proxy_names_the_user(running_desk: RunningDesk) -> None:
    proxies = [ipaddress.ip_network("127.0.0.1")]
    with running_desk(user_header="X-Forwarded-User", proxies=proxies) as site:
        ines = site.stranger({"X-Forwarded-User": "ines"})
        case = case_of(site)
        assert "ines · investigator" in ines.get(f"/cases/{case}").text
        ines.post(f"/cases/{case}/decide", **FRAUD)
        assert site.store.case(case).decided_by == "ines"
        for headers, why in (
            ({}, "0 headers"),
            ({"X-Forwarded-User": ""}, "0 headers"),
            ({"X-Forwarded-User": "mallory"}, "mallory is not a user"),
        ):
            answer = httpx.get(site.url, headers=headers)
            assert answer.status_code == 403 and (why in answer.text or "headers X-Forwarded-User" in answer.text)
        doubled = httpx.get(site.url, headers=[("X-Forwarded-User", "vera"), ("X-Forwarded-User", "lea")])
        assert doubled.status_code == 403


def test_a_user_header_from_a_stranger_is_not_believed(running_desk: RunningDesk) -> None:
    proxies = [ipaddress.ip_network("10.1.2.3")]
    with running_desk(user_header="X-Forwarded-User", proxies=proxies) as site:
        headers = {"X-Forwarded-User": "lea", "X-Forwarded-For": "10.1.2.3", "X-Real-IP": "10.1.2.3"}
        answer = httpx.get(site.url, headers=headers)
        assert answer.status_code == 403 and "127.0.0.1 is not the proxy" in answer.text


def test_without_the_setting_a_user_header_means_nothing(site: Site) -> None:
    assert "Sign in" in site.stranger({"X-Forwarded-User": "lea"}).get("/").text


def test_a_change_of_the_proxys_user_ends_the_former_users_form(running_desk: RunningDesk) -> None:
    proxies = [ipaddress.ip_network("127.0.0.0/8")]
    with running_desk(user_header="X-Forwarded-User", proxies=proxies) as site:
        browser, case = site.stranger({"X-Forwarded-User": "ines"}), case_of(site)
        browser.get(f"/cases/{case}")
        browser.http.headers["X-Forwarded-User"] = "igor"
        assert browser.post(f"/cases/{case}/decide", **FRAUD).status_code == 400 and status(site) == "open"
