"""Mock sources of a fraud pipeline: a synthetic world or a labelled file behind one HTTP API."""

from mock_sources.app import create_app
from mock_sources.errors import (
    BadColumn,
    BadConfiguration,
    BadParameter,
    MissingColumns,
    MockSourceError,
    UnreadableFile,
)
from mock_sources.faults import Faults
from mock_sources.http_faults import HttpFaults
from mock_sources.load import LoadedWorld
from mock_sources.replay import LabelledReplay
from mock_sources.serving import running, serve
from mock_sources.source import Source
from mock_sources.world import World

__all__ = [
    "BadColumn",
    "BadConfiguration",
    "BadParameter",
    "Faults",
    "HttpFaults",
    "LabelledReplay",
    "LoadedWorld",
    "MissingColumns",
    "MockSourceError",
    "Source",
    "UnreadableFile",
    "World",
    "create_app",
    "running",
    "serve",
]
