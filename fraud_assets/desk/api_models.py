"""What the API takes and gives, as pydantic models, and the OpenAPI document that describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib.metadata import version
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import models_json_schema

from fraud_assets.cases.changes import LONGEST_NOTE
from fraud_assets.cases.model import Alert, Case, Decision, Event, EventKind, ReasonCode, Status
from fraud_assets.cases.store import LONGEST_SNOOZE
from fraud_assets.detection.rule import SEVERITIES

MOST_CASES = 500
"""Cases in an answer, at most."""


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class CaseOut(_Out):
    """A case. Amounts are sums of its alerts by currency, as decimal text, "" for a currency that is not named."""

    case_id: str
    customer_id: str
    status: Status
    severity: str
    score: float
    amounts: dict[str, Decimal]
    alert_count: int
    rules: list[str]
    headline: str
    opened_at: AwareDatetime
    updated_at: AwareDatetime
    assigned_to: str | None
    snoozed_until: AwareDatetime | None
    decision: Decision | None
    reason_code: ReasonCode | None
    note: str | None
    decided_by: str | None
    decided_at: AwareDatetime | None
    former: str | None
    version: Annotated[int, Field(description="Name it in a change: a change of another version is refused with 409.")]
    link: Annotated[str, Field(description="Page of the case in the desk.")]

    @classmethod
    def of(cls, case: Case, link: str) -> Self:
        return cls(**{**vars(case), "link": link})


class AlertOut(_Out):
    """An alert as it was when its case took it."""

    transaction_id: str
    customer_id: str
    event_time: AwareDatetime
    amount: Decimal
    currency: str | None
    merchant_id: str
    score: float
    severity: str
    rules: list[str]
    reasons: list[str]
    rule_versions: list[str]
    card_version: str | None


class EventOut(_Out):
    """A step in a case's history."""

    event_id: int
    at: AwareDatetime
    by: str
    kind: EventKind
    detail: dict[str, Any]


class CasesOut(_Out):
    """A page of the queue, highest priority first."""

    total: Annotated[int, Field(description="Cases that the filter lets through.")]
    cases: list[CaseOut]


class CaseDetailOut(_Out):
    """A case with its alerts and history."""

    case: CaseOut
    alerts: list[AlertOut]
    history: list[EventOut]

    @classmethod
    def of_parts(cls, case: CaseOut, alerts: Sequence[Alert], history: Sequence[Event]) -> Self:
        return cls(
            case=case,
            alerts=[AlertOut(**vars(alert)) for alert in alerts],
            history=[EventOut.model_validate(event) for event in history],
        )


class CasesIn(BaseModel):
    """Filter of the queue."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    severity: Annotated[str, Field(pattern=f"^({'|'.join(SEVERITIES)})$")] | None = None
    rule: Annotated[str, Field(max_length=200)] | None = None
    customer: Annotated[str, Field(max_length=200)] | None = None
    assigned: Annotated[str, Field(max_length=200)] | None = None
    min_score: Annotated[float, Field(ge=0, le=1)] | None = None
    text: Annotated[str, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_CASES)] = 50
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


_Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NOTE)]


class _ChangeIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=1, description="The version of the case that the change rests on.")]


class DecideIn(_ChangeIn):
    """A decision about a case."""

    decision: Decision
    reason_code: ReasonCode
    note: Annotated[str, StringConstraints(max_length=LONGEST_NOTE)] | None = None
    exceptions: Annotated[
        dict[str, Decision], Field(description="Transactions with another decision than their case, by id.")
    ] = {}


class UndoIn(_ChangeIn):
    """Taking back a decision or a snooze."""


class SnoozeIn(_ChangeIn):
    """Putting a case aside until a time; a graver alert wakes it earlier."""

    until: Annotated[
        AwareDatetime, Field(description=f"With its zone; at most {LONGEST_SNOOZE.days} days from now: 2026-03-20T06:00:00Z.")
    ]


class AssignIn(_ChangeIn):
    """Assigning a case; only a lead assigns it to others."""

    to: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=200)] | None,
        Field(description="A user of the desk, or the token itself as `api:NAME`; null clears the assignment."),
    ]


class CommentIn(_ChangeIn):
    """A comment in a case's history."""

    text: _Text


class ReopenIn(_ChangeIn):
    """Opening a decided case again; its transactions are undecided until it is decided."""

    why: _Text


class Problem(_Out):
    """Why a request was refused, by RFC 9457."""

    title: str
    status: int
    detail: str


_CASE_ID = {"name": "case_id", "in": "path", "required": True, "schema": {"type": "string"}}
_REFUSALS = {
    400: "The request is not valid",
    401: "No token, or one that is not known",
    403: "The token's role does not cover this",
    404: "There is no such case",
    409: "The case has changed since, or its status does not allow this: read it again",
}


_CHANGES: Mapping[str, tuple[str, type[BaseModel]]] = {
    "decide": ("Decide a case", DecideIn),
    "undo": ("Take back a decision or snooze", UndoIn),
    "snooze": ("Put a case aside until a time", SnoozeIn),
    "assign": ("Assign a case, or clear its assignment", AssignIn),
    "comment": ("Add a comment to a case's history", CommentIn),
    "reopen": ("Open a decided case again", ReopenIn),
}
"""What changes a case: the last part of its path, a summary, and its body."""


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the API."""
    bodies = [body for _, body in _CHANGES.values()]
    _, schemas = models_json_schema(
        [
            *((model, "validation") for model in bodies),
            *((model, "serialization") for model in (CasesOut, CaseDetailOut, CaseOut, Problem)),
        ],
        ref_template="#/components/schemas/{model}",
    )
    filters = CasesIn.model_json_schema(ref_template="#/components/schemas/{model}")
    parameters = [
        {"name": name, "in": "query", "schema": {key: value for key, value in schema.items() if key != "title"}}
        for name, schema in filters["properties"].items()
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fraud desk",
            "version": version("fraud-assets"),
            "description": "Cases and decisions. Times are UTC. Tokens: `fraud desk token add`.",
        },
        "security": [{"token": []}],
        "paths": {
            "/api/cases": {"get": _operation("list_cases", "Cases, highest priority first", CasesOut, (400,), parameters)},
            "/api/cases/{case_id}": {
                "parameters": [_CASE_ID],
                "get": _operation("read_case", "A case with its alerts and history", CaseDetailOut, (404,)),
            },
            **{
                f"/api/cases/{{case_id}}/{name}": {
                    "parameters": [_CASE_ID],
                    "post": _operation(f"{name}_case", summary, CaseOut, (400, 403, 404, 409), body=body),
                }
                for name, (summary, body) in _CHANGES.items()
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    name: str,
    summary: str,
    answer: type[BaseModel],
    refusals: Sequence[int],
    parameters: Sequence[dict[str, Any]] = (),
    body: type[BaseModel] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": _ref(answer)}}},
            **{
                str(code): {
                    "description": _REFUSALS[code],
                    "content": {"application/problem+json": {"schema": _ref(Problem)}},
                }
                for code in sorted({401, *refusals})
            },
        },
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
