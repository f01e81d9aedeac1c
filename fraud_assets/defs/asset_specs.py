"""Days: the one partitions definition, the span of a run, and how tables that look back map to earlier days."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from fraud_assets.schemas.names import DATABASE
from hive_io import Span, Table
from hive_io.dagster.table_slices import asset_metadata

FRESH = dg.FreshnessPolicy.time_window(warn_window=dt.timedelta(minutes=75), fail_window=dt.timedelta(hours=2))
"""Today is refreshed every hour, or every few minutes by `fraud watch`: a tick that is missed warns, two are too many."""
BACKFILL = dg.BackfillPolicy.single_run()
"""Every asset computes any range of days in one step."""


def daily(first_day: dt.date) -> dg.DailyPartitionsDefinition:
    """A partition a day, today's included."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), fmt="%Y-%m-%d", end_offset=1)


def span_of(context: dg.AssetExecutionContext) -> Span:
    """The days that a step computes."""
    window = context.partition_time_window
    return Span(window.start, window.end)


def key(table: str) -> dg.AssetKey:
    return dg.AssetKey([DATABASE, table])


def deps(reads: Mapping[str, dt.timedelta | None]) -> list[dg.AssetDep]:
    """Dependencies on tables: on the same day, or on a number of days before it."""
    return [dg.AssetDep(key(table), partition_mapping=_mapping(reach)) for table, reach in reads.items()]


def _mapping(reach: dt.timedelta | None) -> dg.TimeWindowPartitionMapping:
    if reach is None:
        return dg.TimeWindowPartitionMapping()
    with previews():
        # days before the first day do not exist, and are no history
        return dg.TimeWindowPartitionMapping(
            start_offset=-reach.days, end_offset=-1, allow_nonexistent_upstream_partitions=True
        )


@contextmanager
def previews() -> Iterator[None]:
    """Features of Dagster that are in beta or preview in the version of `constraints.txt`, used on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


def spec(table: Table, *, group: str, kinds: set[str], owner: str, upsert: bool = False, **more: object) -> dg.AssetSpec:
    """The spec of a table's asset: its columns, description, group and owner."""
    return dg.AssetSpec(
        key(table.name),
        description=table.description,
        group_name=group,
        owners=[owner],
        kinds=kinds,
        metadata=asset_metadata(table, upsert=upsert),
        # nobody waits for refused rows
        freshness_policy=None if upsert else FRESH,
        **more,  # type: ignore[arg-type]
    )
