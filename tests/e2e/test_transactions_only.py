"""Two weeks of transactions and no other table: the run succeeds, and the rules judge as `fraud sources check` said."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.ingestion.http_source import SourceClient
from hive_io import EmbeddedWarehouse, Span
from mock_sources import World, running

pytestmark = pytest.mark.slow

FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 3, 14)
SPAN = Span.days(FIRST, LAST)
FEWEST = {
    "transaction_id": "transaction_id",
    "event_time": "date_time",
    "amount": "amount",
    "currency": "currency",
    "merchant_id": "merchant_details.merchant_id",
    "customer_id": "customer_id",
}
NOT_JUDGED = {
    "blacklisted_merchants": "blacklist",
    "impossible_travel": "merchant_latitude",
    "new_account_activity": "customers",
    "pass_through": "transaction_type",
    "structuring": "transaction_type",
    "suspicious_locations": "merchant_country",
}
"""Rules that judge nothing without other tables and columns, and a part of what the check names as the reason."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bank") / "payments.jsonl"
    later = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    with (
        running(World(customers=40, merchants=60, fraud_rate=0.05), now=lambda: later) as url,
        SourceClient(url) as client,
        file.open("w", encoding="utf-8") as out,
    ):
        for page in client.transactions(SPAN):
            out.writelines(json.dumps(row) + "\n" for row in page)
    return file


@pytest.mark.long
def test_transactions_alone_are_judged_as_the_check_said(rows: Path, tmp_path: Path) -> None:
    source, lake = tmp_path / "source.yaml", tmp_path / "lake"
    named = "".join(f"      {column}: {field}\n" for column, field in FEWEST.items())
    source.write_text(f"tables:\n  transactions:\n    files: {{path: {rows}}}\n    columns:\n{named}")
    check = CliRunner().invoke(main, ["sources", "check", str(source)], catch_exceptions=False, env={"COLUMNS": "300"})
    assert check.exit_code == 0, check.output
    said = {
        rule: (judges, why)
        for rule, judges, why in re.findall(r"^│ (\w+) +│ (yes|partly|no) +│ (.*?) *│$", check.output, re.MULTILINE)
    }
    words = ["run", "--source", str(source), "--from", str(FIRST), "--to", str(LAST + dt.timedelta(days=1))]
    run = CliRunner().invoke(main, [*words, "--warehouse", str(lake)], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    warehouse, engine = EmbeddedWarehouse(lake), Engine(read_rule_book())
    assert warehouse.read("fintech.transactions").num_rows == len(rows.read_text(encoding="utf-8").splitlines())
    judged = {
        rule.name: pc.sum(warehouse.query(engine.coverage(rule.name, SPAN)).column("judged")).as_py() or 0
        for rule in engine.book.evaluated
    }
    assert said.keys() == judged.keys()
    assert {name for name, count in judged.items() if not count} == NOT_JUDGED.keys()
    assert all(part in said[name][1] for name, part in NOT_JUDGED.items())
    # a rule that needs one of two columns is said to judge in part, without both
    assert {name for name, (judges, _) in said.items() if judges == "no"} == NOT_JUDGED.keys() - {"suspicious_locations"}
    assert warehouse.read("fintech.fraud_alerts").num_rows
    assert not any(warehouse.read(f"fintech.{table}").num_rows for table in ("customers", "blacklist", "fraud_reports"))
