"""Resources: they connect when they are first used."""

from __future__ import annotations

from functools import cached_property

import dagster as dg

from fraud_assets.source_client import SourceClient


class SourceResource(dg.ConfigurableResource[SourceClient]):
    """The three source APIs."""

    base_url: str

    @cached_property
    def client(self) -> SourceClient:
        return SourceClient(self.base_url)
