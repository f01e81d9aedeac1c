"""Reading all rules and features: checks of rule files, overrides by a rules file, and rule versions."""

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
    """Number of the only line that contains the needle."""
    [number] = [number for number, line in enumerate(text.splitlines(), 1) if needle in line]
    return number


def rule_of(folder: Path, text: str = NIGHT, name: str = "night.sql") -> Rule:
    """The rule of a file, without overrides."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    file = read_file(path, RuleFrontMatter)
    return Rule(file, file.meta.severity, file.meta.status, file.meta.weight)


def assert_facts(facts: tuple[str, ...], message: str) -> None:
    """A message states all of these, in any wording around them."""
    assert [fact for fact in facts if fact not in message] == [], message


def refused(folder: Path, text: str, name: str = "night.sql") -> str:
    """The error for a rule file, without its folder."""
    with pytest.raises(RuleError) as error:
        check_rule(rule_of(folder, text, name), fixed_tables())
    return str(error.value).removeprefix(f"{folder}/")


# --- the rule book -----------------------------------------------------------------------------------------------------------


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
    ("status", "evaluated", "alerting"),
    [("active", True, True), ("shadow", True, False), ("retired", False, False), ("draft", False, False)],
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


# --- rule files that are rejected ---------------------------------------------------------------------------------------

# replaced text, replacement, a text on the line that the error must name (line 1 if None), and facts that it must state
WRONG: list[tuple[str, str, str | None, tuple[str, ...]]] = [
    (
        "-- severity: low",
        "-- severity: awful",
        "severity: awful",
        ("severity: ", "'low', 'medium', 'high' or 'critical'", "found 'awful'"),
    ),
    ("SELECT\n", "WITH\njudged AS (SELECT 1 AS x)\nSELECT\n", "judged AS", ("name judged",)),
    ("-- weight: 0.2", "-- weight: 1", "weight: 1", ("weight: ", "less than 1", "found 1")),
    ("-- weight: 0.2", "-- weight: 0", "weight: 0", ("weight: ", "greater than 0", "found 0")),
    ("-- weight: 0.2", "-- weight: .nan", "weight: .nan", ("weight: ", "found nan")),
    (
        "-- weight: 0.2",
        "-- weight: 0.2\n-- status: sleeping",
        "status: sleeping",
        ("status: ", "'draft', 'shadow', 'active' or 'retired'", "found 'sleeping'"),
    ),
    ("-- weight: 0.2", "-- weight: 0.2\n-- history: {transactions: 1d}", "history", ("history: ", "unknown")),
    ("-- source: A test.\n", "", None, ("source: ", "missing")),
    ("-- blind_spot: What is spent by day.\n", "", None, ("blind_spot: ", "missing")),
    ("What is spent by day.", "' '", "-- blind_spot", ("blind_spot: ", "found ' '")),
    (
        "  t.customer_id,\n",
        "",
        "SELECT",
        ("must return customer_id", "transaction_id, event_time, hit, amount"),
    ),
    ("  t.event_time,\n", "", "SELECT", ("must return event_time", "transaction_id, customer_id, hit, amount")),
    (
        "  t.transaction_id,\n",
        "  t.transaction_id AS id,\n",
        "SELECT",
        ("must return transaction_id", "id, customer_id, event_time, hit, amount"),
    ),
    (
        "  t.amount\n",
        "  t.amount,\n  CAST(t.amount AS DOUBLE) / 3 AS most_money\n",
        "AS most_money",
        ("most_money", "DOUBLE", "DECIMAL"),
    ),
    ("  t.amount\n", "  t.amount,\n  t.merchant_latitude\n", "t.merchant_latitude", ("merchant_latitude", "DOUBLE", "DECIMAL")),
    ('"{amount} is', '"{price} is', "-- reason:", ("reason", "{price}", "amount, least")),
    ('"{amount} is', '"{customer_id} is', "-- reason:", ("reason", "{customer_id}", "amount, least")),
    ('"{amount} is', '"{} is', "-- reason:", ("reason", "{}", "amount, least")),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN fraud_reports r\n  ON r.transaction_id = t.transaction_id",
        "JOIN fraud_reports",
        ("cannot read fraud_reports", "customer_profiles"),
    ),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN customer_daily_activity a\n  ON a.customer_id = t.customer_id",
        "JOIN customer_daily",
        ("cannot read customer_daily_activity", "customer_profiles"),
    ),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN transactions_rejected r\n  ON r.ds = t.ds",
        "JOIN transactions_rejected",
        ("cannot read transactions_rejected", "customer_profiles"),
    ),
    (
        "FROM transactions t",
        "FROM transactions t\nJOIN high_value h\n  ON h.ds = t.ds",
        "JOIN high_value",
        ("unknown table", "fintech.high_value"),
    ),
    ("FROM transactions t", "FROM nosuch t", "FROM nosuch", ("unknown table", "fintech.nosuch")),
    ("  t.amount\n", "  t.amount,\n  t.nosuch\n", "t.nosuch", ("t has no column nosuch",)),
    ("  t.amount\n", "  t.amount,\n  :nosuch AS x\n", ":nosuch", ("param nosuch", "least")),
    (":least AS hit", "4 AS hit", "least: {", ("param least", "not used")),
    ("  t.amount\n", "  t.amount,\n  RAND() AS x\n", "RAND()", ("RAND()", "allow-list")),
    ("  t.amount\n", "  t.amount,\n  AVG(t.merchant_latitude) OVER () AS x\n", "AVG", ("AVG", "last digits")),
    (
        "  t.amount\n",
        "  t.amount,\n  t.customer_id + t.event_time AS x\n",
        "customer_id + t",
        ("customer_id is STRING", "number"),
    ),
    ("FROM transactions t", "FROM transactions t\nWHERE", "WHERE", (">>WHERE<<",)),
]


@pytest.mark.parametrize(("old", "new", "where", "facts"), WRONG)
def test_a_wrong_rule_is_rejected_with_its_line(
    tmp_path: Path, old: str, new: str, where: str | None, facts: tuple[str, ...]
) -> None:
    assert NIGHT.count(old) == 1
    text = NIGHT.replace(old, new)
    message = refused(tmp_path, text)
    assert message.startswith(f"night.sql:{line_of(text, where) if where else 1}: ")
    assert_facts(facts, message.partition(": ")[2])
    assert message.splitlines() == [message], "one problem, one line"


@pytest.mark.parametrize(
    "name",
    [
        "Night.sql",
        "2nights.sql",
        "late-night.sql",
        "transactions.sql",
        "fraud_alerts.sql",
        "blacklist_rejected.sql",
        "scorecard.sql",
    ],
)
def test_a_file_has_the_name_of_a_new_table(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path, NIGHT, name)
    assert message.startswith(f"{name}:1: ")
    assert_facts((f"{name.removesuffix('.sql')!r} is not a valid rule name", "64", "existing table"), message)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
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
    problems = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line.split(": ")[0] for line in problems] == [
        "rules/a_rule.sql:1",
        "overrides.yaml:2",
        "rules/high_value.sql:17",
        "rules/night.sql:5",
        "features/merchant_profiles.sql:3",
        "features/nosuch.sql:1",
        "features",
        "overrides.yaml:1",
    ]
    facts: list[tuple[str, ...]] = [
        ("no front matter",),
        ("high_risk_activity.params.times_mean: ", "found -1"),
        ("unknown table", "fintech.nosuch"),
        ("weight: ", "less than 1", "found 7"),
        ("must return place, transactions, reports, ", "merchant_key, place_key, ds; it returns merchant_id"),
        ("FEATURE_TABLES",),
        ("customer_profiles.sql is missing",),
        ("velocity: no rule or feature",),
    ]
    for line, expected in zip(problems, facts, strict=True):
        assert_facts(expected, line)


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
    expected: dict[str, tuple[str, ...]] = {
        "overrides.yaml:2: dawn.params.most: ": ("unknown", "least"),
        "overrides.yaml:1: night.params.least: ": ("0 to 100", "found nan"),
        "overrides.yaml:4: customer_countries.params.history_days: ": ("1 to 90", "found 91"),
        "overrides.yaml:3: customer_profiles.weight: ": ("only the params of a feature",),
        "overrides.yaml:5: evening: ": ("no rule or feature",),
    }
    problems = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    for line, (start, facts) in zip(problems, expected.items(), strict=True):
        assert line.startswith(start)
        assert_facts(facts, line.removeprefix(start))


def test_invalid_entries_of_a_rules_file_are_reported_one_by_one(tmp_path: Path) -> None:
    entries: dict[str, tuple[str, ...]] = {
        "night: {weight: 1}": ("night.weight: ", "less than 1", "found 1"),
        "a: {weight: 0}": ("a.weight: ", "greater than 0", "found 0"),
        "b: {severity: bad}": ("b.severity: ", "'low', 'medium', 'high' or 'critical'", "found 'bad'"),
        "c: {status: off}": ("c.status: ", "'draft', 'shadow', 'active' or 'retired'", "found False"),
        "d: {lookback: 5d}": ("d.lookback: ", "unknown"),
        "e: {params: 5}": ("e.params: ", "dictionary", "found 5"),
        "f: 5": ("f: ", "params, status, weight or severity", "found 5"),
        "g:": ("g: ", "params, status, weight or severity", "found None"),
    }
    files = {f"{name}.sql": NIGHT for name in "abcdefg"}
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, {"night.sql": NIGHT.replace("0.2", "7"), **files}, "\n".join(entries))
    *problems, of_the_rule = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    for number, (line, (key, *facts)) in enumerate(zip(problems, entries.values(), strict=True), 1):
        assert line.startswith(f"overrides.yaml:{number}: {key}")
        assert_facts((*facts,), line)
    assert of_the_rule.startswith("rules/night.sql:5: weight: ")
    assert_facts(("less than 1", "found 7"), of_the_rule)


@pytest.mark.parametrize(
    ("overrides", "line", "facts"),
    [
        (b"- night", 1, ("`high_value: {params: {\u2026}}`", "found list")),
        (b"night", 1, ("`high_value: {params: {\u2026}}`", "found str")),
        (b"night: {}\ndawn: {weight: 0.5", 2, ("not valid YAML",)),
        (b"night: {params: {least: !!python/name:os.system x}}", 1, ("not valid YAML",)),
        (b"night: {severity: \xe9}", 1, ("not UTF-8", "byte 18")),
    ],
)
def test_a_rules_file_of_another_kind_is_rejected(tmp_path: Path, overrides: bytes, line: int, facts: tuple[str, ...]) -> None:
    (tmp_path / "overrides.yaml").write_bytes(overrides)
    with pytest.raises(RuleError) as error:
        read_rule_book(tmp_path, overrides=tmp_path / "overrides.yaml")
    message = str(error.value).removeprefix(f"{tmp_path}/")
    assert message.startswith(f"overrides.yaml:{line}: ")
    assert_facts(facts, message)


def test_a_rules_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    said = {
        tmp_path / "nosuch.yaml": "FRAUD_RULES_FILE names a file that does not exist; create it",
        tmp_path: ".*FRAUD_RULES_FILE: Is a directory",
    }
    for path, text in said.items():
        with pytest.raises(RuleError, match=rf"{path}: {text}"):
            read_rule_book(tmp_path, overrides=path)


def test_every_invalid_param_of_a_rules_file_is_reported(tmp_path: Path) -> None:
    overrides = "# ours\nhigh_value:\n  params:\n    thresholds:\n      {EUR: lots}\n    tresholds: {EUR: 5}\n"
    with pytest.raises(RuleError) as error:
        book_with(tmp_path, {}, overrides, ["high_value"])
    of_value, of_name = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    assert of_value.startswith("overrides.yaml:4: high_value.params.thresholds: ")
    assert_facts(("number", "found 'lots'"), of_value)
    assert of_name.startswith("overrides.yaml:6: high_value.params.tresholds: ")
    assert_facts(("unknown param", ": thresholds"), of_name)


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
def test_a_change_that_affects_hits_changes_the_version(tmp_path: Path, old: str, new: str) -> None:
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
        ("What is spent by day.", "Everything else."),
        ("-- weight", "-- status: shadow\n-- weight"),
        ("-- weight", "-- lookback: 0h\n-- weight"),
    ],
)
def test_a_change_that_affects_no_hit_keeps_the_version(tmp_path: Path, old: str, new: str) -> None:
    assert NIGHT.count(old) == 1
    assert rule_of(tmp_path, NIGHT.replace(old, new)).version == rule_of(tmp_path).version


def test_an_override_gives_the_version_of_a_file_with_its_values(tmp_path: Path) -> None:
    overrides = "dawn: {params: {least: '7.0'}, weight: 0.3, severity: high}\nnight: {params: {least: 4}, status: shadow}"
    book = book_with(tmp_path, {"dawn.sql": NIGHT, "night.sql": NIGHT}, overrides)
    written = NIGHT.replace("default: 4", "default: 7").replace("0.2", "0.3").replace("severity: low", "severity: high")
    assert book.rules["dawn"].version == rule_of(tmp_path, written).version
    assert book.rules["night"].version == rule_of(tmp_path).version


def test_the_order_of_amounts_does_not_change_the_version(tmp_path: Path) -> None:
    def of(thresholds: str) -> str:
        text = (RULES_FOLDER / "high_value.sql").read_text(encoding="utf-8")
        start, end = text.index("{EUR"), text.index("}") + 1
        return rule_of(tmp_path, text[:start] + thresholds + text[end:]).version

    assert of("{EUR: 1, USD: 2}") == of("{USD: 2.0, EUR: '1'}")
    assert of("{EUR: 1, USD: 2}") != of("{EUR: 1, USD: 3}")
    assert of("{EUR: 1, USD: 2}") != of("{EUR: 1}")


def test_the_rules_folder_of_the_package_has_only_rules() -> None:
    assert sorted(path.stem for path in RULES_FOLDER.iterdir() if path.suffix == ".sql") == ALL
