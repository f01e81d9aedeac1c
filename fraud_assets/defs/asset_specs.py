"""Asset specs: the daily partitions, the span of a run, and dependencies with their lookback."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import API_TABLES
from hive_io import Span, Table
from hive_io.dagster.table_slices import asset_metadata

FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=dt.timedelta(minutes=75), fail_window=dt.timedelta(hours=2))
"""Freshness policy of a table. Today is refreshed every hour, or every few minutes by `fraud watch`: one missed tick warns,
two fail."""
BACKFILL = dg.BackfillPolicy.single_run()
"""Backfill policy of every asset: one step computes any range of days."""


def daily(first_day: dt.date) -> dg.DailyPartitionsDefinition:
    """One partition per day (UTC), from the first day to today inclusive."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), fmt="%Y-%m-%d", end_offset=1)


def span_of(context: dg.AssetExecutionContext) -> Span:
    """The days that a step computes."""
    window = context.partition_time_window
    return Span(window.start, window.end)


_WRITTEN_WITH = {api.loads.name: name for name, api in API_TABLES.items() if api.loads}
"""Records of loads, each with the table whose asset writes it."""


def key(table: str) -> dg.AssetKey:
    """The key of the asset that writes a table, given without its database."""
    return dg.AssetKey([DATABASE, _WRITTEN_WITH.get(table, table)])


def deps(reads: Mapping[str, dt.timedelta | None]) -> list[dg.AssetDep]:
    """Dependencies on tables.

    Args:
        reads: for each table, how many days before each day are read; None for the same day.
    """
    lookbacks = {key(table): lookback for table, lookback in reads.items()}
    return [dg.AssetDep(asset, partition_mapping=_mapping(lookback)) for asset, lookback in lookbacks.items()]


def _mapping(lookback: dt.timedelta | None) -> dg.TimeWindowPartitionMapping:
    if lookback is None:
        return dg.TimeWindowPartitionMapping()
    with previews():
        # days before the first partition do not exist; a run must not fail for them
        return dg.TimeWindowPartitionMapping(
            start_offset=-lookback.days, end_offset=-1, allow_nonexistent_upstream_partitions=True
        )


@contextmanager
def previews() -> Iterator[None]:
    """Silence the warnings for Dagster features that are in beta or preview in the version of `constraints.txt`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


def spec(
    table: Table,
    *,
    group: str,
    kinds: set[str],
    owner: str,
    upsert: bool = False,
    facts: Mapping[str, dg.MetadataValue] | None = None,
    **more: object,
) -> dg.AssetSpec:
    """The spec of a table's asset: columns, description, group and owner.

    Args:
        facts: metadata for people, which the asset's page shows.
        upsert: True for a table of rejected rows, which gets upserts by key and has no freshness policy.
        more: further arguments of `dg.AssetSpec`.
    """
    return dg.AssetSpec(
        key(table.name),
        description=table.description,
        group_name=group,
        owners=[owner],
        kinds=kinds,
        metadata={**asset_metadata(table, upsert=upsert), **(facts or {})},
        freshness_policy=None if upsert else FRESHNESS,
        **more,  # type: ignore[arg-type]
    )
