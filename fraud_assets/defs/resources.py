"""Dagster resources. They connect on first use."""

from __future__ import annotations

import dagster as dg
from pydantic import PrivateAttr

from fraud_assets.ingestion.http_source import SourceClient


class SourceResource(dg.ConfigurableResource[SourceClient]):
    """The source APIs."""

    base_url: str

    _client: SourceClient | None = PrivateAttr(default=None)

    @property
    def client(self) -> SourceClient:
        """The HTTP client of this run."""
        if self._client is None:
            self._client = SourceClient(self.base_url)
        return self._client

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        if self._client is not None:
            self._client.close()
