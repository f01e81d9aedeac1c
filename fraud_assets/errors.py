"""The exceptions of this package. Each message says what was expected, what was found, and what to do."""


class FraudError(Exception):
    """An error that the operator can act on; commands print its message without a traceback."""


class SourceError(FraudError):
    """A source does not answer, or its answer breaks the protocol.

    Attributes:
        wait: seconds until the next attempt, from the source's Retry-After header; 0 if it named none.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class RunCancelled(FraudError):
    """A run was cancelled before it was complete. Running its days again completes it."""


class RuleError(FraudError):
    """A rule or feature file is invalid; the message names file and line."""


class ListError(FraudError):
    """A list, or an entry of one, is not valid; of a file, the message names it and the line."""


class SettingsError(FraudError):
    """A setting is unknown or has an invalid value."""


class TransactionNotFound(FraudError):
    """The warehouse has no transaction with this id."""


class LabelsError(FraudError):
    """A file of labels cannot be read."""


class DeskDatabaseError(FraudError):
    """The desk's database cannot be used."""


class CaseError(FraudError):
    """A case does not allow what was asked for."""


class CaseNotFound(CaseError):
    """There is no such case."""


class WrongStatus(CaseError):
    """The case's status does not allow the change, such as a second decision."""


class CaseChanged(CaseError):
    """The case was changed after the person saw it; the message says by whom, when and to what."""
