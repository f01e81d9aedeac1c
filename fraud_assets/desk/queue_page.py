"""The queue: cases by priority, with filters and counts."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, current_app, g, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from fraud_assets.cases.model import QueueFilter, Status
from fraud_assets.detection.rule import SEVERITIES

PAGE = 50
"""Cases on a page."""
LONGEST_TEXT = 200
"""Characters of a filter's text."""
_MOST_PAGES = 2000
"""Pages that can be turned to; beyond, a filter finds sooner."""

pages = Blueprint("queue", __name__)


@pages.get("/")
def show() -> str:
    """The queue."""
    store = current_app.extensions["fraud_desk"].store
    wanted, chosen = read_filter(request.args)
    page = _page(request.args.get("page", "1"))
    total = store.count(wanted)
    last = max(1, -(-total // PAGE))
    page = min(page, last)
    cases = store.queue(wanted, limit=PAGE, offset=(page - 1) * PAGE)
    return render_template(
        "queue.html",
        cases=cases,
        total=total,
        counts=store.counts(),
        chosen=chosen,
        page=page,
        last=last,
        severities=list(reversed(SEVERITIES)),
        statuses=list(Status),
    )


@pages.get("/find")
def find() -> Response:
    """Go to a case by its number, or list the cases in which a text stands."""
    text = request.args.get("text", "").strip()[:LONGEST_TEXT]
    return redirect(url_for("queue.show", text=text, status="any") if text else url_for("queue.show"))


def read_filter(given: MultiDict[str, str]) -> tuple[QueueFilter, dict[str, str]]:
    """The filter that an address names, and the same as address parameters. What is not valid is left out."""
    chosen: dict[str, str] = {}
    status = given.get("status", "open")
    chosen["status"] = status if status in {*Status, "any"} else "open"
    if given.get("severity") in SEVERITIES:
        chosen["severity"] = given["severity"]
    for name in ("rule", "customer", "assigned", "text"):
        if text := given.get(name, "").replace("\x00", "").strip()[:LONGEST_TEXT]:
            chosen[name] = text
    least = read_share(given.get("min_score", ""))
    if least is not None:
        chosen["min_score"] = f"{least:g}"
    return _filter(chosen, least), chosen


def _filter(chosen: Mapping[str, str], least: float | None) -> QueueFilter:
    assigned = chosen.get("assigned")
    return QueueFilter(
        status=None if chosen["status"] == "any" else Status(chosen["status"]),
        severity=chosen.get("severity"),
        rule=chosen.get("rule"),
        customer_id=chosen.get("customer"),
        assigned_to=g.person.name if assigned == "me" else assigned,
        min_score=least,
        text=chosen.get("text"),
    )


def read_share(text: str) -> float | None:
    """A number from 0 to 1; None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _page(text: str) -> int:
    return min(max(1, int(text)), _MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 8 else 1
