"""What Dagster says went wrong, as the errors that tasks end with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_bridge.errors import AccessDenied, BridgeError, CheckFailed, LaunchRefused, RunCanceled, RunFailed, UnknownAsset

_CHECK_FAILED = "DagsterAssetCheckFailedError"


def failure_of(status: str, name: str, where: str, events: Iterable[Mapping[str, Any]]) -> BridgeError:
    """The error that a task should end with, from the events of a run that ended without success.

    Args:
        name, where: how to call the run, and where to look at it; for the message.
    """
    if status == "CANCELED":
        return RunCanceled(f"{name} was stopped in Dagster. Clear the task to start it again. {where}")
    steps, checks, others = [], [], []
    for event in events:
        kind = event["__typename"]
        if kind == "ExecutionStepFailureEvent":
            # a step that failed because of a check is told of by the check
            if cause(event["error"])[0] != _CHECK_FAILED:
                steps.append(f"step {event['stepKey']} failed: {': '.join(cause(event['error']))}")
        elif kind == "AssetCheckEvaluationEvent":
            evaluation = event["evaluation"]
            if not evaluation["success"] and evaluation["severity"] == "ERROR":
                checks.append(_told(evaluation))
        elif kind == "RunFailureEvent":
            others.append(" ".join([event["message"], *filter(None, cause(event["error"]))]))
    said = [*dict.fromkeys(steps), *checks] or others or ["Dagster does not say why"]
    error = CheckFailed if checks and not steps else RunFailed
    return error(f"{name}: {'; '.join(said)}. {where}")


def refusal_of(answer: Mapping[str, Any], assets: Sequence[str]) -> BridgeError:
    kind = answer["__typename"]
    said = ": ".join(cause(answer)) if kind == "PythonError" else answer.get("message") or ""
    if kind == "UnauthorizedError":
        return AccessDenied(f"Dagster does not allow the launch: {said}; is the webserver started with --read-only?")
    if kind == "InvalidSubsetError":
        return UnknownAsset(f"Dagster cannot run {', '.join(assets)}: {said}")
    if kind == "PipelineNotFoundError":
        return UnknownAsset(f"Dagster has no such job: {said}; export the DAGs again")
    errors = "; ".join(error["message"] for error in answer.get("errors", []))
    return LaunchRefused(f"Dagster refused to run {', '.join(assets)}: {kind}: {said or errors}")


def cause(error: Mapping[str, Any] | None) -> tuple[str, str]:
    """Class and message of the first error of a chain that is not Dagster's own wrapping."""
    if error is None:
        return "", ""
    chain = [error, *error.get("causes", [])]
    first = next((link for link in chain if not str(link["className"]).startswith("Dagster")), None)
    # with nothing but wrapping, the innermost says most
    found = first or chain[-1]
    name, message = str(found["className"]), str(found["message"]).strip()
    # Dagster writes "module.Class: message"
    head, _, rest = message.partition(": ")
    return name, rest if head.rpartition(".")[2] == name else message


def _told(evaluation: Mapping[str, Any]) -> str:
    asset = "/".join(evaluation["assetKey"]["path"])
    values = ", ".join(f"{entry['label']}: {_value(entry)}" for entry in evaluation["metadataEntries"])
    description = f": {evaluation['description']}" if evaluation["description"] else ""
    return f"check {evaluation['checkName']} of {asset} failed{description}" + (f" ({values})" if values else "")


def _value(entry: Mapping[str, Any]) -> str:
    if "table" in entry:
        rows = [", ".join(str(value) for value in json.loads(record).values()) for record in entry["table"]["records"][:5]]
        return " | ".join(rows)
    return str(next((value for key, value in entry.items() if key not in ("__typename", "label")), "")).strip()
