"""Rules and features together: what a rule file must be, what a rules file may change, what makes another version."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from fraud_assets.detection.rule import Rule, RuleFrontMatter
from fraud_assets.detection.rule_book import FEATURES_FOLDER, RULES_FOLDER, read_rule_book
from fraud_assets.detection.rule_check import check_rule
from fraud_assets.errors import RuleError
from fraud_assets.schemas.catalog import FEATURE_TABLES, fixed_tables
from fraud_assets.schemas.detection import rule_table
from fraud_assets.sql.files import read_file
from tests.fraud_fixtures import book_with, rule_folder

ALL = sorted(path.stem for path in RULES_FOLDER.glob("*.sql"))
FIVE = ["blacklisted_merchants", "high_risk_activity", "high_value", "suspicious_locations", "unusual_transaction"]

NIGHT = """\
-- title: Night
-- description: Its reason is that most_money is spent at night.
-- blind_spot: What is spent by day.
-- severity: low
-- weight: 0.2
-- params:
--   least: {type: decimal, default: 4, min: 0, max: 100, description: The amount from which it counts.}
-- reason: "{amount} is at least {least}"
-- source: A test.
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  -- what is at least that much
  t.amount >= :least AS hit,
  t.amount
FROM transactions t
"""


def line_of(text: str, needle: str) -> int:
    [number] = [number for number, line in enumerate(text.splitlines(), 1) if needle in line]
    return number


def rule_of(folder: Path, text: str = NIGHT, name: str = "night.sql") -> Rule:
    """A rule as its file says it."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    file = read_file(path, RuleFrontMatter)
    return Rule(file, file.meta.severity, file.meta.status, file.meta.weight)


def refused(folder: Path, text: str, name: str = "night.sql") -> str:
    """What is said of a rule file, without its folder."""
    with pytest.raises(RuleError) as error:
        check_rule(rule_of(folder, text, name), fixed_tables())
    return str(error.value).removeprefix(f"{folder}/")


# --- the book -----------------------------------------------------------------------------------------------------------


def test_the_rules_and_features_that_come_with_the_package() -> None:
    book = read_rule_book()
    assert list(book.rules) == ALL and set(FIVE) < set(ALL)
    assert list(book.features) == sorted(FEATURE_TABLES)
    assert [rule.name for rule in book.evaluated] == [rule.name for rule in book.alerting] == ALL
    assert all(0 < rule.weight < 1 for rule in book.evaluated)
    assert len({rule.version for rule in book.evaluated}) == len(ALL)
    assert len(book.rules["high_value"].version) == 12


def test_a_file_added_to_the_folder_is_a_rule_with_its_table(tmp_path: Path) -> None:
    book = book_with(tmp_path, {"night.sql": NIGHT}, of_the_package=FIVE)
    rule = book.rules["night"]
    assert [rule.name for rule in book.alerting] == sorted([*FIVE, "night"])
    assert book.tables()["night"] == rule_table("night", "Its reason is that most_money is spent at night.")
    assert rule.table.time_column == "event_time"
    assert rule.returns == ["transaction_id", "customer_id", "event_time", "hit", "amount"]
    assert rule.evidence == {"amount": pa.decimal128(18, 2)}
    assert (rule.severity, rule.status, rule.weight) == ("low", "active", 0.2)


def test_a_folder_may_have_no_rules(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    book = read_rule_book(tmp_path / "rules")
    assert (book.rules, book.evaluated, book.alerting) == ({}, [], [])


@pytest.mark.parametrize(
    ("status", "evaluated", "alerting"), [("active", True, True), ("shadow", True, False), ("retired", False, False)]
)
@pytest.mark.parametrize("where", ["file", "overrides"])
def test_shadow_rules_are_evaluated_and_retired_ones_are_not(
    tmp_path: Path, where: str, status: str, evaluated: bool, alerting: bool
) -> None:
    if where == "file":
        book = book_with(tmp_path, {"night.sql": NIGHT.replace("-- severity", f"-- status: {status}\n-- severity")})
    else:
        book = book_with(tmp_path, {"night.sql": NIGHT}, f"night: {{status: {status}}}")
    assert book.rules["night"].status == status
    assert ("night" in [rule.name for rule in book.evaluated]) is evaluated
    assert ("night" in [rule.name for rule in book.alerting]) is alerting
    assert ("night" in book.tables()) is evaluated


# --- rule files that are refused ----------------------------------------------------------------------------------------

WRONG = [
    ("-- severity: low", "-- severity: awful", "severity: awful", "Input should be 'low', 'medium', 'high' or 'critical'"),
    ("SELECT\n", "WITH\njudged AS (SELECT 1 AS x)\nSELECT\n", "judged AS", "the name judged is taken"),
    ("-- weight: 0.2", "-- weight: 1", "weight: 1", "weight: Input should be less than 1"),
    ("-- weight: 0.2", "-- weight: 0", "weight: 0", "weight: Input should be greater than 0"),
    ("-- weight: 0.2", "-- weight: .nan", "weight: .nan", "weight: "),
    (
        "-- weight: 0.2",
        "-- weight: 0.2\n-- status: sleeping",
        "status: sleeping",
        "Input should be 'active', 'shadow' or 'retired'",
    ),
    ("-- weight: 0.2", "-- weight: 0.2\n-- history: {transactions: 1d}", "history", "history: Extra inputs"),
    ("-- source: A test.\n", "", None, "source: is missing"),
    ("-- blind_spot: What is spent by day.\n", "", None, "blind_spot: is missing"),
    ("What is spent by day.", "' '", "-- blind_spot", "blind_spot: String should match pattern"),
    (
        "  t.customer_id,\n",
        "",
        "SELECT",
        "the SELECT must return customer_id; it returns transaction_id, event_time, hit, amount",
    ),
    ("  t.event_time,\n", "", "SELECT", "the SELECT must return event_time"),
    ("  t.transaction_id,\n", "  t.transaction_id AS id,\n", "SELECT", "the SELECT must return transaction_id"),
    (
        "  t.amount\n",
        "  t.amount,\n  CAST(t.amount AS DOUBLE) / 3 AS most_money\n",
        "AS most_money",
        "most_money is a DOUBLE; cast evidence to DECIMAL",
    ),
    ("  t.amount\n", "  t.amount,\n  t.merchant_latitude\n", "t.merchant_latitude", "merchant_latitude is a DOUBLE"),
    ('"{amount} is', '"{price} is', "-- reason:", "reason names {price}, which is neither evidence nor param (amount, least)"),
    ('"{amount} is', '"{customer_id} is', "-- reason:", "reason names {customer_id}"),
    ('"{amount} is', '"{} is', "-- reason:", "reason names {}"),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN fraud_reports r\n  ON r.transaction_id = t.transaction_id",
        "JOIN fraud_reports",
        "a rule cannot read fraud_reports",
    ),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN customer_daily_activity a\n  ON a.customer_id = t.customer_id",
        "JOIN customer_daily",
        "a rule cannot read customer_daily_activity",
    ),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN transactions_rejected r\n  ON r.ds = t.ds",
        "JOIN transactions_rejected",
        "a rule cannot read transactions_rejected",
    ),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN high_value h\n  ON h.ds = t.ds",
        "JOIN high_value",
        "there is no table fintech.high_value",
    ),
    ("FROM transactions t", "FROM nosuch t", "FROM nosuch", "there is no table fintech.nosuch"),
    ("  t.amount\n", "  t.amount,\n  t.nosuch\n", "t.nosuch", "t has no column nosuch"),
    ("  t.amount\n", "  t.amount,\n  :nosuch AS x\n", ":nosuch", ":nosuch is not among the params"),
    (":least AS hit", "4 AS hit", "least: {", "param least is stated and never used"),
    ("  t.amount\n", "  t.amount,\n  RAND() AS x\n", "RAND()", "is not in the allow-list"),
    ("  t.amount\n", "  t.amount,\n  AVG(t.amount) OVER () AS x\n", "AVG", "last digits differ"),
    ("  t.amount\n", "  t.amount,\n  t.customer_id + t.event_time AS x\n", "SELECT", ""),
    ("FROM transactions t", "FROM transactions t\nWHERE", "WHERE", ""),
]


@pytest.mark.parametrize(("old", "new", "where", "said"), WRONG)
def test_a_wrong_rule_is_refused_with_its_line(tmp_path: Path, old: str, new: str, where: str | None, said: str) -> None:
    assert NIGHT.count(old) == 1
    text = NIGHT.replace(old, new)
    message = refused(tmp_path, text)
    assert said in message
    assert message.startswith(f"night.sql:{line_of(text, where) if where else 1}: ")
    assert "\n" not in message.rstrip("\n") or not said


@pytest.mark.parametrize(
    "name", ["Night.sql", "2nights.sql", "late-night.sql", "transactions.sql", "fraud_alerts.sql", "blacklist_rejected.sql"]
)
def test_a_file_is_named_like_a_table_of_its_own(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, NIGHT, name).startswith(f"{name}:1: a rule's file is named like a table that does not exist yet")


def test_everything_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    wrong = {
        "a_rule.sql": "SELECT 1",
        "high_value.sql": NIGHT.replace("FROM transactions", "FROM nosuch"),
        "night.sql": NIGHT.replace("0.2", "7"),
    }
    rules = rule_folder(tmp_path / "rules", wrong, ["high_risk_activity"])
    features = tmp_path / "features"
    shutil.copytree(FEATURES_FOLDER, features)
    (features / "customer_profiles.sql").unlink()
    (features / "merchant_profiles.sql").write_text("-- title: x\n-- description: y\nSELECT 1 AS merchant_id")
    (features / "nosuch.sql").write_text("-- title: x\n-- description: y\nSELECT 1 AS x")
    overrides = tmp_path / "overrides.yaml"
    overrides.write_text("velocity: {weight: 0.5}\nhigh_risk_activity: {params: {times_mean: -1}}")
    with pytest.raises(RuleError) as error:
        read_rule_book(rules, features, overrides)
    said = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line.split(": ")[0] for line in said] == [
        "rules/a_rule.sql:1",
        "overrides.yaml:2",
        "rules/high_value.sql:17",
        "rules/night.sql:5",
        "features/merchant_profiles.sql:3",
        "features/nosuch.sql:1",
        "features",
        "overrides.yaml:1",
    ]
    missing = "place, transactions, reports, reports_7, reports_1, ds"
    assert said[4] == f"features/merchant_profiles.sql:3: the SELECT must return {missing}"
    assert said[5:] == [
        "features/nosuch.sql:1: there is no such table in schemas.py",
        "features: there is no customer_profiles.sql",
        "overrides.yaml:1: velocity: is neither rule nor feature",
    ]


# --- overrides ----------------------------------------------------------------------------------------------------------


def test_a_rules_file_changes_params_status_weight_and_severity(tmp_path: Path) -> None:
    book = book_with(
        tmp_path,
        {"night.sql": NIGHT},
        "night: {params: {least: 7.5}, weight: 0.9, severity: critical}\n"
        "high_value: {params: {thresholds: {EUR: 10, null: 20}}}\n"
        "customer_profiles: {params: {history_days: 30}}\n",
        ["high_value"],
    )
    night = book.rules["night"]
    assert (night.file.values, night.weight, night.severity, night.status) == (
        {"least": Decimal("7.5")},
        0.9,
        "critical",
        "active",
    )
    assert book.rules["high_value"].file.values == {"thresholds": {"EUR": Decimal(10), None: Decimal(20)}}
    assert book.features["customer_profiles"].values == {"history_days": 30}
    assert book.features["customer_countries"].values == {"history_days": 90}


def test_an_empty_rules_file_changes_nothing(tmp_path: Path) -> None:
    book = book_with(tmp_path, {"night.sql": NIGHT}, "# nothing yet\n")
    assert {name: rule.version for name, rule in book.rules.items()} == {"night": rule_of(tmp_path).version}


def test_a_wrong_override_names_the_rules_file_and_its_line(tmp_path: Path) -> None:
    overrides = "night: {params: {least: .nan}}\ndawn: {params: {most: 1}}\ncustomer_profiles: {weight: 0.5}\n"
    overrides += "customer_countries: {params: {history_days: 91}}\nevening: {weight: 0.5}"
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, {"night.sql": NIGHT, "dawn.sql": NIGHT}, overrides)
    assert str(error.value).replace(f"{tmp_path}/", "").splitlines() == [
        "overrides.yaml:2: dawn.params.most: is none of its params (least)",
        "overrides.yaml:1: night.params.least: takes 0 to 100, not nan",
        "overrides.yaml:4: customer_countries.params.history_days: takes 1 to 90, not 91",
        "overrides.yaml:3: customer_profiles.weight: is a feature; a rules file can change its params only",
        "overrides.yaml:5: evening: is neither rule nor feature",
    ]


def test_a_wrong_rules_file_is_refused_entry_by_entry(tmp_path: Path) -> None:
    entries = {
        "night: {weight: 1}": "night.weight: Input should be less than 1",
        "a: {weight: 0}": "a.weight: Input should be greater than 0",
        "b: {severity: bad}": "b.severity: Input should be 'low', 'medium', 'high' or 'critical'",
        "c: {status: off}": "c.status: Input should be 'active', 'shadow' or 'retired'",
        "d: {lookback: 5d}": "d.lookback: Extra inputs are not permitted",
        "e: {params: 5}": "e.params: Input should be a valid dictionary",
        "f: 5": "f: takes params, status, weight and severity, like {status: shadow}",
        "g:": "g: takes params, status, weight and severity, like {status: shadow}",
    }
    files = {f"{name}.sql": NIGHT for name in "abcdefg"}
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, {"night.sql": NIGHT.replace("0.2", "7"), **files}, "\n".join(entries))
    said = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    assert said[:-1] == [f"overrides.yaml:{line}: {message}" for line, message in enumerate(entries.values(), 1)]
    assert said[-1].startswith("rules/night.sql:5: weight: Input should be less than 1")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (b"- night", "overrides.yaml:1: says nothing about rules; it looks like `high_value: {params: {\u2026}}`"),
        (b"night", "overrides.yaml:1: says nothing about rules"),
        (b"night: {}\ndawn: {weight: 0.5", "overrides.yaml:2: is not YAML"),
        (b"night: {params: {least: !!python/name:os.system x}}", "overrides.yaml:1: is not YAML"),
        (b"night: {severity: \xe9}", "overrides.yaml:1: is not UTF-8"),
    ],
)
def test_a_rules_file_of_another_kind_is_refused(tmp_path: Path, overrides: bytes, said: str) -> None:
    (tmp_path / "overrides.yaml").write_bytes(overrides)
    with pytest.raises(RuleError) as error:
        read_rule_book(tmp_path, overrides=tmp_path / "overrides.yaml")
    assert str(error.value).removeprefix(f"{tmp_path}/").startswith(said)


def test_a_rules_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch.yaml", tmp_path):
        with pytest.raises(RuleError, match=r"the rules file cannot be read .*; FRAUD_RULES_FILE names it"):
            read_rule_book(tmp_path, overrides=path)


def test_every_param_that_a_rules_file_gets_wrong_is_said(tmp_path: Path) -> None:
    overrides = "# ours\nhigh_value:\n  params:\n    thresholds:\n      {EUR: lots}\n    tresholds: {EUR: 5}\n"
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, {}, overrides, ["high_value"])
    assert str(error.value).replace(f"{tmp_path}/", "").splitlines() == [
        "overrides.yaml:4: high_value.params.thresholds: takes a number, not 'lots'",
        "overrides.yaml:6: high_value.params.tresholds: is none of its params (thresholds)",
    ]


# --- versions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">= :least", "> :least"),
        ("  t.amount\n", "  t.amount,\n  t.currency\n"),
        ("default: 4", "default: 4.01"),
        ("weight: 0.2", "weight: 0.21"),
        ("severity: low", "severity: high"),
        ("{amount} is at least", "{amount} is not under"),
        ("-- weight", "-- lookback: 1h\n-- weight"),
    ],
)
def test_what_a_hit_depends_on_makes_another_version(tmp_path: Path, old: str, new: str) -> None:
    assert NIGHT.count(old) == 1
    assert rule_of(tmp_path, NIGHT.replace(old, new)).version != rule_of(tmp_path).version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-- what is at least that much", "-- another comment"),
        ("  -- what is at least that much\n", ""),
        ("  t.amount\n", "  t.amount -- in its currency\n"),
        ("  t.amount\n", "  /* in its currency */ t.amount\n"),
        ("SELECT\n  t.transaction_id,", "select t.transaction_id  ,\n\n"),
        ("default: 4,", "default: 4.0,"),
        ("default: 4,", "default: '4.00',"),
        ("weight: 0.2", "weight: 0.20"),
        ("max: 100", "max: 1000"),
        ("title: Night", "title: At night"),
        ("What is spent by day.", "Nobody knows."),
        ("-- weight", "-- status: shadow\n-- weight"),
        ("-- weight", "-- lookback: 0h\n-- weight"),
    ],
)
def test_what_changes_no_hit_makes_no_other_version(tmp_path: Path, old: str, new: str) -> None:
    assert NIGHT.count(old) == 1
    assert rule_of(tmp_path, NIGHT.replace(old, new)).version == rule_of(tmp_path).version


def test_an_override_makes_the_version_that_its_values_have_in_the_file(tmp_path: Path) -> None:
    overrides = "dawn: {params: {least: '7.0'}, weight: 0.3, severity: high}\nnight: {params: {least: 4}, status: shadow}"
    book = book_with(tmp_path, {"dawn.sql": NIGHT, "night.sql": NIGHT}, overrides)
    written = NIGHT.replace("default: 4", "default: 7").replace("0.2", "0.3").replace("severity: low", "severity: high")
    assert book.rules["dawn"].version == rule_of(tmp_path, written).version
    assert book.rules["night"].version == rule_of(tmp_path).version


def test_amounts_of_a_param_count_for_the_version_whatever_their_order(tmp_path: Path) -> None:
    def of(thresholds: str) -> str:
        text = (RULES_FOLDER / "high_value.sql").read_text(encoding="utf-8")
        start, end = text.index("{EUR"), text.index("}") + 1
        return rule_of(tmp_path, text[:start] + thresholds + text[end:]).version

    assert of("{EUR: 1, USD: 2}") == of("{USD: 2.0, EUR: '1'}")
    assert of("{EUR: 1, USD: 2}") != of("{EUR: 1, USD: 3}")
    assert of("{EUR: 1, USD: 2}") != of("{EUR: 1}")


def test_the_rules_folder_of_the_package_has_only_rules() -> None:
    assert sorted(path.stem for path in RULES_FOLDER.iterdir() if path.suffix == ".sql") == ALL
