"""Script of local mode for the interpreter that has Dagster: `python supervisor.py supervise|wait|why …`.

Imports nothing of this package: it is run as a file, by an interpreter that may not have the package.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

INTERRUPT_SECONDS = 20
"""Seconds from SIGINT to SIGTERM. Dagster needs the time to record the run as failed."""

TERMINATE_SECONDS = 10
"""Seconds from SIGTERM to SIGKILL."""


def supervise(command: list[str]) -> int:
    """Run a command and return its exit code. Stop it and its descendants when stdin closes: the Airflow task has ended."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    stopping = threading.Event()
    threading.Thread(target=_end_with_stdin, args=(child, stopping), daemon=True).start()
    code = child.wait()
    if stopping.is_set():
        _signal_all(child, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _end_with_stdin(child: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    _wait_for_stdin_to_close()
    stopping.set()
    try:
        child.send_signal(signal.SIGINT)
        child.wait(INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_all(child, signal.SIGTERM)
        time.sleep(TERMINATE_SECONDS)
        _signal_all(child, signal.SIGKILL)


def _signal_all(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the command and its descendants."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return  # all of them have ended


def _wait_for_stdin_to_close() -> None:
    # not sys.stdin: a thread that holds its lock breaks the shutdown of the interpreter
    while os.read(0, 1):
        pass


def wait(module: str, attribute: str, request: dict[str, Any]) -> int:
    """Wait until partitions are materialized; partitions before an asset's first one count as materialized."""
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    import dagster as dg

    missing = [(dg.AssetKey(asset.split("/")), partition) for asset, partition in request["waits"]]
    with dg.DagsterInstance.get() as instance:
        first_days: dict[dg.AssetKey, str] | None = None
        while True:
            missing = [
                (key, partition)
                for key, partition in missing
                if partition not in instance.event_log_storage.get_materialized_partitions(key)
            ]
            if missing and first_days is None:
                first_days = _first_partitions(module, attribute)
                missing = [(key, partition) for key, partition in missing if partition >= first_days[key]]
            if not missing:
                return 0
            names = ", ".join(f"{key.to_user_string()} of {partition}" for key, partition in missing)
            if time.time() > request["deadline"]:
                print(f"{names} was not materialized before the deadline; run that day first", flush=True)
                return 1
            print(f"Waiting for {names}", flush=True)
            time.sleep(5)


def _exit_with_stdin() -> None:
    _wait_for_stdin_to_close()
    os._exit(1)


def _first_partitions(module: str, attribute: str) -> dict[Any, str]:
    import importlib

    definitions = getattr(importlib.import_module(module), attribute)
    definitions = definitions() if callable(definitions) else definitions
    graph = definitions.resolve_asset_graph()
    nodes = [node for node in graph.asset_nodes if node.partitions_def is not None]
    return {node.key: node.partitions_def.get_first_partition_key() or "" for node in nodes}


def why(run_id: str) -> int:
    """Print a run's status and the events that explain it, as one line of JSON in the shape of Dagster's GraphQL."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        events = [shaped for entry in instance.all_logs(run_id) if (shaped := _shaped(entry.dagster_event))]
    print(json.dumps({"status": run.status.value, "events": events}), flush=True)
    return 0


def _shaped(event: Any) -> dict[str, Any] | None:
    if event is None:
        return None
    if event.is_step_failure:
        error = _error(event.step_failure_data.error)
        return {"__typename": "ExecutionStepFailureEvent", "stepKey": event.step_key, "error": error}
    if event.event_type_value == "PIPELINE_FAILURE":
        return {"__typename": "RunFailureEvent", "message": event.message, "error": _error(event.job_failure_data.error)}
    if event.event_type_value == "ASSET_CHECK_EVALUATION":
        check = event.asset_check_evaluation_data
        evaluation = {
            "checkName": check.check_name,
            "assetKey": {"path": list(check.asset_key.path)},
            "success": check.passed,
            "severity": check.severity.value,
            "description": check.description,
            "metadataEntries": [{"label": label, **_value(value)} for label, value in check.metadata.items()],
        }
        return {"__typename": "AssetCheckEvaluationEvent", "evaluation": evaluation}
    return None


def _value(value: Any) -> dict[str, Any]:
    records = getattr(value, "records", None)
    if records is None:
        return {"text": str(value.value)}
    return {"table": {"records": [json.dumps(record.data) for record in records]}}


def _error(error: Any) -> dict[str, Any] | None:
    if error is None:
        return None
    causes, cause = [], error.cause
    while cause is not None:
        causes.append({"className": cause.cls_name, "message": cause.message})
        cause = cause.cause
    return {"className": error.cls_name, "message": error.message, "causes": causes}


def main(arguments: list[str]) -> int:
    verb, *rest = arguments
    if verb == "supervise":
        return supervise(rest)
    if verb == "wait":
        return wait(rest[0], rest[1], json.loads(rest[2]))
    return why(rest[0])


if __name__ == "__main__":
    # instead of this file's folder, whose modules are not meant for this interpreter, as with `python -m dagster`
    sys.path[0] = str(Path.cwd())
    sys.exit(main(sys.argv[1:]))
