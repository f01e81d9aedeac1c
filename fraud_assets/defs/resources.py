"""Dagster resources. They connect on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dagster as dg

from fraud_assets.ingestion.load import Source


def source_resource(connect: Callable[[], Source]) -> dg.ResourceDefinition:
    """The source, opened for each run.

    It has no config, since Dagster shows and stores config, and the address of a source may hold a password.
    """

    @dg.resource(description="What FRAUD_SOURCE describes, or the three APIs at FRAUD_SOURCE_URL.")
    def source(_: dg.InitResourceContext) -> Iterator[Source]:
        with connect() as client:
            yield client

    return source
