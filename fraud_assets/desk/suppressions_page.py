"""Suppressions: what opens no case for a time, by whom, why, and how much it hid."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, abort, current_app, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from fraud_assets.cases.changes import LONGEST_NOTE
from fraud_assets.cases.model import SuppressionKind
from fraud_assets.cases.store import LONGEST_SUPPRESSION
from fraud_assets.desk.people import Role
from fraud_assets.desk.queue_page import LONGEST_TEXT, read_share
from fraud_assets.desk.signing_in import needs
from fraud_assets.detection.rule import SEVERITIES
from fraud_assets.errors import CaseError, CaseNotFound

pages = Blueprint("suppressions", __name__, url_prefix="/suppressions")


@pages.get("")
def show() -> str:
    """The list, and the form for a new one, which may be filled in by the address."""
    return _page()


@pages.post("")
@needs(Role.LEAD)
def add() -> Response | tuple[str, int]:
    """Add a suppression."""
    desk, form = current_app.extensions["fraud_desk"], request.form
    below = read_share(form.get("below_score", ""))
    try:
        kind = SuppressionKind(form.get("kind", ""))
        until = dt.datetime.combine(dt.date.fromisoformat(form.get("until", "")), dt.time(), dt.UTC)
    except ValueError:
        return _page("Choose customer, rule or merchant, and a day, YYYY-MM-DD, on which it ends. Nothing was changed."), 400
    if below is None:
        return _page("The score is a number from 0 to 1. Nothing was changed."), 400
    value, why = form.get("value", "")[:LONGEST_TEXT].replace("\x00", ""), form.get("why", "")
    try:
        made = desk.store.suppress(kind, value, until, g.person.name, why, desk.clock.now(), form.get("severity", ""), below)
    except CaseError as error:
        return _page(f"{error}. Nothing was changed."), 400
    flash(f"Alerts of {made.kind} {made.value} open no case until {made.until:%Y-%m-%d}.", "done")
    return redirect(url_for("suppressions.show"))


@pages.post("/<int:number>/lift")
@needs(Role.LEAD)
def lift(number: int) -> Response | tuple[str, int]:
    """End a suppression; the alerts that it hid become cases."""
    desk = current_app.extensions["fraud_desk"]
    try:
        done = desk.store.lift(number, g.person.name, desk.clock.now())
    except CaseNotFound as error:
        abort(404, str(error))
    except CaseError as error:
        return _page(f"{error}. Nothing was changed."), 400
    flash(f"Suppression {number} is lifted: {done.opened} cases opened, {done.raised + done.merged} alerts added.", "done")
    desk.work.case_changed()
    return redirect(url_for("suppressions.show"))


def _page(refusal: str | None = None) -> str:
    desk = current_app.extensions["fraud_desk"]
    now = desk.clock.now()
    found = desk.store.suppressions()
    given = request.form if request.method == "POST" else request.args
    return render_template(
        "suppressions.html",
        active=[each for each in found if each.is_active(now)],
        ended=[each for each in found if not each.is_active(now)][:_ENDED],
        refusal=refusal,
        given={name: given.get(name, "")[:LONGEST_NOTE] for name in _FIELDS},
        kinds=list(SuppressionKind),
        severities=SEVERITIES,
        earliest=(now + dt.timedelta(days=1)).date(),
        latest=(now + LONGEST_SUPPRESSION).date(),
        longest_note=LONGEST_NOTE,
    )


_FIELDS = ("kind", "value", "until", "why", "severity", "below_score")
_ENDED = 100
"""Ended suppressions that are listed, the latest first."""
