"""Translates errors and failed runs of Dagster into the errors that tasks fail with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_bridge.errors import AccessDenied, BridgeError, CheckFailed, LaunchRefused, RunCanceled, RunFailed, UnknownAsset

_CHECK_FAILED = "DagsterAssetCheckFailedError"


def failure_of(status: str, name: str, where: str, events: Iterable[Mapping[str, Any]]) -> BridgeError:
    """Return the error for a task, from the events of a run that ended without success.

    Args:
        name: name of the run in the message.
        where: URL of the run, at the end of the message.
    """
    if status == "CANCELED":
        return RunCanceled(f"{name} was canceled in Dagster; clear the task to start a new run. {where}")
    steps, checks, others = [], [], []
    for event in events:
        kind = event["__typename"]
        if kind == "ExecutionStepFailureEvent":
            # the check's own event reports a step that failed because of it
            if cause(event["error"])[0] != _CHECK_FAILED:
                steps.append(f"step {event['stepKey']} failed: {': '.join(cause(event['error']))}")
        elif kind == "AssetCheckEvaluationEvent":
            evaluation = event["evaluation"]
            if not evaluation["success"] and evaluation["severity"] == "ERROR":
                checks.append(_failed_check(evaluation))
        elif kind == "RunFailureEvent":
            others.append(" ".join([event["message"], *filter(None, cause(event["error"]))]))
    reasons = [*dict.fromkeys(steps), *checks] or others or ["Dagster gives no reason"]
    error = CheckFailed if checks and not steps else RunFailed
    return error(f"{name}: {'; '.join(reasons)}. {where}")


def refusal_of(answer: Mapping[str, Any], assets: Sequence[str]) -> BridgeError:
    """Return the error for a task whose run Dagster did not launch."""
    kind = answer["__typename"]
    message = ": ".join(cause(answer)) if kind == "PythonError" else answer.get("message") or ""
    if kind == "UnauthorizedError":
        return AccessDenied(f"Dagster does not permit the launch: {message}; is the webserver started with --read-only?")
    if kind == "InvalidSubsetError":
        return UnknownAsset(f"Dagster cannot materialize {', '.join(assets)}: {message}; export the DAGs again")
    if kind == "PipelineNotFoundError":
        return UnknownAsset(f"Dagster does not have the job: {message}; export the DAGs again")
    errors = "; ".join(error["message"] for error in answer.get("errors", []))
    return LaunchRefused(f"Dagster did not launch a run of {', '.join(assets)}: {kind}: {message or errors}")


def cause(error: Mapping[str, Any] | None) -> tuple[str, str]:
    """Class and message of the outermost error in a chain that is not one of Dagster's wrappers."""
    if error is None:
        return "", ""
    chain = [error, *error.get("causes", [])]
    first = next((link for link in chain if not str(link["className"]).startswith("Dagster")), None)
    # if all are wrappers, the innermost is the most specific
    found = first or chain[-1]
    name, message = str(found["className"]), str(found["message"]).strip()
    # Dagster prefixes the message with "module.Class: "
    head, _, rest = message.partition(": ")
    return name, rest if head.rpartition(".")[2] == name else message


def _failed_check(evaluation: Mapping[str, Any]) -> str:
    """The check, its description and its metadata, in one line."""
    asset = "/".join(evaluation["assetKey"]["path"])
    values = ", ".join(f"{entry['label']}: {_value(entry)}" for entry in evaluation["metadataEntries"])
    description = f": {evaluation['description']}" if evaluation["description"] else ""
    return f"check {evaluation['checkName']} of {asset} failed{description}" + (f" ({values})" if values else "")


def _value(entry: Mapping[str, Any]) -> str:
    if "table" in entry:
        rows = [", ".join(str(value) for value in json.loads(record).values()) for record in entry["table"]["records"][:5]]
        return " | ".join(rows)
    return str(next((value for key, value in entry.items() if key not in ("__typename", "label")), "")).strip()
