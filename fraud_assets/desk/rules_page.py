"""The page of rules' quality: the latest rows of `rule_quality`."""

from __future__ import annotations

import datetime as dt

from flask import Blueprint, current_app, render_template

from fraud_assets.desk.lake_view import NotRead, quality_of_rules
from fraud_assets.evaluation.daily_quality import WINDOW_DAYS

pages = Blueprint("rules_page", __name__)


@pages.get("/rules")
def show() -> str:
    """The page of rules' quality."""
    desk = current_app.extensions["fraud_desk"]
    rows, unread = [], None
    try:
        rows = quality_of_rules(desk.lake, desk.clock.now().date())
    except NotRead as error:
        unread = str(error)
    last = dt.date.fromisoformat(rows[0]["ds"]) if rows else None
    return render_template("rules.html", rows=rows, last=last, days=WINDOW_DAYS, unread=unread)
