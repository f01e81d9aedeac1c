"""The step of a source table: its metadata, and the audit that rejects a load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.defs.asset_specs import key
from fraud_assets.defs.ingestion import AUDIT
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse
from mock_sources import Faults, World, running
from tests.fraud_fixtures import DAY


def values(metadata: Any) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


@pytest.mark.parametrize(("limit", "passed"), [(1.0, True), (0.0, False)])
def test_rows_are_counted_and_too_many_rejected_ones_fail_the_audit(tmp_path: Path, limit: float, passed: bool) -> None:
    table, rejected = TRANSACTIONS.table, TRANSACTIONS.rejected
    with running(World(customers=60, merchants=60, faults=Faults(malformed=0.2))) as url:
        settings = read_settings(warehouse=str(tmp_path / "lake"), source_url=url, first_day=DAY)
        settings = settings.model_copy(update={"rejected_limit": limit})
        job = build_definitions(settings).resolve_job_def(JOB)
        step = job.get_subset(asset_selection={key(table.name), key(rejected.name)})
        with dagster_instance(settings) as instance:
            result = step.execute_in_process(instance=instance, partition_key=str(DAY), raise_on_error=False)
    (audit,) = [check for check in result.get_asset_check_evaluations() if check.check_name == AUDIT]
    assert (audit.passed, audit.blocking, audit.asset_key) == (passed, True, key(table.name))
    assert audit.metadata.keys() == {"rejected share", "broken claims"}
    broken = audit.metadata["broken claims"]
    assert isinstance(broken, dg.TableMetadataValue)
    assert broken.records and all(int(record.data["rows"]) > 0 and record.data["claim"] for record in broken.records)
    assert 0 < float(str(audit.metadata["rejected share"].value)) < 1
    lake = EmbeddedWarehouse(settings.warehouse)
    events = {event.asset_key: event for event in result.get_asset_materialization_events() if event.asset_key}
    assert lake.partitions(rejected.full_name)[str(DAY)] > 0, "rejected rows are kept either way"
    if passed:
        counts = values(events[key(table.name)].step_materialization_data.materialization.metadata)
        assert counts["rows served"] == (
            counts["rows loaded"] + counts["rows rejected"] + counts["older versions and repetitions"]
        )
        assert lake.partitions(table.full_name) == {str(DAY): counts["rows loaded"]}
    else:
        assert key(table.name) not in events and lake.partitions(table.full_name) == {}
        assert "the limit is 0%" in str(audit.description)
