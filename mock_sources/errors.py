"""Errors of this package."""

from __future__ import annotations


class MockSourceError(Exception):
    """Base class. Each message says what to do."""


class BadParameter(MockSourceError):
    """A query parameter is unknown or has an invalid value; answered with status 400."""


class BadConfiguration(MockSourceError):
    """A source or a fault was configured with an invalid value."""


class UnreadableFile(MockSourceError):
    """A replay file does not exist or is not a Parquet file."""


class MissingColumns(MockSourceError):
    """A replay file lacks columns."""


class BadColumn(MockSourceError):
    """A column of a replay file has the wrong type, nulls or non-finite numbers."""
