"""The one error tree of this package."""

from __future__ import annotations


class MockSourceError(Exception):
    """Anything this package refuses; the message says what to do."""


class BadParameter(MockSourceError):
    """A query parameter cannot be used as given; answered with status 400."""


class BadConfiguration(MockSourceError):
    """A source or a fault was set up with values that make no sense."""


class UnreadableFile(MockSourceError):
    """A replay file does not exist or is not Parquet."""


class MissingColumns(MockSourceError):
    """A replay file lacks columns."""


class BadColumn(MockSourceError):
    """A replay file's column has the wrong type or holds nulls."""
