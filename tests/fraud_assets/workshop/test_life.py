"""The life of a rule: the gate of a promotion, what it writes, the lock file, and rules in a folder of the company's own."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from fraud_assets.detection.overrides import read_overrides
from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.detection.scaffold import write_scaffold
from fraud_assets.engine.engine import Engine
from fraud_assets.errors import RuleError
from fraud_assets.evaluation.maturity import Maturity
from fraud_assets.workshop.gate import Limits, check_examples, check_life, check_trial, refused
from fraud_assets.workshop.lock import differences, locked_rules, read_lock
from fraud_assets.workshop.rules_file import with_entry
from fraud_assets.workshop.trial import Compared, Tally, Trial
from hive_io import Span
from tests.fraud_assets.cli.test_main import fraud
from tests.fraud_assets.cli.test_main import refused as message
from tests.fraud_fixtures import book_with, rule_folder

FIRST = dt.date(2026, 3, 1)
SPAN = Span.days(FIRST, FIRST + dt.timedelta(days=19))
KNOWN = Maturity(FIRST + dt.timedelta(days=40), (0.0, 1.0))


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return read_rule_book()


def trial(
    book: RuleBook, *, precise: int = 50, gained: int = 100, lost: int = 0, frauds: int = 30, maturity: Maturity = KNOWN
) -> Trial:
    """Twenty days with 100 hits, some of them frauds, 1,000 alerts before, and what changes."""
    hits = Tally(100, precise, {"EUR": Decimal(precise)}, 100, precise)
    gone = Tally(lost, lost, {"EUR": Decimal(10 * lost)}, lost, lost)
    alerts = Compared(Tally(1000), Tally(1000 + gained - lost), Tally(gained), gone)
    rule = book.rules["high_value"]
    return Trial(rule, rule, SPAN, maturity, 5000, frauds, Compared(hits, hits, Tally(), Tally()), alerts, [], [])


# --- the gate -----------------------------------------------------------------------------------------------------------


def test_the_gate_lets_a_good_rule_through(book: RuleBook) -> None:
    findings = check_trial(trial(book), Limits(days=20, frauds=30, precision=0.5, alerts_a_day=5, frauds_lost=0))
    assert refused(findings) == [] and len(findings) == 5


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({"precise": 49}, "precision 49.0% of 100 hits; at least 50.0%"),
        ({"gained": 101}, "+5.0 alerts a day (50.0 before); at most +5"),
        ({"gained": 1, "lost": 1}, "1 known frauds lost from alerts (10 EUR); at most 0"),
        ({"frauds": 29}, "29 known frauds in these days; at least 30"),
        ({"maturity": Maturity(SPAN.last_day, (0.0, 1.0))}, "19 days with nearly all frauds known; at least 20"),
        ({"maturity": Maturity(SPAN.last_day, ())}, "0 days with nearly all frauds known; at least 20"),
    ],
)
def test_each_limit_refuses_with_its_figures(book: RuleBook, worse: dict[str, object], said: str) -> None:
    limits = Limits(days=20, frauds=30, precision=0.5, alerts_a_day=5, frauds_lost=0)
    assert refused(check_trial(trial(book, **worse), limits)) == [said]  # type: ignore[arg-type]


def test_a_rule_without_good_examples_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "fraud_assets" / "rules"
    rules.mkdir(parents=True)
    _, examples = write_scaffold("large", tmp_path)
    rule = read_rule_book(rules).rules["large"]
    assert refused(check_examples(rule, Limits(noticed=1))) == []
    text = examples.read_text()
    weak = text[: text.index("- example: At the boundary")].replace("amount: 1000.00", "amount: 2000.00")
    examples.write_text(weak.replace('{hit: "1000.00 is', '{hit: "2000.00 is'))
    [said] = refused(check_examples(rule, Limits(noticed=1)))
    assert "the examples notice " in said and "at least 100%" in said
    examples.write_text(text.replace("near miss: no hit", "near miss: hit"))
    [said] = refused(check_examples(rule, Limits()))
    assert "fraud rules test large" in said
    examples.unlink()
    [said] = refused(check_examples(rule, Limits()))
    assert str(examples) in said


@pytest.mark.parametrize(
    ("status", "target", "said"),
    [
        ("draft", "active", "promote it to shadow first"),
        ("retired", "active", "promote it to shadow first"),
        ("active", "active", "active already"),
        ("active", "retired", "--why"),
    ],
)
def test_steps_that_a_life_does_not_have(tmp_path: Path, status: str, target: str, said: str) -> None:
    book = book_with(tmp_path, {}, f"high_value: {{status: {status}}}", ["high_value"])
    with pytest.raises(RuleError, match=said):
        check_life(book.rules["high_value"], target, False, " ")
    check_life(book.rules["high_value"], "retired", False, "no fraud in a year") if status != "retired" else None


# --- the rules file -----------------------------------------------------------------------------------------------------

TEXT = """\
# of the bank
velocity: {status: shadow}  # loud

# above the entry
high_value:
  # inside it
  weight: 0.4
  params:
    thresholds: {EUR: 1}

# below
structuring: {params: {least_share: 0.9}}
"""


def test_an_entry_is_changed_and_the_rest_stays(tmp_path: Path) -> None:
    changed = with_entry(
        TEXT, "high_value", {"status": "active", "params": {"thresholds": {"EUR": Decimal("2.50"), None: 3}}}, "why"
    )
    path = tmp_path / "rules.yaml"
    path.write_text(changed)
    read = read_overrides(path)
    assert not read.problems
    entry = read.of("high_value")
    assert (entry.status, entry.weight, entry.params) == ("active", 0.4, {"thresholds": {"EUR": 2.5, None: 3}})
    lines = changed.splitlines()
    assert lines[:5] == [*TEXT.splitlines()[:4], "# inside it"] and lines[5] == "# why"
    assert changed.endswith(TEXT[TEXT.index("\n# below") :])
    assert read.of("velocity").status == "shadow"


def test_params_are_added_to_those_of_the_file(tmp_path: Path) -> None:
    changed = with_entry(TEXT, "structuring", {"status": "active", "params": {"least_transfers": 4}}, "why")
    (tmp_path / "rules.yaml").write_text(changed)
    assert read_overrides(tmp_path / "rules.yaml").of("structuring").params == {"least_share": 0.9, "least_transfers": 4}
    assert changed.startswith(TEXT[: TEXT.index("structuring")])


@pytest.mark.parametrize("text", ["", "{}\n", "# our rules\n{}\n"])
def test_an_empty_file_may_say_so(text: str) -> None:
    changed = with_entry(text, "b", {"status": "shadow"}, "why")
    assert yaml.safe_load(changed) == {"b": {"status": "shadow"}} and "# why\nb:" in changed
    assert changed.startswith(text.removesuffix("{}\n"))


@pytest.mark.parametrize("text", ["", "a: {status: shadow}", "# only a comment\n"])
def test_a_new_entry_goes_to_the_end(text: str) -> None:
    changed = with_entry(text, "b", {"status": "shadow"}, "one\ntwo")
    assert changed == f"{text}{'' if not text or text[-1] == chr(10) else chr(10)}# one\n# two\nb:\n  status: shadow\n"


@pytest.mark.parametrize("text", ["{a: {status: shadow}}", "- a", "a: ["])
def test_a_file_that_cannot_be_changed_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="the rules file"):
        with_entry(text, "b", {"status": "shadow"}, "why")


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_promote_writes_what_passed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "FRAUD_RULES_FILE" in message(fraud("rules", "promote", "high_value"))
    path = tmp_path / "rules.yaml"
    path.write_text("high_value: {status: draft}\n")
    monkeypatch.setenv("FRAUD_RULES_FILE", str(path))
    assert "nosuch" in message(fraud("rules", "promote", "nosuch"))
    said = message(fraud("rules", "promote", "blacklisted_merchants", "--to", "shadow", "--least-noticed", "1",
                         "--warehouse", tmp_path / "none"))  # fmt: skip
    assert "does not exist" in said, "leaving alerts is tried on stored days"
    assert path.read_text() == "high_value: {status: draft}\n"
    shown = fraud("rules", "promote", "high_value", "--dry-run", "--by", "alice")
    assert shown.exit_code == 0 and "+  status: shadow" in shown.stdout
    assert path.read_text() == "high_value: {status: draft}\n"
    assert fraud("rules", "promote", "high_value", "--by", "alice", "--why", "to see its hits").exit_code == 0
    assert path.read_text().startswith("# ")
    assert "alice: draft to shadow: to see its hits" in path.read_text()
    assert read_rule_book(overrides=path).rules["high_value"].status == "shadow"


def test_rules_that_are_not_evaluated_have_no_table_in_the_engine(tmp_path: Path) -> None:
    book = book_with(
        tmp_path, {}, "high_value: {status: retired}\nvelocity: {status: draft}", ["high_value", "velocity", "structuring"]
    )
    assert [rule.name for rule in book.evaluated] == ["structuring"]
    names = [table.name for table in Engine(book).per_transaction]
    assert "structuring" in names and not {"high_value", "velocity"} & {*names}


# --- the lock file ------------------------------------------------------------------------------------------------------


def test_the_rules_of_the_package_are_as_locked() -> None:
    """After a reviewed change of a rule: `fraud rules lock`."""
    assert differences(read_lock(RULES_FOLDER), locked_rules(RULES_FOLDER)) == []


def test_a_rule_that_changed_came_or_went_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = rule_folder(tmp_path / "rules", {}, ["high_value", "velocity"])
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(folder))
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    assert fraud("rules", "lock").exit_code == 0
    assert fraud("rules", "lock", "--check").exit_code == 0
    text = (folder / "high_value.sql").read_text()
    (folder / "high_value.sql").write_text(text.replace("-- source: ", "-- source: Again, "))
    assert fraud("rules", "lock", "--check").exit_code == 0, "a source changes no hit"
    (folder / "high_value.sql").write_text(text.replace("t.amount > th", "t.amount >= th"))
    (folder / "velocity.sql").unlink()
    shutil.copy(RULES_FOLDER / "structuring.sql", folder)
    said = message(fraud("rules", "lock", "--check"))
    assert "high_value is locked as" in said and "velocity is locked as" in said and "structuring is " in said
    assert "its file is gone" in said and "not locked" in said
    assert fraud("rules", "lock").exit_code == 0 and read_lock(folder) == locked_rules(folder)
    (folder / "rules.lock").write_text("high_value: [1]")
    assert "rules.lock" in message(fraud("rules", "lock", "--check"))


# --- rules of the company's own -----------------------------------------------------------------------------------------


def test_rules_of_the_company_stand_beside_ours_or_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(RULES_FOLDER / "high_value.sql", own / "our_limit.sql")
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(own))
    count = len([*RULES_FOLDER.glob("*.sql")])
    assert fraud("rules", "check", "--warehouse", tmp_path / "none").stdout.startswith(f"{count + 1} rules and ")
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    assert fraud("rules", "check", "--warehouse", tmp_path / "none").stdout.startswith("1 rules and ")
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(tmp_path / "nowhere"))
    assert "FRAUD_RULES_FOLDER" in message(fraud("rules", "list"))


def test_a_new_rule_goes_to_the_folder_of_the_company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_RULES_FOLDER", str(tmp_path / "own"))
    assert "FRAUD_RULES_FOLDER" in message(fraud("rules", "new", "far_above"))
    (tmp_path / "own").mkdir()
    assert fraud("rules", "new", "far_above").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["far_above.examples.yaml", "far_above.sql"]
    monkeypatch.setenv("FRAUD_SHIPPED_RULES", "off")
    tested = fraud("rules", "test")
    assert (tested.exit_code, tested.stdout) == (0, "far_above: 5 examples, all pass\n")


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    own = rule_folder(tmp_path / "own", {}, ["high_value"])
    with pytest.raises(RuleError, match=f"{own}/high_value.sql:1: .*rename one"):
        read_rule_book([RULES_FOLDER, own])
