"""The page of a day: what was opened and decided, what waits, and whether alerts and decisions arrive."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, abort, current_app, render_template, request

from fraud_assets.cases.model import Decision
from fraud_assets.desk.lake_view import NotRead, alerts_of_day
from fraud_assets.errors import FraudError

pages = Blueprint("day_page", __name__)


@pages.get("/day")
def show() -> str:
    """The page of today, or of the day that the address names."""
    desk = current_app.extensions["fraud_desk"]
    now = desk.clock.now()
    day = _day(request.args.get("day"), now.date())
    alerts, unread = None, None
    try:
        alerts = alerts_of_day(desk.lake, day)
    except NotRead as error:
        unread = str(error)
    return render_template(
        "day.html",
        day=day,
        today=now.date(),
        before=day - dt.timedelta(days=1),
        after=day + dt.timedelta(days=1),
        summary=desk.store.day(day, now if day == now.date() else None),
        alerts=alerts,
        unread=unread,
        decisions=list(Decision),
        work=desk.work,
    )


@pages.get("/health")
def health() -> tuple[dict[str, object], int]:
    """Whether the database answers and the background work succeeds, for a monitor: without a sign-in, and without details."""
    desk = current_app.extensions["fraud_desk"]
    failing = [state.name for state in desk.work.problems()]
    try:
        desk.store.marks("")
    except FraudError:
        failing.append("database")
    return {"status": "failing" if failing else "ok", "failing": failing}, 503 if failing else 200


def _day(text: str | None, today: dt.date) -> dt.date:
    if not text:
        return today
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        abort(400, f"{text[:40]!r} is not a date; use YYYY-MM-DD")
    if not dt.date(2000, 1, 1) <= day <= today:
        abort(400, f"{day} is not from 2000-01-01 to today, {today}")
    return day
