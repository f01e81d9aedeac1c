"""Extra columns of a source file: in the table after its own columns, in rules, and in what corrections leave."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.configured_rules import rule_book
from fraud_assets.engine.corrections import remove_moved
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import RuleError
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span

DAY = dt.date(2026, 1, 5)
ONE, BOTH = Span.days(DAY, DAY), Span.days(DAY, DAY + dt.timedelta(days=1))
SOURCE = """\
tables:
  transactions:
    files: {path: rows.csv}
    columns: {transaction_id: id, event_time: at, amount: amt, merchant_id: m, customer_id: c}
"""
EXTRA = """\
    extra:
      ip: {from: client.ip, mask: last4}
      balance: {from: bal, type: "DECIMAL(18,2)", decimal: ","}
      attempts: {from: tries, type: BIGINT}
      seen_at: {from: seen, type: TIMESTAMP, format: epoch_s}
      is_new: {from: new, type: BOOLEAN, values: {J: true, N: false}}
      tags: {from: tags, type: ARRAY<STRING>}
      score: {expression: "bal || '!'"}
"""
HEADER = "id,at,amt,m,c,client,bal,tries,seen,new,tags\n"
ROWS = """\
a,2026-01-05 10:00:00,1.00,m,c,"{""ip"": ""10.0.0.17""}","-1,50",5000000000,1767607200,J,"x, y"
b,2026-01-05 11:00:00,2.00,m,c,,,,,,
c,2026-01-05 12:00:00,3.00,m,c,,1.5,1.5,soon,maybe,
"""
RULE = """\
-- title: Shared address
-- description: A test of extra columns.
-- blind_spot: Everything else.
-- severity: low
-- weight: 0.2
-- reason: "{attempts} attempts from {ip}"
-- source: a test
SELECT transaction_id, customer_id, event_time, ip, attempts
FROM transactions
WHERE is_new AND attempts > 3 AND balance < 0
"""


def write(folder: Path, extra: str = EXTRA, rows: str = ROWS) -> Path:
    (folder / "rows.csv").write_text(HEADER + rows)
    (folder / "source.yaml").write_text(SOURCE + extra)
    return folder / "source.yaml"


def loaded(folder: Path, lake: EmbeddedWarehouse, span: Span = ONE) -> None:
    with MappedSource.of(folder / "source.yaml") as source:
        load(source.file.tables["transactions"].api, source, lake, span, 1.0)


def test_extra_columns_land_after_the_others_and_old_rows_have_null(tmp_path: Path) -> None:
    lake = EmbeddedWarehouse(tmp_path / "lake")
    write(tmp_path, "", ROWS.replace("01-05", "01-04"))
    loaded(tmp_path, lake, Span.days(DAY - dt.timedelta(days=1), DAY - dt.timedelta(days=1)))
    write(tmp_path)
    loaded(tmp_path, lake)
    names = ["ip", "balance", "attempts", "seen_at", "is_new", "tags", "score"]
    assert set(lake.schema("fintech.transactions").names) == {*TRANSACTIONS.table.arrow_schema.names, *names}
    rows = {(r["ds"], r["transaction_id"]): r for r in lake.read("fintech.transactions").to_pylist()}
    first = rows["2026-01-05", "a"]
    assert [first[name] for name in names] == [
        "****0.17", Decimal("-1.50"), 5_000_000_000, dt.datetime(2026, 1, 5, 10), True, ["x", "y"], "-1,50!",
    ]  # fmt: skip
    assert [rows["2026-01-05", "b"][name] for name in names] == [None] * 7
    assert [rows["2026-01-04", "c"][name] for name in names] == [None] * 7
    # a value that cannot be read rejects its row, as in any other column
    (refused,) = lake.read("fintech.transactions_rejected").to_pylist()
    readable = [f"{name}_is_readable" for name in ("attempts", "balance", "is_new", "seen_at")]
    assert (refused["claims"], "soon" in refused["payload"]) == (readable, True)


def test_a_rule_reads_extra_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_SOURCE", str(write(tmp_path)))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shared_address.sql").write_text(RULE)
    engine = Engine(rule_book(read_settings(), tmp_path / "rules"))
    lake = EmbeddedWarehouse(tmp_path / "lake")
    loaded(tmp_path, lake)
    lake.replace(engine.tables["shared_address"], engine.query("shared_address", ONE), ONE)
    (hit,) = lake.read("fintech.shared_address").to_pylist()
    assert (hit["transaction_id"], hit["reason"]) == ("a", "5000000000 attempts from ****0.17")


def test_check_accepts_a_rule_with_extra_columns_of_the_source_file_only(tmp_path: Path) -> None:
    source, rules = write(tmp_path), tmp_path / "rules"
    rules.mkdir()
    (rules / "shared_address.sql").write_text(RULE)
    words = ["rules", "check", str(rules), "--warehouse", str(tmp_path / "lake")]
    assert CliRunner().invoke(main, [*words, "--source", str(source)]).exit_code == 0
    lake = EmbeddedWarehouse(tmp_path / "lake")
    lake.ensure_table(TRANSACTIONS.table)
    waiting = CliRunner().invoke(main, [*words, "--source", str(source)])
    assert (waiting.exit_code, "transactions.ip" in waiting.output) == (0, True)
    without = CliRunner().invoke(main, words)
    assert isinstance(without.exception, SystemExit) and without.exit_code == 1
    assert "no column ip" in without.output
    (rules / "shared_address.sql").write_text(RULE.replace("WHERE is_new AND", "WHERE is_new = 'yes' AND"))
    wrong = CliRunner().invoke(main, [*words, "--source", str(source)])
    assert (wrong.exit_code, "BOOLEAN" in wrong.output.upper()) == (1, True)


def test_a_correction_keeps_the_extra_columns_of_other_rows(tmp_path: Path) -> None:
    rows = ROWS.splitlines(keepends=True)
    write(tmp_path, rows=rows[0] + rows[0].replace("a,", "z,", 1) + rows[0].replace("01-05", "01-06"))
    lake = EmbeddedWarehouse(tmp_path / "lake")
    loaded(tmp_path, lake, BOTH)
    table = read_source_file(tmp_path / "source.yaml").tables["transactions"].api.table
    assert remove_moved(lake, [], BOTH, 7, table).rows == 1
    found = {row["transaction_id"]: (row["ds"], row["attempts"]) for row in lake.read("fintech.transactions").to_pylist()}
    assert found == {"z": ("2026-01-05", 5_000_000_000), "a": ("2026-01-06", 5_000_000_000)}


@pytest.mark.parametrize(
    ("extra", "parts"),
    [
        ("    extra: {amount: amt}\n", ["amount", "columns"]),
        ("    extra: {place_key: m}\n", ["place_key", "computed"]),
        ("    extra: {IP: client}\n", ["'IP'", "lower-case"]),
        ("    extra: {ip: {from: client, type: TEXT}}\n", ["'TEXT'", "STRING"]),
        ("    extra: {ip: {from: client, tpye: INT}}\n", ["'tpye'"]),
        ("    extra: {ip: {type: INT}}\n", ["from"]),
        ("    extra: [ip]\n", ["extra"]),
    ],
)
def test_mistakes_name_the_line_and_the_column(tmp_path: Path, extra: str, parts: list[str]) -> None:
    with pytest.raises(SourceFileError) as error:
        read_source_file(write(tmp_path, extra))
    message = str(error.value)
    assert ":5: " in message and all(part in message for part in parts), message


def test_other_tables_have_no_extra_columns(tmp_path: Path) -> None:
    more = "  fraud_reports:\n    files: {path: rows.csv}\n    extra: {ip: client}\n    columns: {report_id: id, "
    with pytest.raises(SourceFileError, match="fraud_reports"):
        read_source_file(write(tmp_path, more + "reported_at: at, customer_id: c}\n"))


def test_a_missing_rule_column_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shared_address.sql").write_text(RULE)
    with pytest.raises(RuleError, match="known columns"):
        rule_book(read_settings(), tmp_path / "rules")


def test_the_check_shows_extra_columns(tmp_path: Path) -> None:
    result: Any = CliRunner().invoke(main, ["sources", "check", str(write(tmp_path))])
    assert "balance" in result.output and "attempts_is_readable" in result.output
    unmapped = CliRunner().invoke(main, ["sources", "check", str(write(tmp_path, "    extra: {ip: client.ip}\n"))])
    assert "bal, tries, seen, new, tags" in unmapped.output
