"""Answers of another version, or changed by a gateway: each is read, or ends in an error of the bridge."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_bridge.errors import BridgeError, UnexpectedAnswer
from airflow_bridge.in_airflow.dagster_graphql import Address, DagsterClient, Run

RUN = {
    "__typename": "Run",
    "runId": "r",
    "status": "FAILURE",
    "tags": [{"key": "a", "value": "b"}],
    "assetSelection": [{"path": ["a", "b"]}],
    "creationTime": 1.0,
}
ERROR = {"__typename": "PythonError", "className": "ValueError", "message": "too few", "causes": []}
EVENTS = [
    {"__typename": "ExecutionStepFailureEvent", "stepKey": "s", "error": ERROR},
    {
        "__typename": "AssetCheckEvaluationEvent",
        "evaluation": {
            "success": False,
            "severity": "ERROR",
            "checkName": "c",
            "assetKey": {"path": ["a"]},
            "description": None,
            "metadataEntries": [{"label": "rows", "intValue": 3}],
        },
    },
]
LOCATION = {
    "__typename": "Workspace",
    "locationEntries": [
        {
            "name": "l",
            "locationOrLoadError": {
                "__typename": "RepositoryLocation",
                "repositories": [{"name": "r", "jobs": [{"name": "j"}]}],
            },
        }
    ],
}
ANSWERS: dict[str, dict[str, Any]] = {
    "run": {"runOrError": RUN},
    "find_runs": {"runsOrError": {"__typename": "Runs", "results": [RUN]}},
    "failure": {"logsForRun": {"__typename": "EventConnection", "events": EVENTS, "hasMore": False, "cursor": "1"}},
    "terminate": {"terminateRun": {"__typename": "TerminateRunSuccess"}, "runOrError": RUN},
    "partition_state": {
        "assetNodeOrError": {
            "__typename": "AssetNode",
            "partitionKeyConnection": {"results": ["2026-01-01"]},
            "assetMaterializations": [],
        }
    },
    "launch": {
        "workspaceOrError": LOCATION,
        "assetNodes": [{"assetKey": {"path": ["a"]}, "partitionKeys": ["2026-01-01"]}],
        "launchRun": {"__typename": "LaunchRunSuccess", "run": RUN},
    },
}
CALLS: dict[str, Callable[[DagsterClient], object]] = {
    "run": lambda client: client.run("r"),
    "find_runs": lambda client: client.find_runs({"a": "b"}),
    "failure": lambda client: client.failure(Run("r", "FAILURE", {}, frozenset(), 1.0)),
    "terminate": lambda client: client.terminate("r", within=-1),
    "partition_state": lambda client: client.partition_state("a", "2026-01-01"),
    "launch": lambda client: client.launch(["a"], job="j", partition="2026-01-01", tags={}),
}
ODD: list[Any] = [None, [], {}, "x", 3, True, [None]]


class Odd:
    """A server that gives one answer to every request."""

    def __init__(self) -> None:
        self.answer: Any = {}
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps(odd.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def client(self) -> DagsterClient:
        return DagsterClient(Address(f"http://127.0.0.1:{self.server.server_address[1]}", launch_timeout=5.0), patience=0)


@pytest.fixture(scope="module")
def odd() -> Iterator[Odd]:
    odd = Odd()
    thread = threading.Thread(target=odd.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield odd
    finally:
        odd.server.shutdown()
        odd.server.server_close()
        thread.join()


def changed(answer: Any) -> Iterator[Any]:
    """Copies of an answer, each with one value left out or replaced."""
    for path in _paths(answer):
        for value in (..., *ODD):
            copied = copy.deepcopy(answer)
            holder = copied
            for key in path[:-1]:
                holder = holder[key]
            if value is ...:
                del holder[path[-1]]
            else:
                holder[path[-1]] = value
            yield copied


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from _paths(inner, (*above, key))


@pytest.mark.parametrize("method", CALLS)
def test_an_odd_answer_is_read_or_an_error_of_the_bridge(method: str, odd: Odd) -> None:
    call = CALLS[method]
    with odd.client() as client:
        odd.answer = {"data": ANSWERS[method]}
        call(client)
        refused = 0
        for odd.answer in changed({"data": ANSWERS[method], "errors": None}):
            try:
                call(client)
            except BridgeError as error:
                refused += 1
                assert str(error)
        assert refused > 20


def test_a_page_of_events_that_is_repeated_is_an_error(odd: Odd) -> None:
    odd.answer = {"data": {"logsForRun": {"__typename": "EventConnection", "events": [], "hasMore": True, "cursor": "1"}}}
    with odd.client() as client, pytest.raises(UnexpectedAnswer, match="cursor"):
        CALLS["failure"](client)
