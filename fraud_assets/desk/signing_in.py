"""Who sends a request: a person with a session of the desk, or one whom a trusted proxy names in a header."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Blueprint, Flask, abort, current_app, flash, g, redirect, render_template, request, session, url_for
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from werkzeug.exceptions import SecurityError
from werkzeug.wrappers import Response

from fraud_assets.cases.model import Case, Status
from fraud_assets.clock import Clock
from fraud_assets.desk.people import Accounts, Person, Role

SESSION_HOURS = 12
"""Hours after which a person signs in again."""
_FAILURES_OF_NAME = "10 per 15 minutes"
"""Failed sign-ins of one name, beyond which more are refused."""
_FAILURES_FROM_ADDRESS = "100 per 15 minutes"
"""The same from one address. It may be that of a proxy, which all people share."""

P = ParamSpec("P")
T = TypeVar("T")

pages = Blueprint("signing_in", __name__)
limiter = Limiter(get_remote_address, storage_uri="memory://")


@dataclass(frozen=True)
class SignIn:
    """How people are known.

    Attributes:
        header: header in which a reverse proxy names the person; None for the desk's own sessions.
        proxies: addresses from which the header is believed.
    """

    accounts: Accounts
    clock: Clock
    header: str | None = None
    proxies: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()

    def person(self) -> Person | None:
        """The person who sends this request; None if it is not known who does."""
        return self._by_header(self.header) if self.header else self._by_session()

    def _by_header(self, header: str) -> Person | None:
        address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")
        if not any(address in network for network in self.proxies):
            abort(403, f"{address} is not the proxy that may name a user. Open the desk by the proxy's address")
        names = request.headers.getlist(header)
        if len(names) != 1 or not names[0]:
            abort(403, f"The proxy sent {len(names)} headers {header}; expected one, with the name of the user")
        person = self.accounts.person(names[0])
        if person is None:
            abort(403, f"{names[0]} is not a user of this desk. A lead can add you: fraud desk user add NAME --role viewer")
        if session.get("name") != person.name:
            session.clear()  # its CSRF token is another person's
            session["name"] = person.name
        return person

    def _by_session(self) -> Person | None:
        person = self.accounts.person(str(session.get("name", "")))
        since = session.get("since", 0)
        age = self.clock.now().timestamp() - (since if isinstance(since, (int, float)) else 0)
        if person is None or session.get("stamp") != person.stamp or not 0 <= age <= SESSION_HOURS * 3600:
            return None
        return person


def install(app: Flask, sign_in: SignIn) -> None:
    """Make every page but the sign-in page and static files ask who sends the request."""
    app.extensions["fraud_sign_in"] = sign_in
    limiter.init_app(app)
    app.register_blueprint(pages)

    @app.before_request
    def know_the_person() -> Response | None:
        g.person = None
        if isinstance(request.routing_exception, SecurityError):
            raise request.routing_exception
        if request.endpoint in {"static", "signing_in.sign_in", "day_page.health"} or request.path.startswith("/api/"):
            return None
        g.person = sign_in.person()
        if g.person is None:
            if request.method == "GET":
                return redirect(url_for("signing_in.sign_in", next=request.full_path.rstrip("?")))
            abort(401, "You are not signed in, or your session has ended. Nothing was changed")
        return None

    @app.context_processor
    def of_every_template() -> dict[str, object]:
        return {"person": g.get("person"), "may": may, "by_header": sign_in.header is not None}


def may(role: str) -> bool:
    """True if the person of this request has a role, or a higher one."""
    person: Person | None = g.get("person")
    return person is not None and person.role.covers(Role(role))


def needs(role: Role) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Refuse a request of a person whose role does not cover this one."""

    def decorated(view: Callable[P, T]) -> Callable[P, T]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if not may(role):
                abort(403, f"This needs the role {role}; {g.person.name} is {g.person.role}. Nothing was changed")
            return view(*args, **kwargs)

        return checked

    return decorated


def check_undo(case: Case) -> None:
    """Refuse to undo another person's decision to all but a lead."""
    if case.status is Status.DECIDED and case.decided_by != g.person.name and not may(Role.LEAD):
        abort(403, f"{case.decided_by} decided this case; that person or a lead can undo it. Nothing was changed")


def check_assignment(to: str | None) -> None:
    """Refuse to assign a case to who is not known here, and to others to all but a lead.

    Args:
        to: None clears the assignment.
    """
    if to in (None, g.person.name):
        return
    if not may(Role.LEAD):
        abort(403, "A lead can assign a case to others; you can assign it to yourself. Nothing was changed")
    if current_app.extensions["fraud_sign_in"].accounts.person(to) is None:
        abort(400, f"{to[:64]} is not a user of this desk. Nothing was changed")


def _given_name() -> str:
    return f"name:{request.form.get('name', '')[:64].casefold()}"


def _has_failed(response: Response) -> bool:
    return response.status_code == 401


@pages.get("/sign-in")
@pages.post("/sign-in")
@limiter.limit(_FAILURES_FROM_ADDRESS, methods=["POST"], deduct_when=_has_failed)
@limiter.limit(_FAILURES_OF_NAME, key_func=_given_name, methods=["POST"], deduct_when=_has_failed)
def sign_in() -> tuple[str, int] | Response | str:
    """The sign-in page."""
    known: SignIn = current_app.extensions["fraud_sign_in"]
    if known.header:
        return redirect(url_for("queue.show"))
    if request.method == "GET":
        return render_template("sign_in.html", next=request.args.get("next", ""), name="", empty=not known.accounts.people)
    name, password = request.form.get("name", ""), request.form.get("password", "")
    person = known.accounts.sign_in(name, password)
    if person is None:
        flash("This name and password do not fit.", "error")
        return render_template("sign_in.html", next=request.form.get("next", ""), name=name[:64], empty=False), 401
    session.clear()
    session.update(name=person.name, stamp=person.stamp, since=known.clock.now().timestamp())
    session.permanent = True
    return redirect(_own_page(request.form.get("next", "")))


@pages.post("/sign-out")
def sign_out() -> Response:
    """End all sessions of the person."""
    known: SignIn = current_app.extensions["fraud_sign_in"]
    known.accounts.end_sessions(g.person.name)
    session.clear()
    return redirect(url_for("signing_in.sign_in"))


def session_lifetime() -> dt.timedelta:
    """How long a browser keeps the session cookie."""
    return dt.timedelta(hours=SESSION_HOURS)


def _own_page(path: str) -> str:
    """A path of this desk; the queue for anything else, such as another site's address."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else url_for("queue.show")
