"""The history of rules: what lock and promote record, and which versions in force have passed."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from fraud_assets.clock import Clock
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RULES_FOLDER, read_rule_book
from fraud_assets.errors import RuleError
from fraud_assets.schemas.detection import RULE_VERSIONS
from fraud_assets.workshop.history import HISTORY, history_of_file, read_history, records_of, standing
from fraud_assets.workshop.versions import version_rows
from hive_io import EmbeddedWarehouse, Span
from hive_io.table import DAY as A_DAY
from tests.fraud_assets.cli.test_main import fraud, refused
from tests.fraud_fixtures import DAY, SPAN, rule_folder

CLOCK = Clock(lambda: dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the company's own with two locked rules, and an empty rules file."""
    made = rule_folder(tmp_path / "rules", {}, ["high_value", "velocity"])
    shutil.copy(RULES_FOLDER / "high_value.examples.yaml", made)
    (tmp_path / "rules.yaml").write_text("")
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(made))
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(tmp_path / "rules.yaml"))
    monkeypatch.setenv("FRAUD_WAREHOUSE", str(tmp_path / "lake"))
    return made


def locked(*options: str) -> None:
    result = fraud("rules", "lock", *options, clock=CLOCK)
    assert result.exit_code == 0, result.output


def rule(folder: Path, name: str = "high_value") -> Rule:
    return read_rule_book(folder, overrides=folder.parent / "rules.yaml").rules[name]


def said(folder: Path, name: str = "high_value") -> tuple[bool, str]:
    found = standing(rule(folder, name), folder.parent / "rules.yaml")
    return found.passed, found.said


def edit(folder: Path) -> None:
    path = folder / "high_value.sql"
    path.write_text(path.read_text().replace("t.amount > th", "t.amount >= th"))


def test_a_rule_file_that_changed_has_not_passed_until_it_is_locked(folder: Path) -> None:
    edit(folder)
    assert said(folder)[0], "a folder without a lock file is held against nothing"
    locked("--by", "ann", "--why", "our first rules")
    assert said(folder) == (True, f"as in {folder / 'rules.lock'}")
    path = folder / "high_value.sql"
    path.write_text(path.read_text().replace("t.amount >= th", "t.amount > th"))
    passed, why = said(folder)
    assert not passed and rule(folder).version in why and "fraud rules lock" in why
    assert said(folder, "velocity")[0]
    locked("--by", "bob", "--why", "equal is no excess")
    assert said(folder)[0]
    recorded = [(each.rule, each.by, each.why) for each in read_history(folder / HISTORY)]
    first = [(name, "ann", "our first rules") for name in ("high_value", "velocity")]
    assert recorded == [*first, ("high_value", "bob", "equal is no excess")]
    locked()
    assert len(read_history(folder / HISTORY)) == 3, "what did not change is not recorded again"


def test_params_that_nobody_promoted_have_not_passed(folder: Path) -> None:
    locked()
    rules_file = folder.parent / "rules.yaml"
    rules_file.write_text("high_value: {params: {thresholds: {EUR: 1}}}\n")
    assert said(folder)[0], "a rules file without a history is held against nothing"
    rules_file.write_text("high_value: {status: draft}\nvelocity: {weight: 0.3}\n")
    promoted = fraud("rules", "promote", "high_value", "--by", "ann", "--why", "to see it", clock=CLOCK)
    assert promoted.exit_code == 0, promoted.output
    assert said(folder)[0] and said(folder, "velocity") == (
        True,
        "promoted by ann on 2026-01-05: as before the first promotion",
    )
    [record] = records_of(rule(folder), rules_file)[1:]
    assert (record.status, record.by, record.why) == ("shadow", "ann", "to see it")
    assert any("mistakes" in each for each in record.findings)
    rules_file.write_text("high_value: {params: {thresholds: {EUR: 1}}}\nvelocity: {weight: 0.3}\n")
    passed, why = said(folder)
    assert not passed and "promoted was" in why and "by ann" in why
    assert "high_value otherwise" in refused(fraud("rules", "lock", "--check"))
    locked("--why", "agreed in the board")
    assert said(folder)[0] and fraud("rules", "lock", "--check").exit_code == 0


def test_the_last_record_counts(folder: Path) -> None:
    """Params that were in force once, and are set by hand again, were not promoted again."""
    locked()
    rules_file = folder.parent / "rules.yaml"
    history_of_file(rules_file).write_text("")
    texts = [f"high_value: {{params: {{thresholds: {{EUR: {amount}}}}}}}\n" for amount in (1, 2)]
    for text in texts:
        rules_file.write_text(text)
        locked()
        assert said(folder)[0]
    rules_file.write_text(texts[0])
    assert not said(folder)[0]


def test_a_history_that_is_none_is_named(folder: Path) -> None:
    path = history_of_file(folder.parent / "rules.yaml")
    path.write_text('{"rule": "high_value"}\n')
    with pytest.raises(RuleError, match=f"{path}:1: "):
        read_history(path)


def test_the_versions_of_a_rule_are_shown(folder: Path, lake: EmbeddedWarehouse) -> None:
    locked("--by", "ann", "--why", "our first rules")
    old = rule(folder)
    lake.ensure_table(RULE_VERSIONS)
    lake.upsert(RULE_VERSIONS, version_rows([old, rule(folder, "velocity")], None, Span.days(DAY, DAY + A_DAY)))
    edit(folder)
    new = rule(folder)
    lake.upsert(RULE_VERSIONS, version_rows([new], None, SPAN))
    lake.upsert(RULE_VERSIONS, version_rows([new], None, SPAN))
    shown = json.loads(fraud("rules", "history", "high_value", "--format", "json").stdout)
    days = ["2026-01-05", "2026-01-06"]
    assert [(each["version"], each["by"], each["first_day"], each["last_day"], each["in_force"]) for each in shown] == [
        (old.version, "ann", *days, False),
        (new.version, "", days[0], days[0], True),
    ]
    assert shown[1]["query"] == new.file.text.strip() and shown[0]["params"] == shown[1]["params"]
    stored = {
        row["version"]: row for row in lake.read(RULE_VERSIONS.full_name, span=SPAN).to_pylist() if row["rule"] == old.name
    }
    assert (stored[old.version]["changed_by"], stored[old.version]["reason"]) == ("ann", "our first rules")
    assert stored[new.version]["changed_at"] is None
    text = fraud("rules", "history", "high_value").stdout
    assert "not recorded" in text and "in force" in text and "why: our first rules" in text
    assert "no rule nosuch" in refused(fraud("rules", "history", "nosuch"))
