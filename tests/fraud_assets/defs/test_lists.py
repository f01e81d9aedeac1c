"""The asset `lists`: what it writes, and the entries that its check reports."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from fraud_assets.defs.asset_specs import daily
from fraud_assets.defs.lists import IN_USE, list_assets
from fraud_assets.lists.files import add_entries
from fraud_assets.schemas.lists import LISTS
from hive_io import EmbeddedWarehouse
from hive_io.dagster.io_manager import HiveIOManagerFactory, WarehouseResource
from hive_io.table import DAY as A_DAY
from tests.fraud_assets.lists.test_files import NOW, entry
from tests.fraud_fixtures import DAY


def materialize(lake: EmbeddedWarehouse, folder: Path | None) -> tuple[list[tuple[str, str]], dg.AssetCheckEvaluation]:
    """The rows of two days by day and value, and the last evaluation of the check of entries."""
    resource = WarehouseResource(location=str(lake.root))
    definitions = dg.Definitions(
        list_assets(daily(DAY), folder),
        resources={"lake": resource, "io_manager": HiveIOManagerFactory(lake=resource)},
        executor=dg.in_process_executor,
    )
    tags = {"dagster/asset_partition_range_start": f"{DAY}", "dagster/asset_partition_range_end": f"{DAY + A_DAY}"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, tags=tags)
        checks = result.get_asset_check_evaluations()
    assert result.success and all(check.passed for check in checks if check.check_name != IN_USE)
    rows = lake.read(LISTS.full_name).sort_by([("ds", "ascending"), ("value", "ascending")]).to_pylist()
    return [(row["ds"], row["value"]) for row in rows], [check for check in checks if check.check_name == IN_USE][-1]


def test_the_lists_of_each_day_and_what_to_look_at(lake: EmbeddedWarehouse, tmp_path: Path) -> None:
    assert materialize(lake, None)[0] == []
    new = [entry("a"), entry("soon", until=NOW + 3 * A_DAY), entry("b", at=NOW + A_DAY)]
    add_entries(tmp_path, "cards", "block", new)
    rows, check = materialize(lake, tmp_path)
    assert rows == [("2026-01-05", "a"), ("2026-01-05", "soon"), *(("2026-01-06", name) for name in ("a", "b", "soon"))]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    [record] = check.metadata["to look at"].records  # type: ignore[union-attr]
    assert record.data == {"list": "cards", "entry": "card soon", "why": "ends at 2026-01-08T12:00:00Z"}
