"""What connectors need by the settings: secrets from the environment, and limits."""

from __future__ import annotations

from fraud_assets.ingestion.http_client import Limits
from fraud_assets.ingestion.own_data.connectors.base import Context
from fraud_assets.settings import Settings, environment_variable


def connector_context(settings: Settings, attempts: int = 5) -> Context:
    """What connectors need besides the source file.

    Args:
        attempts: maximum number of requests for a page.
    """
    return Context(environment_variable, source_limits(settings), attempts)


def source_limits(settings: Settings) -> Limits:
    """Limits of what a source may send."""
    return Limits(
        settings.source_page_seconds,
        settings.source_page_megabytes,
        settings.source_load_seconds,
        settings.source_max_pages,
        settings.ahead_seconds,
    )
