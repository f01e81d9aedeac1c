"""The examples of rules hold on a HiveServer2, where they run without a table."""

from __future__ import annotations

from contextlib import closing

import pytest

from fraud_assets.detection.overrides import Overrides
from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule
from fraud_assets.workshop.examples import read_examples
from hive_io import HiveServer, HiveServer2Warehouse

# constants that Hive would fold into joins, a table without rows
RULES = ["blacklisted_merchants", "new_account_activity"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_the_examples_of_a_rule_pass(name: str, server: HiveServer) -> None:
    examples = read_examples(read_rule(RULES_FOLDER / f"{name}.sql", Overrides()))
    assert examples is not None
    with closing(HiveServer2Warehouse(server)) as warehouse:
        assert examples.failures(on=warehouse) == []
        assert warehouse.tables("fintech") == []
