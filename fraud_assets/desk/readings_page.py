"""Who read which case, for leads."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template, request

from fraud_assets.desk.options import Desk
from fraud_assets.desk.people import Role
from fraud_assets.desk.queue_page import LONGEST_TEXT
from fraud_assets.desk.signing_in import needs

MOST_READINGS = 500
"""Rows of the page, at most."""

pages = Blueprint("readings", __name__)


@pages.get("/readings")
@needs(Role.LEAD)
def show() -> str:
    """The latest readings, of one case or person if the address names them."""
    desk: Desk = current_app.extensions["fraud_desk"]
    given = {name: request.args.get(name, "").strip()[:LONGEST_TEXT].replace("\x00", "") for name in ("case", "by")}
    found = desk.readings.read(given["case"] or None, given["by"] or None, MOST_READINGS)
    return render_template("readings.html", readings=found, given=given, most=MOST_READINGS)
