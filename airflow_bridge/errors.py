"""Errors of the bridge. Each message states what happened in Dagster and what to do. Needs neither Airflow nor Dagster."""

from __future__ import annotations

from typing import ClassVar


class BridgeError(Exception):
    """A task could not materialize its assets."""

    retry_may_cure: ClassVar[bool] = True
    """True if Airflow should retry the task; False if every retry would fail the same way."""


class DagsterUnreachable(BridgeError):
    """Dagster did not answer within the configured patience.

    Attributes:
        sent: True if the request may have reached Dagster.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(BridgeError):
    """The answer is not one of Dagster's GraphQL API."""

    retry_may_cure = False


class AccessDenied(BridgeError):
    """Dagster, or a proxy in front of it, rejected the credentials of the Airflow Connection."""

    retry_may_cure = False


class BadConnection(BridgeError):
    """A field of the Airflow Connection is missing or has an invalid value."""

    retry_may_cure = False


class UnknownAsset(BridgeError):
    """Dagster does not have the asset or the job."""

    retry_may_cure = False


class NoPartition(BridgeError):
    """The Airflow run does not determine a Dagster partition, or the asset does not have that partition."""

    retry_may_cure = False


class LaunchRefused(BridgeError):
    """Dagster did not start the run."""


class PartitionNotReady(BridgeError):
    """An earlier partition that the assets read was not materialized before the deadline."""


class RunFailed(BridgeError):
    """The Dagster run failed; the message names the step and the cause."""


class CheckFailed(RunFailed):
    """A blocking asset check failed, so nothing downstream may start."""


class RunCanceled(BridgeError):
    """The run was canceled in Dagster. Clearing the Airflow task starts a new run."""

    retry_may_cure = False


class RunTimedOut(BridgeError):
    """The run did not end before the task's deadline; Dagster was asked to stop it."""


class NotStopped(BridgeError):
    """A run that was asked to stop is still running, because Dagster cannot reach its process."""
