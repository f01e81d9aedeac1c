"""`fraud features`: every feature with its meaning, and the points of its values."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fraud_assets.cli.main import main
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.scoring.card import Card, Part

FEATURES = set(read_rule_book().features["transaction_features"].meta.edges)


def output(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["features", *args])
    assert result.exit_code == code, result.output
    return result.output


def test_each_feature_is_listed_with_its_meaning() -> None:
    rows = json.loads(output("list", "--format", "json"))
    assert {row["feature"] for row in rows} == FEATURES
    assert all(row["meaning"].endswith(".") and row["type"] for row in rows)
    assert list(csv.DictReader(io.StringIO(output("list", "--format", "csv")))) == rows
    table = output("list")
    assert all(row["feature"] in table for row in rows)


def test_a_feature_is_shown_with_its_hiveql_and_points() -> None:
    shown = output("show", "transfers_out_24h")
    assert "SUM(CASE WHEN j.transaction_type = 'transfer_out'" in shown and "86399999999" in shown
    assert "learned on synthetic worlds" in shown and "not known" in shown


def test_the_points_of_a_pinned_card_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part(feature="new_country", edges=(1,), points=(-3, 41), missing=17)
    file = tmp_path / "card.json"
    file.write_text(Card(base=-100, features=(part,), origin="by [hand]").model_dump_json(), encoding="utf-8")
    monkeypatch.setenv("FRAUD_SCORECARD", str(file))
    shown = output("show", "new_country")
    assert all(text in shown for text in ("by [hand]", "-3", "41", "17"))
    assert "Points" not in output("show", "amount")


def test_an_unknown_feature_is_an_error_that_names_the_others() -> None:
    assert all(text in output("show", "colour", code=1) for text in ("no feature colour", "new_country"))
