"""A client for what the bridge needs of Dagster's GraphQL, for Dagster 1.13. Needs neither Dagster nor Airflow."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
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
"""Drawn anew for each launch: finds the run again when Dagster's answer to the launch was lost."""

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
_GATEWAY_SAYS_LATER = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Address:
    """Where Dagster's webserver is, and how to be let in. Its repr shows no credentials.

    Attributes:
        url: of the webserver, without a trailing slash.
        location, repository: the code location that has the assets; None where the webserver has only one.
        launch_timeout: seconds in which Dagster answers a launch. It takes 2 to 10 s, and more under load.
        patience: seconds that Dagster may be away before a request fails.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    location: str | None = None
    repository: str | None = None
    launch_timeout: float = 120.0
    patience: float = 300.0

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.url}/runs/{run_id}"


@dataclass(frozen=True)
class Run:
    """A run as Dagster knows it; `created` is in epoch seconds of Dagster's clock."""

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
    """One partition of an asset.

    Attributes:
        before_first: the partition lies before the asset's first one, so there is nothing to wait for.
    """

    materialized: bool
    before_first: bool

    @property
    def ready(self) -> bool:
        return self.materialized or self.before_first


class DagsterClient:
    """Each call is one or a few requests. Requests that change nothing are repeated while Dagster is away, for
    `patience` seconds; `patience` 0 asks once.

    Every method raises DagsterUnreachable, AccessDenied and UnexpectedAnswer beside what it says.
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

    def launch(self, assets: Sequence[str], *, job: str | None, partition: str | None, tags: Mapping[str, str]) -> Run:
        """Start one run that materializes the assets and evaluates their checks.

        A launch is never sent twice on suspicion: if the answer is lost, the run is looked up by a tag of its own.

        Args:
            assets: asset keys, `fintech/transactions`.
            job: None for Dagster's own job of all assets.
            partition: None for assets without partitions.

        Raises:
            UnknownAsset, NoPartition, LaunchRefused: nothing was started.
            DagsterUnreachable: the answer was lost and no run has been seen; it may still appear.
        """
        token = uuid.uuid4().hex
        wanted = {**tags, LAUNCH_TAG: token} | ({PARTITION_TAG: partition} if partition is not None else {})
        location, repository = self._code_location(job)
        if partition is not None:
            self._check_partition(assets, partition)
        selector = {
            "jobName": job or "__ASSET_JOB",
            "repositoryName": repository,
            "repositoryLocationName": location,
            "assetSelection": [_path(asset) for asset in assets],
            # assetCheckSelection is left out on purpose: an empty one would skip the blocking checks
        }
        params = {"selector": selector, "executionMetadata": {"tags": _tag_inputs(wanted)}}
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
        """The run of a launch whose answer was lost: Dagster may have been slow, or gone away just after."""
        until = time.monotonic() + self.address.launch_timeout
        while True:
            if found := self.find_runs({LAUNCH_TAG: token}):
                return found[0]
            if time.monotonic() > until:
                raise DagsterUnreachable(
                    f"The answer to the launch was lost, and no run with the tag {LAUNCH_TAG}={token} has appeared in "
                    f"{self.address.launch_timeout:.0f} s. The next try adopts it if it does. {lost}"
                ) from lost
            time.sleep(2)

    def find_runs(self, tags: Mapping[str, str], limit: int = 25) -> list[Run]:
        """The newest runs that have all these tags, newest first."""
        answer = self._ask(queries.FIND_RUNS, {"tags": _tag_inputs(tags), "limit": limit})["runsOrError"]
        return [_run(run) for run in _expect(answer, "Runs")["results"]]

    def run(self, run_id: str) -> Run:
        """A run by its id.

        Raises:
            RunFailed: Dagster does not have it; it was deleted.
        """
        answer = self._ask(queries.RUN, {"runId": run_id})["runOrError"]
        if answer["__typename"] == "RunNotFoundError":
            raise RunFailed(f"Dagster has no run {run_id} any more: somebody deleted it. The next try starts a new one.")
        return _run(_expect(answer, "Run"))

    def terminate(self, run_id: str, within: float = 20.0) -> None:
        """Tell a run to stop; it may take a while until it is CANCELED. A run that has ended stays as it is.

        Dagster cannot tell a run that is starting, and it would not help to set its state: its process starts all the same.
        So it is told again, for `within` seconds.

        Raises:
            NotStopped: Dagster could not tell it.
        """
        until = time.monotonic() + within
        while (refused := self._tell_to_stop(run_id, "SAFE_TERMINATE")) is not None:
            status = self.run(run_id).status
            if status in (*ENDED, "CANCELING"):
                return
            if time.monotonic() > until:
                # only a run that was made and never launched has no process
                if status == "NOT_STARTED" and self._tell_to_stop(run_id, "MARK_AS_CANCELED_IMMEDIATELY") is None:
                    return
                raise NotStopped(f"Run {run_id} goes on: {refused} End it in Dagster. {self.address.run_url(run_id)}")
            time.sleep(0.5)

    def _tell_to_stop(self, run_id: str, policy: str) -> str | None:
        """What Dagster has against it, or None."""
        answer = self._ask(queries.TERMINATE, {"runId": run_id, "policy": policy})["terminateRun"]
        if answer["__typename"] == "TerminateRunFailure":
            return str(answer["message"])
        _expect(answer, "TerminateRunSuccess")
        return None

    def failure(self, run: Run) -> BridgeError:
        """Why a run that ended without success did: the error that the task should end with."""
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
            cursor = page["cursor"]

    # Assets

    def partition_state(self, asset: str, partition: str) -> PartitionState:
        """Whether a partition is there. Keys of daily partitions sort as their days do.

        Raises:
            UnknownAsset, NoPartition: no such asset, or it has no partitions.
        """
        answer = self._ask(queries.PARTITION, {"asset": _path(asset), "partition": partition})["assetNodeOrError"]
        if answer["__typename"] == "AssetNotFoundError":
            raise self._unknown([asset])
        node = _expect(answer, "AssetNode")
        first = node["partitionKeyConnection"]
        if first is None or not first["results"]:
            raise NoPartition(f"{asset} has no partitions in Dagster, so {partition} of it cannot be waited for")
        return PartitionState(materialized=bool(node["assetMaterializations"]), before_first=partition < first["results"][0])

    def _check_partition(self, assets: Sequence[str], partition: str) -> None:
        """Dagster launches a run for a partition that does not exist, and lets its steps fail."""
        nodes = self._ask(queries.PARTITION_KEYS, {"assets": [_path(asset) for asset in assets]})["assetNodes"]
        keys = {"/".join(node["assetKey"]["path"]): node["partitionKeys"] for node in nodes}
        if missing := [asset for asset in assets if asset not in keys]:
            raise self._unknown(missing)
        for asset in assets:
            if partition not in keys[asset]:
                has = f"those from {keys[asset][0]} to {keys[asset][-1]}" if keys[asset] else "no partitions"
                raise NoPartition(f"{asset} has no partition {partition} in Dagster; it has {has}")

    def _unknown(self, assets: Sequence[str]) -> UnknownAsset:
        self._code_location()  # a location that does not load has no assets either: that is told of first
        return UnknownAsset(f"Dagster at {self.address.url} has no asset {', '.join(assets)}; export the DAGs again")

    def _code_location(self, job: str | None = None) -> tuple[str, str]:
        """Names of the code location and its repository, in which the job is.

        Raises:
            LaunchRefused: it does not load.
            BadConnection: there is no such location, or several, and the Airflow Connection names none.
            UnknownAsset: there is no such job.
        """
        entries = _expect(self._ask(queries.WORKSPACE, {})["workspaceOrError"], "Workspace")["locationEntries"]
        entry = _the_one(entries, self.address.location, f"Dagster at {self.address.url} has the code locations", "_location")
        found = entry["locationOrLoadError"]
        if found is None:
            raise LaunchRefused(f"Dagster is still loading the code location {entry['name']}; try again")
        if found["__typename"] == "PythonError":
            raise LaunchRefused(f"Dagster cannot load the code location {entry['name']}: {': '.join(cause(found))}")
        said = f"The code location {entry['name']} has the repositories"
        repository = _the_one(found["repositories"], self.address.repository, said, "")
        jobs = [each["name"] for each in repository["jobs"]]
        if job is not None and job not in jobs:
            has = ", ".join(name for name in jobs if not name.startswith("__")) or "none"
            raise UnknownAsset(f"Dagster has no job {job} in {entry['name']}; its jobs: {has}. Export the DAGs again")
        return entry["name"], repository["name"]

    # Requests

    def _attempts(self, again: Callable[[BaseException], bool]) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(again),
            stop=tenacity.stop_after_delay(self._patience),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10) + tenacity.wait_random(0, 0.5),
            reraise=True,
        )

    def _ask(self, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """A request that may be repeated."""
        return self._attempts(lambda error: isinstance(error, DagsterUnreachable))(self._post, query, variables)

    def _post(self, query: str, variables: Mapping[str, Any], timeout: float = 60.0) -> Mapping[str, Any]:
        url = f"{self.address.url}/graphql"
        try:
            # a redirect would turn the POST into a GET, of a login page
            response = self._session.post(
                url, json={"query": query, "variables": variables}, timeout=(10, timeout), allow_redirects=False
            )
        except requests.exceptions.InvalidURL as error:
            raise BadConnection(f"{url} cannot be asked: {error}; correct host and port of the Airflow Connection") from error
        except requests.exceptions.RequestException as error:
            said = f"Dagster at {self.address.url} does not answer: {_why(error)}; start it, or correct the Airflow Connection"
            raise DagsterUnreachable(said, sent=_was_sent(error)) from error
        status = response.status_code
        if status in _GATEWAY_SAYS_LATER:
            raise DagsterUnreachable(f"Dagster at {self.address.url} answers with status {status}")
        if status in (401, 403) or 300 <= status < 400:
            raise AccessDenied(
                f"{self.address.url} answers with status {status}: it wants other credentials; "
                "correct login and password, or the headers in extra, of the Airflow Connection"
            )
        try:
            answer = response.json()
        except requests.exceptions.JSONDecodeError as error:
            raise UnexpectedAnswer(f"{url} answers with status {status} and no JSON; is it Dagster's webserver?") from error
        if not isinstance(answer, dict) or answer.get("errors") or not answer.get("data"):
            errors = answer.get("errors") if isinstance(answer, dict) else None
            said = "; ".join(str(error.get("message")) for error in errors or [])
            raise UnexpectedAnswer(f"{url} answers with status {status}: {said or 'no data'}")
        data: Mapping[str, Any] = answer["data"]
        return data


def _was_sent(error: requests.exceptions.RequestException) -> bool:
    """False only where nobody can have got the request: then it may be sent again."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return not (isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError))


def _why(error: BaseException) -> str:
    """The operating system's word for it, where it has one."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        link = link.__cause__ or link.__context__
    return type(error).__name__


def _expect(answer: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The answer, if it is of this type.

    Raises:
        AccessDenied, UnexpectedAnswer: with what Dagster says instead.
    """
    found = answer["__typename"]
    if found == kind:
        return answer
    said = ": ".join(cause(answer)) if found == "PythonError" else answer.get("message", "")
    if found == "UnauthorizedError":
        raise AccessDenied(f"Dagster does not allow it: {said}; is the webserver started with --read-only?")
    raise UnexpectedAnswer(f"Dagster answers with {found}: {said}")


def _the_one(entries: Sequence[Mapping[str, Any]], name: str | None, said: str, field: str) -> Mapping[str, Any]:
    """The entry of this name, or the only one."""
    found = [entry for entry in entries if name in (None, entry["name"])]
    if len(found) != 1:
        names = ", ".join(entry["name"] for entry in entries) or "(none)"
        raise BadConnection(f'{said} {names}; name one of them as "repository{field}" in the Airflow Connection\'s extra')
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
