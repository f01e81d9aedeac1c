"""The Flask application of the desk."""

from __future__ import annotations

import logging
from typing import TypeAlias
from urllib.parse import urlsplit

from flask import Flask, g, render_template, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response

from fraud_assets.cases.readings import ReadingLog
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.desk import (
    api,
    case_pages,
    day_page,
    queue_page,
    readings_page,
    rules_page,
    shown,
    signing_in,
    suppressions_page,
)
from fraud_assets.desk.background import NO_WORK, BackgroundWork
from fraud_assets.desk.lake_view import LakeView
from fraud_assets.desk.options import Desk, DeskOptions
from fraud_assets.desk.people import Accounts
from fraud_assets.errors import CaseChanged, CaseError, CaseNotFound, FraudError, WrongStatus

MAX_FORM_BYTES = 256 * 1024
"""Largest body of a request. A note of the longest kind, in any alphabet, is far below."""
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: files of the desk only, nothing inline."""

Answer: TypeAlias = Response | tuple[str, int]
_log = logging.getLogger(__name__)


def create_app(
    store: CaseStore,
    accounts: Accounts,
    lake: LakeView,
    *,
    options: DeskOptions | None = None,
    clock: Clock = SYSTEM_CLOCK,
    work: BackgroundWork = NO_WORK,
) -> Flask:
    """Make the application.

    Args:
        work: its state is shown; the caller runs it.

    Raises:
        AccountError: the file of users cannot be read or written.
    """
    options = options or DeskOptions()
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=accounts.secret,
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES,
        TRUSTED_HOSTS=_hosts(options),
        SESSION_COOKIE_NAME="fraud_desk",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=(options.url or "").startswith("https://"),
        PERMANENT_SESSION_LIFETIME=signing_in.session_lifetime(),
        SESSION_REFRESH_EACH_REQUEST=False,
        # a token lives as long as its session, so that a form may lie open for hours
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.jinja_env.autoescape = True  # in SVG files, too
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["fraud_desk"] = Desk(store, lake, clock, options, ReadingLog(store.engine), work)
    app.context_processor(lambda: {"troubles": work.problems()})
    signing_in.install(app, signing_in.SignIn(accounts, clock, options.user_header, options.proxies))
    # after it: who is not signed in is told so, not that the form is old
    # a token stands in a header that no form can set
    CSRFProtect(app).exempt(api.pages)
    shown.install(app, clock)
    for module in (queue_page, case_pages, day_page, rules_page, suppressions_page, readings_page, api):
        app.register_blueprint(module.pages)
    _install_answers(app)
    return app


def _hosts(options: DeskOptions) -> list[str]:
    host = urlsplit(options.url or "").hostname
    return ["127.0.0.1", "localhost", "[::1]", *([host] if host else [])]


def _install_answers(app: Flask) -> None:
    @app.after_request
    def with_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        if request.endpoint == "static":
            response.headers["Cache-Control"] = "private, max-age=300"
        else:
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> Answer:
        why = "The form was not made by this page, or it was made before you signed in. Nothing was changed"
        return _refusal("Form refused", 400, f"{why} ({error.description})")

    @app.errorhandler(SecurityError)
    def other_name(_: SecurityError) -> tuple[str, int, dict[str, str]]:
        # not a page: without a trusted host name, it cannot link to anything
        why = "The desk does not answer to this host name. Open it at 127.0.0.1, or at the address in FRAUD_DESK_URL.\n"
        return why, 400, {"Content-Type": "text/plain"}

    @app.errorhandler(CaseError)
    def impossible(error: CaseError) -> Answer:
        code = 404 if isinstance(error, CaseNotFound) else 409 if isinstance(error, (CaseChanged, WrongStatus)) else 400
        return _refusal("No such case" if code == 404 else "Not possible", code, str(error))

    @app.errorhandler(FraudError)
    def unable(error: FraudError) -> Answer:
        _log.error("%s %s: %s", request.method, request.url_rule, error)
        return _refusal("Not possible now", 503, str(error))

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Answer:
        return _refusal(error.name, error.code or 500, error.description or "")

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Answer:
        # no values: an exception's text may hold what a person wrote
        _log.exception("%s %s failed", request.method, request.url_rule or "an unknown address")
        return _refusal("The desk failed", 500, "The error is in the desk's log. Nothing was changed")


def _refusal(title: str, code: int, text: str) -> Answer:
    if request.path.startswith("/api/"):
        return api.problem(title, code, text)
    g.setdefault("person", None)
    return render_template("error.html", title=title, text=text), code
