"""One tree of errors; each message says what to do."""


class FraudError(Exception):
    """Something that the person who runs the pipeline can act on."""


class SourceError(FraudError):
    """A source did not answer, or not with what was agreed.

    Attributes:
        wait: seconds that it asks to be left alone for.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class RuleError(FraudError):
    """A rule (or feature) file cannot be used: which file, which line, and why."""


class SettingsError(FraudError):
    """A setting is unknown or has a value that cannot be used."""


class TransactionNotFound(FraudError):
    """No transaction with this id in the warehouse."""
