"""The JSON API of cases, for programs with a token."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from flask import Blueprint, Response, abort, current_app, g, request, url_for
from pydantic import BaseModel, ValidationError

from fraud_assets.cases.model import Case, QueueFilter, ReadAs
from fraud_assets.cases.store import CaseStore
from fraud_assets.desk.api_models import (
    AssignIn,
    CaseDetailOut,
    CaseOut,
    CasesIn,
    CasesOut,
    CommentIn,
    DecideIn,
    Problem,
    ReopenIn,
    SnoozeIn,
    UndoIn,
    openapi,
)
from fraud_assets.desk.options import Desk
from fraud_assets.desk.people import Person, Role
from fraud_assets.desk.signing_in import check_assignment, check_undo, needs

pages = Blueprint("api", __name__, url_prefix="/api")
M = TypeVar("M", bound=BaseModel)
_OPEN = {"api.document"}
"""What is answered without a token."""


@pages.before_request
def know_the_program() -> None:
    """Ask for a token. A session is none: another site could make a browser send it."""
    if request.endpoint in _OPEN:
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    known = current_app.extensions["fraud_sign_in"].accounts.bearer(token.strip()) if scheme.lower() == "bearer" else None
    if known is None:
        abort(401, "Send Authorization: Bearer TOKEN with a token of this desk; `fraud desk token add` makes one")
    g.person = Person(name=f"api:{known.name}", role=known.role)


@pages.get("/openapi.json")
def document() -> dict[str, object]:
    """The OpenAPI document."""
    return openapi()


@pages.get("/cases")
def list_cases() -> Response:
    """Cases, highest priority first."""
    given = _valid(CasesIn, request.args.to_dict())
    wanted = QueueFilter(given.status, given.severity, given.rule, given.customer, given.assigned, given.min_score, given.text)
    store = _desk().store
    return _json(
        CasesOut(total=store.count(wanted), cases=[_case(each) for each in store.queue(wanted, given.limit, given.offset)])
    )


@pages.get("/cases/<case_id>")
def read_case(case_id: str) -> Response:
    """A case with its alerts and history."""
    store = _desk().store
    _desk().note_reading(case_id, ReadAs.API)
    return _json(CaseDetailOut.of_parts(_case(store.case(case_id)), store.alerts(case_id), store.history(case_id)))


@pages.post("/cases/<case_id>/decide")
@needs(Role.INVESTIGATOR)
def decide_case(case_id: str) -> Response:
    """Decide a case."""
    given = _body(DecideIn)
    choice = given.decision, given.reason_code, given.note
    return _changed(lambda store, by, now: store.decide(case_id, *choice, by, given.version, now, given.exceptions))


@pages.post("/cases/<case_id>/undo")
@needs(Role.INVESTIGATOR)
def undo_case(case_id: str) -> Response:
    """Take back a decision or snooze."""
    given = _body(UndoIn)
    check_undo(_desk().store.case(case_id))
    return _changed(lambda store, by, now: store.undo(case_id, by, given.version, now))


@pages.post("/cases/<case_id>/snooze")
@needs(Role.INVESTIGATOR)
def snooze_case(case_id: str) -> Response:
    """Put a case aside until a time."""
    given = _body(SnoozeIn)
    return _changed(lambda store, by, now: store.snooze(case_id, given.until, by, given.version, now))


@pages.post("/cases/<case_id>/assign")
@needs(Role.INVESTIGATOR)
def assign_case(case_id: str) -> Response:
    """Assign a case, or clear its assignment; only a lead assigns it to others."""
    given = _body(AssignIn)
    check_assignment(given.to)
    return _changed(lambda store, by, now: store.assign(case_id, given.to, by, given.version, now))


@pages.post("/cases/<case_id>/comment")
@needs(Role.INVESTIGATOR)
def comment_case(case_id: str) -> Response:
    """Add a comment to a case's history."""
    given = _body(CommentIn)
    return _changed(lambda store, by, now: store.comment(case_id, given.text, by, given.version, now))


@pages.post("/cases/<case_id>/reopen")
@needs(Role.LEAD)
def reopen_case(case_id: str) -> Response:
    """Open a decided case again."""
    given = _body(ReopenIn)
    return _changed(lambda store, by, now: store.reopen(case_id, given.why, by, given.version, now))


def problem(title: str, status: int, detail: str) -> Response:
    """An answer that says why a request was refused."""
    answer = _json(Problem(title=title, status=status, detail=detail))
    answer.status_code, answer.mimetype = status, "application/problem+json"
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _desk() -> Desk:
    desk: Desk = current_app.extensions["fraud_desk"]
    return desk


def _changed(change: Callable[[CaseStore, str, dt.datetime], Case]) -> Response:
    desk = _desk()
    case = change(desk.store, g.person.name, desk.clock.now())
    desk.work.case_changed()
    return _json(_case(case))


def _case(case: Case) -> CaseOut:
    url = _desk().options.url
    path = url_for("cases.show", case_id=case.case_id)
    return CaseOut.of(case, f"{url.rstrip('/')}{path}" if url else url_for("cases.show", case_id=case.case_id, _external=True))


def _body(model: type[M]) -> M:
    given = request.get_json(silent=True)
    if not isinstance(given, dict):
        abort(400, "Expected a JSON object, with Content-Type: application/json")
    return _valid(model, given)


def _valid(model: type[M], given: object) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        abort(400, f"{'.'.join(map(str, first['loc'])) or 'request'}: {first['msg']}")


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), mimetype="application/json")
