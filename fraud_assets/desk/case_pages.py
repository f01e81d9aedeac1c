"""A case: what is suspicious, what the customer usually does, and the forms that change it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, current_app, flash, g, redirect, render_template, request, session, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from fraud_assets.cases.changes import LONGEST_NOTE
from fraud_assets.cases.evidence import as_html
from fraud_assets.cases.model import REASON_CODES, Alert, Case, Decision, ReadAs, ReasonCode
from fraud_assets.desk.drawing import Map, Payments, Place, is_point, map_of, payments, places
from fraud_assets.desk.lake_view import CaseFacts, NotRead, gravest_first
from fraud_assets.desk.options import Desk
from fraud_assets.desk.people import Role
from fraud_assets.desk.queue_page import read_filter
from fraud_assets.desk.shown import sentence
from fraud_assets.desk.signing_in import check_assignment, check_undo, may, needs
from fraud_assets.errors import CaseChanged, CaseError, CaseNotFound, WrongStatus
from fraud_assets.explain.explain import Contribution, Points
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.schemas.sources import CUSTOMERS

SNOOZE_DAYS = (1, 3, 7, 14, 30)
"""Days for which a case can be snoozed; a date can be named instead."""
_PERSONAL = [column.name for column in CUSTOMERS.table.columns if column.personal]
_FEATURES = {column.name: column.description for column in TRANSACTION_FEATURES.columns}
_LATEST = 12
"""Transactions that the page lists; the drawing shows all that were read."""
_MOST_ALERTS = 100
"""Alerts that the page lists, the highest scores first."""
_MOST_STEPS = 200
"""Steps of the history that the page lists, the latest first."""

pages = Blueprint("cases", __name__)


@dataclass(frozen=True)
class Bar:
    """A contribution to the score.

    Attributes:
        share: width of its bar, 0 to 1 of the largest.
    """

    name: str
    meaning: str
    value: str
    points: int
    share: float


@dataclass(frozen=True)
class Story:
    """What the warehouse adds to a case, made ready for the page."""

    facts: CaseFacts
    payments: Sequence[Payments]
    places: Sequence[Place]
    map: Map | None
    bars: Sequence[Bar]
    points: Points | None
    customer: Mapping[str, Any]
    latest: Sequence[Mapping[str, Any]]
    by_id: Mapping[str, Mapping[str, Any]]


@pages.get("/cases/<case_id>")
def show(case_id: str) -> str:
    """The page of a case."""
    return _page(current_app.extensions["fraud_desk"].store.case(case_id))


@pages.get("/cases/<case_id>/evidence.<any(html, json):form>")
def export(case_id: str, form: str) -> Response:
    """The case as one file for an auditor."""
    desk = current_app.extensions["fraud_desk"]
    case = desk.store.case(case_id)
    try:
        found = desk.lake.evidence(desk.store, case, desk.clock.now())
    except NotRead as error:
        abort(503, str(error))
    desk.note_reading(case_id, ReadAs.FILE)
    text = as_html(found) if form == "html" else json.dumps(found, ensure_ascii=False, indent=2)
    answer = Response(text, content_type=f"{'text/html' if form == 'html' else 'application/json'}; charset=utf-8")
    # a file, never a page of this site: it has styles of its own, which no page may have
    answer.headers["Content-Disposition"] = f'attachment; filename="case-{case.case_id}.{form}"'
    return answer


@pages.get("/transactions/<path:transaction_id>")
def of_transaction(transaction_id: str) -> Response:
    """Go to the case of a transaction's alert: messages about alerts link here, before there is a case."""
    try:
        case = current_app.extensions["fraud_desk"].store.case_of_transaction(transaction_id)
    except CaseNotFound:
        abort(404, f"No case has an alert of {transaction_id[:80]} yet. The desk takes new alerts every 30 s: try again then")
    return redirect(url_for("cases.show", case_id=case.case_id))


@pages.post("/cases/<case_id>/decide")
@needs(Role.INVESTIGATOR)
def decide(case_id: str) -> Response | tuple[str, int]:
    """Decide a case, and go on to the next."""
    form = request.form
    try:
        decision = Decision(form.get("decision", ""))
        code = ReasonCode(form.get(f"reason_{decision}", ""))
    except ValueError:
        abort(400, "A decision is fraud, honest or undecided, each with one of its reasons. Nothing was changed")
    excepted = {}
    for name, value in form.items():
        if name.startswith("except:") and value:
            try:
                excepted[name.removeprefix("except:")] = Decision(value)
            except ValueError:
                abort(400, f"{value[:40]!r} is not a decision. Nothing was changed")
    following = _next(case_id)
    answer = _changed(
        case_id,
        lambda store, version, now: store.decide(case_id, decision, code, _text(form), g.person.name, version, now, excepted),
    )
    if answer is not None:
        return answer
    session["undo"] = case_id
    flash(f"Case {case_id} is decided: {decision}.", "done")
    if following is not None:
        return redirect(url_for("cases.show", case_id=following.case_id, **_chosen()))
    flash("That was the last case of this list.", "done")
    return redirect(url_for("queue.show", **_chosen()))


@pages.post("/cases/<case_id>/snooze")
@needs(Role.INVESTIGATOR)
def snooze(case_id: str) -> Response | tuple[str, int]:
    """Put a case aside until a time."""
    until = _until(request.form, current_app.extensions["fraud_desk"].clock.now())
    following = _next(case_id)
    answer = _changed(case_id, lambda store, version, now: store.snooze(case_id, until, g.person.name, version, now))
    if answer is not None:
        return answer
    session["undo"] = case_id
    flash(f"Case {case_id} is snoozed until {until:%Y-%m-%d %H:%M} UTC.", "done")
    if following is not None:
        return redirect(url_for("cases.show", case_id=following.case_id, **_chosen()))
    return redirect(url_for("queue.show", **_chosen()))


@pages.post("/cases/<case_id>/undo")
@needs(Role.INVESTIGATOR)
def undo(case_id: str) -> Response | tuple[str, int]:
    """Take back the last decision or snooze; another person's only as a lead."""
    check_undo(current_app.extensions["fraud_desk"].store.case(case_id))
    return _back(case_id, "is open again", lambda store, version, now: store.undo(case_id, g.person.name, version, now))


@pages.post("/cases/<case_id>/reopen")
@needs(Role.LEAD)
def reopen(case_id: str) -> Response | tuple[str, int]:
    """Open a decided case again."""
    why = _text(request.form)
    return _back(case_id, "is open again", lambda store, version, now: store.reopen(case_id, why, g.person.name, version, now))


@pages.post("/cases/<case_id>/assign")
@needs(Role.INVESTIGATOR)
def assign(case_id: str) -> Response | tuple[str, int]:
    """Assign a case to a person, or clear the assignment; only a lead assigns it to others."""
    to = request.form.get("to", "") or None
    check_assignment(to)
    said = f"is assigned to {to}" if to else "is assigned to nobody"
    return _back(case_id, said, lambda store, version, now: store.assign(case_id, to, g.person.name, version, now))


@pages.post("/cases/<case_id>/comment")
@needs(Role.INVESTIGATOR)
def comment(case_id: str) -> Response | tuple[str, int]:
    """Add a note to the history."""
    text = _text(request.form)
    return _back(
        case_id, "has a new note", lambda store, version, now: store.comment(case_id, text, g.person.name, version, now)
    )


def _back(case_id: str, said: str, change: Callable[[Any, int, dt.datetime], object]) -> Response | tuple[str, int]:
    answer = _changed(case_id, change)
    if answer is not None:
        return answer
    if session.get("undo") == case_id:
        session.pop("undo")
    flash(f"Case {case_id} {said}.", "done")
    return redirect(url_for("cases.show", case_id=case_id, **_chosen()))


def _changed(case_id: str, change: Callable[[Any, int, dt.datetime], object]) -> tuple[str, int] | None:
    """Change a case; the page to answer with if it was not possible, with what the person wrote."""
    desk = current_app.extensions["fraud_desk"]
    version = request.form.get("version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        abort(400, "The form lacks the version of the case. Open the case again. Nothing was changed")
    try:
        change(desk.store, int(version), desk.clock.now())
    except CaseChanged as error:
        return _page(desk.store.case(case_id), refusal=f"{error}. Your change was not made."), 409
    except CaseNotFound:
        raise
    except CaseError as error:
        code = 409 if isinstance(error, WrongStatus) else 400
        return _page(desk.store.case(case_id), refusal=f"{error}. Nothing was changed."), code
    desk.work.case_changed()
    return None


def _page(case: Case, refusal: str | None = None) -> str:
    desk: Desk = current_app.extensions["fraud_desk"]
    desk.note_reading(case.case_id, ReadAs.PAGE)
    alerts: list[Alert] = desk.store.alerts(case.case_id)
    story, unread = None, None
    if alerts:
        try:
            story = _story(desk.lake.facts(case.case_id, alerts), alerts)
        except NotRead as error:
            unread = str(error)
    wanted, chosen = read_filter(MultiDict(_chosen()))
    following = desk.store.next_case(case.case_id, wanted)
    if following is not None and story is not None and (next_alerts := desk.store.alerts(following.case_id)):
        desk.lake.prepare(following.case_id, next_alerts)
    return render_template(
        "case.html",
        case=case,
        alerts=gravest_first(alerts)[:_MOST_ALERTS],
        sentence=sentence(case, alerts),
        history=list(reversed(desk.store.history(case.case_id)))[:_MOST_STEPS],
        others=[other for other in desk.store.cases_of_customer(case.customer_id) if other.case_id != case.case_id],
        following=following,
        chosen=chosen,
        flagged={alert.transaction_id for alert in alerts},
        story=story,
        unread=unread,
        refusal=refusal,
        note=request.form.get("note", "")[: 2 * LONGEST_NOTE] if refusal else "",
        codes=REASON_CODES,
        decisions=list(Decision),
        snooze_days=SNOOZE_DAYS,
        longest_note=LONGEST_NOTE,
        people=[person.name for person in current_app.extensions["fraud_sign_in"].accounts.people],
        earliest=(desk.clock.now() + dt.timedelta(days=1)).date(),
    )


def _story(facts: CaseFacts, alerts: Sequence[Alert]) -> Story:
    flagged = {alert.transaction_id for alert in alerts}
    gravest = max(alerts, key=lambda alert: alert.score)
    home = None
    if facts.customer and is_point(facts.customer["latitude"], facts.customer["longitude"]):
        home = facts.customer["latitude"], facts.customer["longitude"]
    drawn = []
    for currency in sorted(
        {alert.currency or "" for alert in alerts}, key=lambda name: (name != (gravest.currency or ""), name)
    ):
        usual = facts.amounts.get(currency)
        drawing = payments(
            facts.transactions,
            currency,
            flagged,
            usual["amount_median"] if usual else None,
            usual["amount_p95"] if usual else None,
        )
        drawn += [drawing] if drawing else []
    points = facts.points.get(gravest.transaction_id)
    there = places(facts.transactions, flagged, home)
    return Story(
        facts,
        drawn,
        there,
        map_of(there, home),
        _bars(points) if points else [],
        points,
        _customer(facts.customer or {}),
        facts.transactions[:_LATEST],
        {row["transaction_id"]: row for row in facts.transactions if row["transaction_id"] in flagged},
    )


def _customer(row: Mapping[str, Any]) -> dict[str, Any]:
    """The customer's row, without personal data for who may not see it."""
    hidden = not may(Role.INVESTIGATOR)
    return {name: "hidden" if hidden and name in _PERSONAL and value is not None else value for name, value in row.items()}


def _bars(points: Points) -> list[Bar]:
    largest = max((abs(each.points) for each in points.contributions), default=1) or 1
    return [Bar(each.name, *_meaning(each), each.points, abs(each.points) / largest) for each in points.contributions]


def _meaning(each: Contribution) -> tuple[str, str]:
    """What a contribution stands for, and the feature's value."""
    if each.name == "base":
        return "where every transaction begins", ""
    described = _FEATURES.get(each.name.split(" ")[0])
    if described is None:
        return "rule", "hit"
    return described, "not known" if each.value is None else str(each.value)


def _chosen() -> dict[str, Any]:
    """The filter of the queue from which the person came, as address parameters."""
    return {name: value for name, value in request.args.items() if name in _FILTERS}


_FILTERS = ("status", "severity", "rule", "customer", "assigned", "min_score", "text")


def _next(case_id: str) -> Case | None:
    """The case that comes after this one in the queue from which the person came, read before this one leaves it."""
    wanted, _ = read_filter(MultiDict(_chosen()))
    following: Case | None = current_app.extensions["fraud_desk"].store.next_case(case_id, wanted)
    return following


def _text(form: Mapping[str, str]) -> str | None:
    """What the person wrote, with the line ends of a form as newlines; None if it is blank."""
    return form.get("note", "").replace("\r\n", "\n").strip() or None


def _until(form: Mapping[str, str], now: dt.datetime) -> dt.datetime:
    chosen = form.get("until_day") or ""
    if chosen:
        try:
            until = dt.datetime.combine(dt.date.fromisoformat(chosen), dt.time(6), dt.UTC)
        except ValueError:
            abort(400, f"{chosen[:40]!r} is not a date; use YYYY-MM-DD. Nothing was changed")
    else:
        days = form.get("days", "")
        if days not in {str(each) for each in SNOOZE_DAYS}:
            abort(400, f"A case is snoozed for {', '.join(map(str, SNOOZE_DAYS))} days, or until a date. Nothing was changed")
        until = now + dt.timedelta(days=int(days))
    return until
