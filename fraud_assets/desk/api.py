"""The JSON API of cases, for programs with a token."""

from __future__ import annotations

from typing import TypeVar

from flask import Blueprint, Response, abort, current_app, g, request, url_for
from pydantic import BaseModel, ValidationError

from fraud_assets.cases.model import Case, QueueFilter
from fraud_assets.desk.api_models import CaseDetailOut, CaseOut, CasesIn, CasesOut, DecideIn, Problem, UndoIn, openapi
from fraud_assets.desk.options import Desk
from fraud_assets.desk.people import Person, Role
from fraud_assets.desk.signing_in import check_undo, needs

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
    return _json(CaseDetailOut.of_parts(_case(store.case(case_id)), store.alerts(case_id), store.history(case_id)))


@pages.post("/cases/<case_id>/decide")
@needs(Role.INVESTIGATOR)
def decide_case(case_id: str) -> Response:
    """Decide a case."""
    given, desk = _body(DecideIn), _desk()
    case = desk.store.decide(
        case_id,
        given.decision,
        given.reason_code,
        given.note,
        g.person.name,
        given.version,
        desk.clock.now(),
        given.exceptions,
    )
    desk.work.case_changed()
    return _json(_case(case))


@pages.post("/cases/<case_id>/undo")
@needs(Role.INVESTIGATOR)
def undo_case(case_id: str) -> Response:
    """Take back a decision or snooze."""
    given, desk = _body(UndoIn), _desk()
    check_undo(desk.store.case(case_id))
    case = desk.store.undo(case_id, g.person.name, given.version, desk.clock.now())
    desk.work.case_changed()
    return _json(_case(case))


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
