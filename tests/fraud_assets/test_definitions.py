"""The asset graph: a snapshot that shows every change in review; loading the definitions opens no connection."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg

from fraud_assets.clock import Clock
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.ingestion import AUDIT
from fraud_assets.defs.latest_partition import LATEST_DAY
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from mock_sources import World, running
from tests.fraud_fixtures import DAY

SNAPSHOT = Path(__file__).parent / "asset_graph.json"


def test_the_asset_graph_is_as_reviewed() -> None:
    """After an intended change, write the file again: `python -m tests.fraud_assets.test_definitions`."""
    assert graph() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_selected_assets_can_be_materialized_alone(tmp_path: Path) -> None:
    """As a task in Airflow, or a user in Dagster, requests it."""
    with running(World(customers=30, merchants=60)) as url:
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=DAY)
        keys = {key("blacklist"), key("blacklist_rejected")}
        definitions = build_definitions(settings, Clock(lambda: dt.datetime.combine(DAY, dt.time(12), dt.UTC)))
        job = definitions.resolve_job_def(JOB).get_subset(asset_selection=keys)
        with dagster_instance(settings) as instance:
            result = job.execute_in_process(instance=instance, partition_key=str(DAY))
    checks = {(check.check_name, check.passed) for check in result.get_asset_check_evaluations()}
    assert {event.asset_key for event in result.get_asset_materialization_events()} == keys
    assert (AUDIT, True) in checks and (LATEST_DAY, False) not in checks


def test_definitions_load_without_warehouse_and_source(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings = read_settings(warehouse=str(tmp_path / "file" / "lake"), source_url="http://127.0.0.1:9")
    dg.Definitions.validate_loadable(build_definitions(settings))


def test_every_asset_is_described() -> None:
    for spec in build_definitions(read_settings()).resolve_all_asset_specs():
        assert spec.description and spec.owners and spec.kinds and spec.group_name, spec.key
        assert spec.key.path[0] == "fintech"
        assert spec.metadata["dagster/column_schema"].columns[-1].name == "ds"


def graph() -> dict[str, object]:
    """The key, dependencies with their partition mappings, checks, owners, partitions and columns of every asset."""
    definitions = build_definitions(read_settings())
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    checks: dict[str, list[str]] = {}
    for check in definitions.resolve_asset_graph().asset_check_keys:
        checks.setdefault(check.asset_key.to_user_string(), []).append(check.name)
    result: dict[str, object] = {}
    for asset in sorted(specs, key=lambda k: k.to_user_string()):
        spec = specs[asset]
        deps = {d.asset_key.to_user_string(): _mapping(d.partition_mapping) for d in spec.deps}
        result[asset.to_user_string()] = {
            "group": spec.group_name,
            "owners": list(spec.owners),
            "kinds": sorted(spec.kinds),
            "partitions": type(spec.partitions_def).__name__,
            "deps": dict(sorted(deps.items())),
            "checks": sorted(checks.get(asset.to_user_string(), [])),
            "columns": {c.name: c.type for c in spec.metadata["dagster/column_schema"].columns},
        }
    return result


def _mapping(mapping: dg.PartitionMapping | None) -> str:
    if isinstance(mapping, dg.TimeWindowPartitionMapping) and mapping.start_offset:
        return f"days {mapping.start_offset} to {mapping.end_offset}"
    return "same day"


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph(), indent=2) + "\n", encoding="utf-8")
