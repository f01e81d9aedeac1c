"""Client for Dagster's GraphQL API, for Dagster 1.13. Needs neither Dagster nor Airflow."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
import tenacity
from urllib3.exceptions import NewConnectionError

from airflow_bridge.errors import (
    AccessDenied,
    BadConnection,
    BridgeError,
    DagsterUnreachable,
    LaunchRefused,
    NoPartition,
    NotStopped,
    RunFailed,
    UnexpectedAnswer,
    UnknownAsset,
)
from airflow_bridge.in_airflow import dagster_queries as queries
from airflow_bridge.in_airflow.failures import cause, failure_of, refusal_of

PARTITION_TAG = "dagster/partition"
LAUNCH_TAG = "airflow/launch"
"""Tag with a random value for each launch. Finds the run if Dagster's answer to the launch is lost."""

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
_TEMPORARY = frozenset({429, 502, 503, 504})
"""HTTP status codes of a gateway that mean: retry later."""


@dataclass(frozen=True)
class Address:
    """URL of Dagster's webserver, credentials and timeouts. Its repr hides the credentials.

    Attributes:
        url: base URL of the webserver, without a trailing slash.
        location, repository: the code location with the assets, and its repository; None if the webserver has only one.
        launch_timeout: seconds to wait for the answer to a launch, which takes 2 to 10 s, longer under load.
        patience: seconds for which Dagster may be unreachable before a request fails.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    location: str | None = None
    repository: str | None = None
    launch_timeout: float = 120.0
    patience: float = 300.0

    def run_url(self, run_id: str) -> str:
        """URL of a run's page."""
        return f"{self.url}/runs/{run_id}"


@dataclass(frozen=True)
class Run:
    """A Dagster run; `created` is in epoch seconds of Dagster's clock."""

    run_id: str
    status: str
    tags: Mapping[str, str]
    assets: frozenset[str]
    created: float

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class PartitionState:
    """State of one partition of an asset.

    Attributes:
        before_first: True if the partition is before the asset's first one, so it will never be materialized.
    """

    materialized: bool
    before_first: bool

    @property
    def ready(self) -> bool:
        return self.materialized or self.before_first


@contextmanager
def _reading_answers() -> Iterator[None]:
    """Turn what an answer lacks into an error of its own: a gateway may have changed it, or the webserver has another version.

    Raises:
        UnexpectedAnswer: an answer has no such key, or a value of another type.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise UnexpectedAnswer(
            f"Dagster's answer is not as the API of Dagster 1.13 describes it ({type(error).__name__}: {error}); "
            "check the version of the webserver, and the gateway in front of it"
        ) from error


class DagsterClient:
    """Client for one webserver. Each method sends one or a few requests.

    Idempotent requests are retried for `patience` seconds while Dagster is unreachable; with `patience` 0 they are sent once.
    Every method may raise DagsterUnreachable, AccessDenied and UnexpectedAnswer, besides the errors it documents.
    """

    def __init__(self, address: Address, *, patience: float | None = None) -> None:
        self.address = address
        self._patience = address.patience if patience is None else patience
        self._session = requests.Session()
        self._session.headers.update(address.headers)
        self._session.auth = address.auth

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> DagsterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Runs

    @_reading_answers()
    def launch(self, assets: Sequence[str], *, job: str | None, partition: str | None, tags: Mapping[str, str]) -> Run:
        """Start one run that materializes the assets and evaluates their checks.

        A launch that may have reached Dagster is never sent again. If its answer is lost, the run is found by its own tag.

        Args:
            assets: asset keys, `fintech/transactions`.
            job: None for Dagster's built-in job of all assets.
            partition: None for assets without partitions.

        Raises:
            UnknownAsset, NoPartition, LaunchRefused: no run was started.
            DagsterUnreachable: the answer was lost and no run was found; it may still appear.
        """
        token = uuid.uuid4().hex
        run_tags = {**tags, LAUNCH_TAG: token} | ({PARTITION_TAG: partition} if partition is not None else {})
        location, repository = self._code_location(job)
        if partition is not None:
            self._check_partition(assets, partition)
        selector = {
            "jobName": job or "__ASSET_JOB",
            "repositoryName": repository,
            "repositoryLocationName": location,
            "assetSelection": [_path(asset) for asset in assets],
            # no assetCheckSelection: an empty one would skip the blocking checks
        }
        params = {"selector": selector, "executionMetadata": {"tags": _tag_inputs(run_tags)}}
        for attempt in self._attempts(lambda error: isinstance(error, DagsterUnreachable) and not error.sent):
            with attempt:
                try:
                    answer = self._post(queries.LAUNCH, {"params": params}, timeout=self.address.launch_timeout)["launchRun"]
                except DagsterUnreachable as lost:
                    if not lost.sent:
                        raise
                    return self._find_launched(token, lost)
        if answer["__typename"] != "LaunchRunSuccess":
            raise refusal_of(answer, assets)
        return _run(answer["run"])

    def _find_launched(self, token: str, lost: DagsterUnreachable) -> Run:
        """Find the run of a launch whose answer was lost because Dagster was slow or went down after the request."""
        until = time.monotonic() + self.address.launch_timeout
        while True:
            if found := self.find_runs({LAUNCH_TAG: token}):
                return found[0]
            if time.monotonic() > until:
                raise DagsterUnreachable(
                    f"The answer to the launch was lost, and no run with the tag {LAUNCH_TAG}={token} appeared within "
                    f"{self.address.launch_timeout:.0f} s. If it appears later, the next try takes it over. {lost}"
                ) from lost
            time.sleep(2)

    @_reading_answers()
    def find_runs(self, tags: Mapping[str, str], limit: int = 25) -> list[Run]:
        """Runs that have all these tags, newest first, at most `limit`."""
        answer = self._ask(queries.FIND_RUNS, {"tags": _tag_inputs(tags), "limit": limit})["runsOrError"]
        return [_run(run) for run in _expect(answer, "Runs")["results"]]

    @_reading_answers()
    def run(self, run_id: str) -> Run:
        """Return a run by its id.

        Raises:
            RunFailed: the run was deleted in Dagster.
        """
        answer = self._ask(queries.RUN, {"runId": run_id})["runOrError"]
        if answer["__typename"] == "RunNotFoundError":
            raise RunFailed(f"Dagster has no run {run_id}: it was deleted. The next try starts a new run.")
        return _run(_expect(answer, "Run"))

    @_reading_answers()
    def terminate(self, run_id: str, within: float = 20.0) -> None:
        """Ask a run to stop, without waiting until it is CANCELED. A run that has ended keeps its status.

        Dagster cannot stop a run that is starting, and setting its status would not keep its process from starting. So the
        request is repeated for `within` seconds.

        Raises:
            NotStopped: Dagster could not reach the run.
        """
        until = time.monotonic() + within
        while (refusal := self._terminate_once(run_id, "SAFE_TERMINATE")) is not None:
            status = self.run(run_id).status
            if status in (*ENDED, "CANCELING"):
                return
            if time.monotonic() > until:
                # only a run that was created and never launched has no process
                if status == "NOT_STARTED" and self._terminate_once(run_id, "MARK_AS_CANCELED_IMMEDIATELY") is None:
                    return
                raise NotStopped(
                    f"Run {run_id} is still running: {refusal} Terminate it in Dagster. {self.address.run_url(run_id)}"
                )
            time.sleep(0.5)

    def _terminate_once(self, run_id: str, policy: str) -> str | None:
        """Dagster's reason not to stop the run, or None."""
        answer = self._ask(queries.TERMINATE, {"runId": run_id, "policy": policy})["terminateRun"]
        if answer["__typename"] == "TerminateRunFailure":
            return str(answer["message"])
        _expect(answer, "TerminateRunSuccess")
        return None

    @_reading_answers()
    def failure(self, run: Run) -> BridgeError:
        """Return the error for a task whose run ended without success."""
        events = [] if run.status == "CANCELED" else self._events(run.run_id)
        return failure_of(run.status, f"Run {run.run_id}", self.address.run_url(run.run_id), events)

    def _events(self, run_id: str) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = None
        while True:
            answer = self._ask(queries.EVENTS, {"runId": run_id, "cursor": cursor})["logsForRun"]
            page = _expect(answer, "EventConnection")
            yield from page["events"]
            if not page["hasMore"]:
                return
            if page["cursor"] == cursor:
                raise UnexpectedAnswer(f"Dagster has more events of run {run_id}, and gives the cursor {cursor!r} again")
            cursor = page["cursor"]

    # Assets

    @_reading_answers()
    def partition_state(self, asset: str, partition: str) -> PartitionState:
        """State of a partition. Keys of daily partitions sort chronologically.

        Raises:
            UnknownAsset: Dagster does not have the asset.
            NoPartition: the asset has no partitions.
        """
        answer = self._ask(queries.PARTITION, {"asset": _path(asset), "partition": partition})["assetNodeOrError"]
        if answer["__typename"] == "AssetNotFoundError":
            raise self._unknown([asset])
        node = _expect(answer, "AssetNode")
        first = node["partitionKeyConnection"]
        if first is None or not first["results"]:
            raise NoPartition(
                f"{asset} has no partitions in Dagster, so a task cannot wait for {partition}; export the DAGs again"
            )
        return PartitionState(materialized=bool(node["assetMaterializations"]), before_first=partition < first["results"][0])

    def _check_partition(self, assets: Sequence[str], partition: str) -> None:
        """Check that the partition exists. Dagster would launch a run without it, whose steps then fail."""
        nodes = self._ask(queries.PARTITION_KEYS, {"assets": [_path(asset) for asset in assets]})["assetNodes"]
        keys = {"/".join(node["assetKey"]["path"]): node["partitionKeys"] for node in nodes}
        if missing := [asset for asset in assets if asset not in keys]:
            raise self._unknown(missing)
        for asset in assets:
            if partition not in keys[asset]:
                has = f"{keys[asset][0]} to {keys[asset][-1]}" if keys[asset] else "no partitions"
                raise NoPartition(f"{asset} has no partition {partition} in Dagster; it has {has}")

    def _unknown(self, assets: Sequence[str]) -> UnknownAsset:
        self._code_location()  # raises if the location does not load, which is why its assets are missing
        return UnknownAsset(f"Dagster at {self.address.url} has no asset {', '.join(assets)}; export the DAGs again")

    def _code_location(self, job: str | None = None) -> tuple[str, str]:
        """Names of the code location and its repository.

        Raises:
            LaunchRefused: the location does not load.
            BadConnection: the location does not exist, or there are several and the Airflow Connection names none.
            UnknownAsset: the location does not have the job.
        """
        entries = _expect(self._ask(queries.WORKSPACE, {})["workspaceOrError"], "Workspace")["locationEntries"]
        entry = _the_one(entries, self.address.location, f"Dagster at {self.address.url} has the code locations", "_location")
        loaded = entry["locationOrLoadError"]
        if loaded is None:
            raise LaunchRefused(f"Dagster is still loading the code location {entry['name']}; try again")
        if loaded["__typename"] == "PythonError":
            raise LaunchRefused(f"Dagster cannot load the code location {entry['name']}: {': '.join(cause(loaded))}")
        holder = f"The code location {entry['name']} has the repositories"
        repository = _the_one(loaded["repositories"], self.address.repository, holder, "")
        jobs = [each["name"] for each in repository["jobs"]]
        if job is not None and job not in jobs:
            has = ", ".join(name for name in jobs if not name.startswith("__")) or "none"
            raise UnknownAsset(f"Dagster has no job {job} in {entry['name']}; its jobs: {has}. Export the DAGs again")
        return entry["name"], repository["name"]

    # Requests

    def _attempts(self, retry: Callable[[BaseException], bool]) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(retry),
            stop=tenacity.stop_after_delay(self._patience),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10) + tenacity.wait_random(0, 0.5),
            reraise=True,
        )

    def _ask(self, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send an idempotent request, with retries."""
        return self._attempts(lambda error: isinstance(error, DagsterUnreachable))(self._post, query, variables)

    def _post(self, query: str, variables: Mapping[str, Any], timeout: float = 60.0) -> Mapping[str, Any]:
        url = f"{self.address.url}/graphql"
        try:
            # following a redirect would turn the POST into a GET of a login page
            response = self._session.post(
                url, json={"query": query, "variables": variables}, timeout=(10, timeout), allow_redirects=False
            )
        except requests.exceptions.InvalidURL as error:
            raise BadConnection(
                f"{url} is not a valid URL: {error}; correct host and port of the Airflow Connection"
            ) from error
        except requests.exceptions.RequestException as error:
            message = (
                f"Dagster at {self.address.url} does not answer: {_why(error)}; start it, or correct the Airflow Connection"
            )
            raise DagsterUnreachable(message, sent=_was_sent(error)) from error
        status = response.status_code
        if status in _TEMPORARY:
            raise DagsterUnreachable(
                f"Dagster at {self.address.url} answers with status {status}; check the gateway in front of it"
            )
        if status in (401, 403) or 300 <= status < 400:
            raise AccessDenied(
                f"{self.address.url} answers with status {status}: it does not accept the credentials; "
                "correct login and password, or the headers in extra, of the Airflow Connection"
            )
        try:
            answer = response.json()
        except requests.exceptions.JSONDecodeError as error:
            raise UnexpectedAnswer(f"{url} answers with status {status} and no JSON; is it Dagster's webserver?") from error
        if not isinstance(answer, dict) or answer.get("errors") or not answer.get("data"):
            errors = answer.get("errors") if isinstance(answer, dict) else None
            messages = "; ".join(str(error.get("message")) for error in errors or [])
            raise UnexpectedAnswer(f"{url} answers with status {status}: {messages or 'no data'}")
        data: Mapping[str, Any] = answer["data"]
        return data


def _was_sent(error: requests.exceptions.RequestException) -> bool:
    """False only if the request cannot have reached a server, so that it may be sent again."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return not (isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError))


def _why(error: BaseException) -> str:
    """The operating system's message for the error, or the error's class name."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        link = link.__cause__ or link.__context__
    return type(error).__name__


def _expect(answer: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the answer if it has this type.

    Raises:
        AccessDenied, UnexpectedAnswer: the answer has another type; the message is Dagster's.
    """
    found = answer["__typename"]
    if found == kind:
        return answer
    message = ": ".join(cause(answer)) if found == "PythonError" else answer.get("message", "")
    if found == "UnauthorizedError":
        raise AccessDenied(f"Dagster does not permit this: {message}; is the webserver started with --read-only?")
    raise UnexpectedAnswer(f"Dagster answers with {found} instead of {kind}: {message}")


def _the_one(entries: Sequence[Mapping[str, Any]], name: str | None, holder: str, field: str) -> Mapping[str, Any]:
    """The entry with this name, or the only entry if `name` is None."""
    found = [entry for entry in entries if name in (None, entry["name"])]
    if len(found) != 1:
        names = ", ".join(entry["name"] for entry in entries) or "(none)"
        raise BadConnection(f'{holder} {names}; name one of them as "repository{field}" in the Airflow Connection\'s extra')
    return found[0]


def _run(run: Mapping[str, Any]) -> Run:
    return Run(
        run_id=run["runId"],
        status=run["status"],
        tags={tag["key"]: tag["value"] for tag in run["tags"]},
        assets=frozenset("/".join(key["path"]) for key in run["assetSelection"] or []),
        created=run["creationTime"],
    )


def _path(asset: str) -> dict[str, list[str]]:
    return {"path": asset.split("/")}


def _tag_inputs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
