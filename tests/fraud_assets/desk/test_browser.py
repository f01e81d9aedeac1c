"""The desk in headless Chromium, as an investigator uses it: by keyboard, at two widths, and by the measure of axe."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.fraud_assets.cases.alerts import alert
from tests.fraud_assets.desk.site import NOW, PASSWORD, Site
from tests.fraud_assets.desk.test_case_pages import case_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
WIDTHS = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Page]:
    """A page on which ines has signed in. Nothing may be said in the browser's console."""
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=site.url)
    said: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    sign_in(opened, "ines")
    yield opened
    context.close()
    # the browser reports the status of a refused form and of a page that is not there
    assert [text for text in said if not re.search("status of 4(04|09)", text)] == []


def sign_in(page: Page, name: str) -> None:
    page.goto("/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()


def serious_faults(page: Page) -> list[str]:
    """What axe calls serious or critical, with the elements."""
    found: dict[str, Any] = Axe().run(page).response
    assert len(found["passes"]) > 5
    return [
        f"{each['id']}: {node['html'][:120]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_open_read_decide_and_undo_by_keyboard(page: Page, site: Site) -> None:
    first, second = case_of(site), case_of(site, "c2")
    page.keyboard.press("j")
    expect(page.locator("tr.here")).to_contain_text("c2")
    page.keyboard.press("k")
    expect(page.locator("tr.here")).to_contain_text("c1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/cases/{first}"))
    expect(page.get_by_text("The gravest is 100.10 EUR")).to_be_visible()
    expect(page.locator("svg.payments")).to_be_visible()
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Fraud f")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/cases/{second}"))
    expect(page.get_by_role("status")).to_contain_text(f"Case {first} is decided: fraud")
    assert (site.store.case(first).decision, site.store.case(first).decided_by) == ("fraud", "ines")
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile(f"/cases/{first}.*#undo"))
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="Undo u")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is open again")
    assert site.store.case(first).status == "open"
    page.keyboard.press("h")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/cases/{second}"))
    assert site.store.case(first).decision == "honest"


def test_snooze_by_keyboard(page: Page, site: Site) -> None:
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/*")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is snoozed until 2026-03-03")
    assert site.store.case(case_of(site)).status == "snoozed"


def test_find_a_customer_by_keyboard(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("c2")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-row]")).to_have_count(1)
    expect(page.locator("tr[data-row]")).to_contain_text("c2")


def test_letters_in_a_note_are_letters(page: Page, site: Site) -> None:
    page.keyboard.press("Enter")
    page.get_by_label("Note").fill("")
    page.get_by_label("Note").focus()
    page.keyboard.type("fhusjk?/")
    expect(page.get_by_label("Note")).to_have_value("fhusjk?/")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_text("to Honest")).to_be_visible()
    assert site.store.case(case_of(site)).status == "open"


def test_a_changed_case_says_so_and_keeps_the_note(page: Page, site: Site) -> None:
    case = site.store.case(case_of(site))
    page.keyboard.press("Enter")
    page.get_by_label("Note").fill("She denies it.")
    site.store.comment(case.case_id, "Calling her now", "igor", case.version, NOW)
    page.get_by_role("button", name="Fraud f").click()
    expect(page.get_by_role("alert")).to_contain_text("igor commented on it")
    expect(page.get_by_label("Note")).to_have_value("She denies it.")
    page.get_by_role("button", name="Fraud f").click()
    expect(page.get_by_role("status")).to_contain_text("is decided: fraud")
    assert site.store.case(case.case_id).note == "She denies it."


@pytest.mark.parametrize("path", ["/", "/cases/1", "/day", "/rules", "/suppressions", "/cases/none", "/?text=nothing"])
def test_axe_finds_no_serious_fault_and_no_page_is_wider_than_the_window(path: str, page: Page) -> None:
    page.goto(path)
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.title() != "owned"


def test_axe_finds_no_serious_fault_on_a_decided_case_and_the_sign_in_page(page: Page, site: Site) -> None:
    site.store.sync([alert(number, score=0.2) for number in range(10, 20)], NOW)
    page.goto("/cases/1")
    page.keyboard.press("f")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("decided")
    assert serious_faults(page) == []
    page.goto("/cases/1")
    assert serious_faults(page) == []
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert serious_faults(page) == []


def test_a_lead_finds_who_read_a_case(page: Page) -> None:
    page.goto("/cases/1")
    page.context.clear_cookies()
    sign_in(page, "lea")
    page.goto("/cases/1")
    page.get_by_role("link", name="Who read it").click()
    expect(page.get_by_role("row")).to_have_text([re.compile("Time"), re.compile("1.*page"), re.compile("1.*page")])
    page.get_by_label("Person").fill("ines")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("row")).to_have_count(2)
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_stored_script_does_not_run(page: Page) -> None:
    page.goto("/cases/1")
    expect(page.get_by_text("document.title='owned'").first).to_be_visible()
    assert page.title() == "Case 1 · Fraud desk"


def test_everything_works_without_javascript(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=site.url)
    page = context.new_page()
    sign_in(page, "lea")
    page.get_by_role("link", name="c1", exact=True).click()
    page.get_by_label("Reason for honest").select_option("usual_for_customer")
    page.get_by_label("Note").fill("Every March.")
    page.get_by_role("button", name="Honest h").click()
    expect(page.get_by_role("status")).to_contain_text("is decided: honest")
    case = site.store.case(case_of(site))
    assert (case.decision, case.reason_code, case.note) == ("honest", "usual_for_customer", "Every March.")
    page.get_by_role("link", name="Open it to undo u").click()
    page.get_by_role("button", name="Undo u").click()
    assert site.store.case(case.case_id).status == "open"
    page.get_by_label("Snooze for").select_option("7")
    page.get_by_role("button", name="Snooze s").click()
    assert site.store.case(case.case_id).status == "snoozed"
    context.close()
