"""Rows that are made to break a parser: extreme numbers, deep nesting, arbitrary JSON. Each costs itself, never its page."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import orjson
import pytest
from flask import Flask, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud_assets.ingestion.batch import payload, row_id
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.ingestion.validate import validate
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS
from mock_sources.serving import serving
from tests.fraud_fixtures import SPAN, served

READABLE = "amount_is_readable"


@pytest.mark.parametrize(
    "amount",
    ["1e-999999999", "1e-5000000", "1e-2999", "1e-36", "1e-31", "0e-9999999", "1e999999999", "1e30", 10**4000, 1e-320, -1e300],
)
def test_extreme_amounts_are_rejected(amount: Any) -> None:
    batch = validate(TRANSACTIONS, [served("transactions", amount=amount), served("transactions", transaction_id="t2")], SPAN)
    assert batch.rejected.column("claims").to_pylist() == [[READABLE]]
    assert batch.rows.column("transaction_id").to_pylist() == ["t2"]


@pytest.mark.parametrize(("amount", "stored"), [("1e2", "100.00"), ("12.50", "12.50"), (0.1, "0.10"), ("1.2E1", "12.00")])
def test_ordinary_amounts_are_loaded(amount: Any, stored: str) -> None:
    rows = validate(TRANSACTIONS, [served("transactions", amount=amount)], SPAN).rows
    assert rows.column("amount").to_pylist() == [Decimal(stored)]


def test_a_tiny_exponent_does_not_end_the_process() -> None:
    code = (
        "from fraud_assets.ingestion.validate import validate; from fraud_assets.schemas.sources import TRANSACTIONS; "
        "from tests.fraud_fixtures import SPAN, served; "
        "print(validate(TRANSACTIONS, [served('transactions', amount='1e-999999999')], SPAN).rejected.num_rows)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.strip()) == (0, "1"), ended.stderr


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# orjson decodes 1,024 levels, Python's json about 990
@pytest.mark.parametrize("depth", [10, 500, 985, 995, 1005, 1015, 1025, 3000, 100_000])
@pytest.mark.parametrize("table", ["transactions", "fraud_reports"])
def test_a_row_nested_deep_costs_only_itself(table: str, depth: int) -> None:
    good, other = served(table), served(table)
    key = API_TABLES[table].table.key[0]
    other[key] = "other"
    deep = f'{{"{key}": "[]{{", "zz": {nested(depth)}}}'
    body = f"[{json.dumps(good)}, {deep}, {json.dumps(other)}]"
    if table == "fraud_reports":
        body = f'{{"fraud_reports": {body}}}'
    app = Flask("source")
    app.add_url_rule("/api/<path:name>", view_func=lambda name: Response(body, content_type="application/json"))
    with serving(app) as url, SourceClient(url, attempts=1) as client:
        (rows,) = client.transactions(SPAN) if table == "transactions" else client.fraud_reports(SPAN)
    batch = validate(API_TABLES[table], rows, SPAN)
    assert (batch.rows.num_rows, batch.rejected.num_rows) == (2, 1)
    (kept,) = batch.rejected.column("payload").to_pylist()
    assert kept.replace(" ", "") == deep.replace(" ", "")


def test_a_row_that_json_cannot_write_is_written_all_the_same() -> None:
    row = orjson.loads(f'{{"b": {nested(1000)}, "a": [1, "x", {{"y": null}}]}}')
    with pytest.raises(RecursionError):
        json.dumps(row)
    assert payload(row) == f'{{"a": [1, "x", {{"y": null}}], "b": {nested(1000)}}}'
    assert row_id(row) == row_id(orjson.loads(payload(row)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.from_regex(r"[+-]?[0-9.eE+-]{0,12}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("table", [*API_TABLES])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_is_loaded_or_rejected(table: str, data: st.DataObject) -> None:
    api = API_TABLES[table]
    row = served(table)
    paths = data.draw(st.lists(st.sampled_from(sorted(api.paths.values())), min_size=1, max_size=4))
    for path in paths:
        inner = row
        for key in path[:-1]:
            inner = inner[key] if isinstance(inner.get(key), dict) else inner.setdefault(key + "_", {})
        inner[path[-1]] = data.draw(JSON)
    rows = [row, data.draw(JSON)]
    batch = validate(api, rows, SPAN)
    assert batch.served == 2
    assert sum(day.loaded + day.rejected + day.superseded for day in batch.days.values()) == 2
