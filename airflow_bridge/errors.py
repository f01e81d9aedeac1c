"""One tree of errors; each message says what happened in Dagster and what to do. Needs neither Airflow nor Dagster."""

from __future__ import annotations

from typing import ClassVar


class BridgeError(Exception):
    """Why a task could not have its assets materialized."""

    retry_may_cure: ClassVar[bool] = True
    """Whether Airflow should try the task again; false where the next try would end the same way."""


class DagsterUnreachable(BridgeError):
    """Dagster did not answer, for longer than the patience that was asked for.

    Attributes:
        sent: whether the request may have reached it.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(BridgeError):
    """Something answered, but not as Dagster's GraphQL does."""

    retry_may_cure = False


class AccessDenied(BridgeError):
    """Dagster, or what stands before it, refused the credentials of the Airflow Connection."""

    retry_may_cure = False


class BadConnection(BridgeError):
    """The Airflow Connection lacks something, or has a value that cannot be used."""

    retry_may_cure = False


class UnknownAsset(BridgeError):
    """Dagster does not have the asset, or the job does not contain it."""

    retry_may_cure = False


class NoPartition(BridgeError):
    """It cannot be told which Dagster partition the Airflow run is for, or the asset has no such partition."""

    retry_may_cure = False


class LaunchRefused(BridgeError):
    """Dagster would not start the run."""


class PartitionNotReady(BridgeError):
    """An earlier partition that the assets read was not materialized in time."""


class RunFailed(BridgeError):
    """The Dagster run failed: at which step, because of what."""


class CheckFailed(RunFailed):
    """A blocking asset check failed; what is downstream must not start."""


class RunCanceled(BridgeError):
    """Somebody stopped the run in Dagster. Clearing the Airflow task starts it again."""

    retry_may_cure = False


class RunTimedOut(BridgeError):
    """The run did not end before the task's deadline, and was told to stop."""


class NotStopped(BridgeError):
    """A run that should stop goes on, because Dagster cannot reach its process."""
