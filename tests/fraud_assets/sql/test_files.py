"""Checks of SQL files: front matter and SELECT against the known tables and params; errors name file and line."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.detection.rule import FeatureFrontMatter, RuleFrontMatter
from fraud_assets.detection.rule_book import FEATURES_FOLDER, RULES_FOLDER
from fraud_assets.errors import RuleError
from fraud_assets.schemas.catalog import fixed_tables
from fraud_assets.sql.files import FrontMatter, SqlFile, read_file
from fraud_assets.sql.params import Param

GOOD = """\
-- title: Small
-- description: Amounts of at most {limit}, and their limit.
-- lookback: 24h
-- params:
--   limit: {type: decimal, default: 5, min: 1, max: 10, description: The limit.}
--   count:
--     type: integer
--     default: 3
--     min: 1
--     max: 4
--     description: A count.
--   caps: {type: amounts, default: {EUR: 5, null: 6}, min: 1, max: 10, description: Caps.}
SELECT
  t.transaction_id,
  t.amount AS kept
FROM transactions t
JOIN params.caps k ON k.currency <=> t.currency
WHERE t.amount <= :limit
  AND 1 < :count
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "small.sql"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str = GOOD) -> SqlFile[FrontMatter]:
    return read_file(write(folder, text), FrontMatter)


def line_of(text: str, needle: str) -> int:
    """Number of the only line that contains the needle."""
    [number] = [number for number, line in enumerate(text.splitlines(), 1) if needle in line]
    return number


def assert_facts(facts: tuple[str, ...], message: str) -> None:
    """A message states all of these, in any wording around them."""
    assert [fact for fact in facts if fact not in message] == [], message


def refused(folder: Path, text: str) -> str:
    """The error for a file, without the folder: `small.sql:3: …`."""
    with pytest.raises(RuleError) as error:
        read(folder, text).check(fixed_tables())
    return str(error.value).removeprefix(f"{folder}/")


# --- files that are valid -----------------------------------------------------------------------------------------------------


def test_a_file_is_its_front_matter_and_its_select(tmp_path: Path) -> None:
    file = read(tmp_path)
    file.check(fixed_tables())
    assert file.name == "small"
    assert file.meta.title == "Small"
    assert file.meta.lookback == dt.timedelta(hours=24)
    assert file.values == {"limit": Decimal(5), "count": 3, "caps": {"EUR": Decimal(5), None: Decimal(6)}}
    assert file.scalars() == {"limit": Decimal(5), "count": 3}
    assert file.relations() == {"caps": {"EUR": Decimal(5), None: Decimal(6)}}
    assert file.tables() == {"transactions"}
    assert file.text.splitlines()[:12] == [""] * 12
    assert file.text.splitlines()[12:] == GOOD.splitlines()[12:]


@pytest.mark.parametrize(("written", "meant"), [("10m", {"minutes": 10}), ("24h", {"hours": 24}), ("90d", {"days": 90})])
def test_a_lookback_is_minutes_hours_or_days(tmp_path: Path, written: str, meant: dict[str, int]) -> None:
    assert read(tmp_path, GOOD.replace("24h", written)).meta.lookback == dt.timedelta(**meant)


def test_tables_of_the_lake_get_their_database_and_common_table_expressions_do_not(tmp_path: Path) -> None:
    text = "-- title: a\n-- description: b\nWITH c AS (SELECT customer_id FROM fintech.customers) SELECT c.customer_id FROM c"
    file = read(tmp_path, text)
    file.check(fixed_tables())
    assert file.tables() == {"customers"}


@pytest.mark.parametrize("path", sorted([*RULES_FOLDER.glob("*.sql"), *FEATURES_FOLDER.glob("*.sql")]), ids=lambda p: p.stem)
def test_the_files_that_come_with_the_package_are_good(path: Path) -> None:
    model = RuleFrontMatter if path.parent == RULES_FOLDER else FeatureFrontMatter
    file = read_file(path, model)
    file.check(fixed_tables())
    assert file.meta.title and file.meta.description.endswith(".")
    assert file.tables() <= fixed_tables().keys()


# --- front matter -------------------------------------------------------------------------------------------------------

# replaced text, replacement, a text on the line that the error must name, and facts that it must state
WRONG_FRONT_MATTER: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("-- title: Small\n", "", "-- description", ("title: ", "missing")),
    ("-- lookback: 24h", "-- colour: red", "-- colour", ("colour: ", "unknown")),
    ("24h", "24", "-- lookback", ("lookback: ", "10m, 24h or 90d", "found 24")),
    ("24h", "a day", "-- lookback", ("lookback: ", "10m, 24h or 90d", "found 'a day'")),
    ("24h", "-1d", "-- lookback", ("lookback: ", "10m, 24h or 90d", "found '-1d'")),
    (
        "default: 5, min: 1, max: 10, description: The",
        "default: 11, min: 1, max: 10, description: The",
        "limit:",
        ("params.limit: ", "1 to 10", "found 11"),
    ),
    ("default: 3", "default: 0", "count:", ("params.count: ", "1 to 4", "found 0")),
    ("default: 3", "default: 2.5", "count:", ("params.count: ", "whole number", "found 2.5")),
    ("default: 3", "default: [3]", "count:", ("params.count: ", "number", "found [3]")),
    ("default: 3", "default: true", "count:", ("params.count: ", "number", "found True")),
    ("default: 3", "default: three", "count:", ("params.count: ", "number", "found 'three'")),
    ("default: 3", "default: .nan", "count:", ("params.count: ", "1 to 4", "found nan")),
    ("{EUR: 5, null: 6}", "{EUR: 5, null: 60}", "caps:", ("params.caps: ", "1 to 10", "found 60")),
    ("{EUR: 5, null: 6}", "5", "caps:", ("params.caps: ", "amount", "currency", "found 5")),
    ("{EUR: 5, null: 6}", "{}", "caps:", ("params.caps: ", "amount", "currency", "found {}")),
    ("type: integer", "type: text", "type: text", ("params.count.type: ", "'decimal', 'integer' or 'amounts'", "found 'text'")),
    ("--     min: 1\n", "", "count:", ("params.count.min: ", "missing")),
    ("min: 1\n", "min: low\n", "min: low", ("params.count.min: ", "found 'low'")),
    ("description: A count.", "explanation: A count.", "count:", ("params.count.description: ", "missing")),
    ("description: A count.", "description: A count.\n--     unit: days", "unit: days", ("params.count.unit: ", "unknown")),
    ("-- params:\n", "-- params: [\n", "--   count:", ("front matter", "YAML")),
    (
        "title: Small",
        "title: Small: er",
        "title: Small: er",
        ("front matter", "YAML", "mapping values are not allowed here"),
    ),
    ("-- lookback: 24h", '-- lookback: "24h', "lookback", ("front matter", "YAML")),
]


@pytest.mark.parametrize(("old", "new", "where", "facts"), WRONG_FRONT_MATTER)
def test_wrong_front_matter_is_reported_with_its_line(
    tmp_path: Path, old: str, new: str, where: str, facts: tuple[str, ...]
) -> None:
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    message = refused(tmp_path, text)
    assert_facts(facts, message)
    if '"24h' in new:  # an unterminated quote ends with the front matter
        assert message.startswith("small.sql:12: ")
    elif "missing" in facts and where == "-- description":  # a missing key has no line
        assert message.startswith("small.sql:1: ")
    else:
        assert message.startswith(f"small.sql:{line_of(text, where)}: ")


@pytest.mark.parametrize("text", ["", "SELECT 1", "\n-- title: after a blank line\nSELECT 1", "-- just a comment\nSELECT 1"])
def test_a_file_without_front_matter_is_rejected(tmp_path: Path, text: str) -> None:
    message = refused(tmp_path, text)
    assert message.startswith("small.sql:1: no front matter")
    assert "-- title: " in message


def test_a_file_that_is_not_text_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "small.sql").write_bytes(b"-- title: caf\xe9\nSELECT 1")
    with pytest.raises(RuleError, match=r"small\.sql:1: .*not UTF-8.* at byte 13"):
        read_file(tmp_path / "small.sql", FrontMatter)


def test_all_problems_of_front_matter_are_reported_in_the_order_of_lines(tmp_path: Path) -> None:
    text = GOOD.replace("-- title: Small\n", "").replace("24h", "a day").replace("default: 3", "default: 0")
    text = text.replace("-- params", "-- colour: red\n-- params").replace("type: amounts", "type: text")
    lines = refused(tmp_path, text).replace(f"{tmp_path}/", "").splitlines()
    expected: dict[str, tuple[str, ...]] = {
        "small.sql:1: title: ": ("missing",),
        "small.sql:2: lookback: ": ("10m, 24h or 90d", "found 'a day'"),
        "small.sql:3: colour: ": ("unknown",),
        "small.sql:6: params.count: ": ("1 to 4", "found 0"),
        "small.sql:12: params.caps.type: ": ("'decimal', 'integer' or 'amounts'", "found 'text'"),
    }
    for line, (start, facts) in zip(lines, expected.items(), strict=True):
        assert line.startswith(start)
        assert_facts(facts, line)


@pytest.mark.parametrize(
    ("param", "value", "facts"),
    [
        ("limit", 11, ("1 to 10", "found 11")),
        ("limit", 0.99, ("1 to 10", "found 0.99")),
        ("limit", "a lot", ("number", "found 'a lot'")),
        ("limit", float("nan"), ("1 to 10", "found nan")),
        ("count", 1.5, ("whole number", "found 1.5")),
        ("caps", 5, ("amount", "currency", "{EUR: 1000, USD: 1100}", "found 5")),
        ("caps", {}, ("amount", "currency", "{EUR: 1000, USD: 1100}", "found {}")),
        ("caps", {"EUR": None}, ("number", "found None")),
        ("caps", {"EUR": 5.001}, ("two decimal places", "found 5.001")),
    ],
)
def test_a_value_that_a_param_rejects(tmp_path: Path, param: str, value: Any, facts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as error:
        read(tmp_path).meta.params[param].read(value)
    assert_facts(facts, str(error.value))


def test_values_take_precedence_over_defaults(tmp_path: Path) -> None:
    file = read(tmp_path)
    other = file.with_values({"limit": Decimal("7.5"), "caps": {"SEK": Decimal(9)}})
    assert other.values == {"limit": Decimal("7.5"), "count": 3, "caps": {"SEK": Decimal(9)}}
    assert file.values["limit"] == 5


@pytest.mark.parametrize("bound", [1, "1", 1.0, 10, "10.00", Decimal("1.00")])
def test_bounds_are_inclusive(tmp_path: Path, bound: Any) -> None:
    assert read(tmp_path).meta.params["limit"].read(bound) == Decimal(str(bound))


@pytest.mark.parametrize("written", [4, 4.0, "4", "4.0", "4.000", "4e0", "0.4e1", Decimal("4.00")])
def test_spellings_of_a_number_are_the_same_value(written: Any) -> None:
    param = Param(type="decimal", default=1, min=Decimal(0), max=Decimal(1000), description="")
    assert str(param.read(written)) == "4"


@pytest.mark.parametrize(
    ("written", "plain"), [("1e3", "1000"), (1e3, "1000"), (0.05, "0.05"), ("0.050", "0.05"), (100, "100")]
)
def test_a_number_is_kept_in_plain_digits(written: Any, plain: str) -> None:
    param = Param(type="decimal", default=1, min=Decimal(0), max=Decimal(1000), description="")
    assert str(param.read(written)) == plain


# --- the SELECT ---------------------------------------------------------------------------------------------------------

HEAD = "-- title: nosuch, wrong and amount\n-- description: The words nosuch, wrong and amount are here, too.\n"
# a SELECT, the line that the error must name, and facts that it must state
WRONG_SELECT: list[tuple[str, int, tuple[str, ...]]] = [
    ("SELECT\n  a.x\nFROM nosuch a", 5, ("unknown table", "fintech.nosuch")),
    ("SELECT 1 AS x\nFROM transactions t\nJOIN nosuch n\n  ON n.a = t.customer_id", 5, ("unknown table", "fintech.nosuch")),
    ("SELECT 1 AS x\nFROM other.transactions", 4, ("unknown table", "other.transactions")),
    ("SELECT\n  t.amount,\n  t.nosuch\nFROM transactions t", 5, ("t has no column nosuch",)),
    ("SELECT\n  amount,\n  nosuch\nFROM transactions", 5, ("no column nosuch",)),
    ("SELECT t.amount\nFROM transactions t\nWHERE t.amount > 1\n  AND t.nosuch = 1", 6, ("t has no column nosuch",)),
    ("SELECT t.amount\nFROM transactions t\nGROUP BY\n  nosuch", 6, ("no column nosuch",)),
    ("SELECT\n  wrong.amount\nFROM transactions t", 4, ("unknown alias wrong",)),
    ("WITH c AS (\n  SELECT amount,\n    nosuch\n  FROM transactions\n)\nSELECT c.amount FROM c", 5, ("no column nosuch",)),
    (
        "WITH c AS (\n  SELECT x.amount,\n    x.nosuch\n  FROM transactions x\n)\nSELECT c.amount FROM c",
        5,
        ("x has no column nosuch",),
    ),
    ("WITH c AS (SELECT amount FROM transactions)\nSELECT c.amount,\n  c.nosuch\nFROM c", 5, ("c has no column nosuch",)),
    ("SELECT s.amount,\n  s.nosuch\nFROM (SELECT amount FROM transactions) s", 4, ("s has no column nosuch",)),
    ("SELECT s.amount\nFROM (\n  SELECT amount,\n    nosuch\n  FROM transactions) s", 6, ("no column nosuch",)),
    (
        "SELECT t.amount\nFROM transactions t\nWHERE EXISTS (\n  SELECT 1\n  FROM customers c\n  WHERE c.nosuch = 1)",
        8,
        ("c has no column nosuch",),
    ),
    (
        "SELECT t.amount\nFROM transactions t\nWHERE EXISTS (\n"
        "  SELECT 1\n  FROM customers c\n  WHERE c.customer_id = t.nosuch)",
        8,
        ("t has no column nosuch",),
    ),
    (
        "SELECT t.amount\nFROM transactions t\nWHERE EXISTS (\n  SELECT 1\n  FROM customers c\n  WHERE c.customer_id = nosuch)",
        8,
        ("no column nosuch",),
    ),
    (
        "SELECT t.amount\nFROM transactions t\nWHERE EXISTS (\n"
        "  SELECT 1\n  FROM customers c\n  WHERE c.customer_id = wrong.x)",
        8,
        ("unknown alias wrong",),
    ),
    ("SELECT t.amount\nFROM transactions t\nUNION ALL\nSELECT\n  c.nosuch\nFROM customers c", 7, ("c has no column nosuch",)),
    (
        "SELECT t.amount AS wrong\nFROM transactions t\nWHERE t.amount > 1\n  AND t.amount > :wrong",
        6,
        ("param wrong",),
    ),
    ("SELECT amount\nFROM transactions\nWHERE amount > :amount", 5, ("param amount",)),
    (
        "SELECT w.amount\nFROM transactions t\nJOIN params.wrong w\n  ON w.currency = t.currency",
        5,
        ("param wrong",),
    ),
    (
        "SELECT t.amount\nFROM transactions t\nJOIN params.days d\n  ON d.currency = t.currency",
        6,
        ("d has no column currency",),
    ),
    ("SELECT\n  AVG(t.merchant_latitude) AS a\nFROM transactions t", 4, ("AVG", "last digits")),
    (
        "SELECT\n  1 AS a,\n  CAST(t.merchant_latitude AS INT) AS b\nFROM transactions t",
        5,
        ("CAST(t.merchant_latitude AS INT)", "FLOOR"),
    ),
    ("SELECT\n  1 AS a,\n  NOSUCHFUNCTION(t.amount) AS b\nFROM transactions t", 5, ("NOSUCHFUNCTION()", "allow-list")),
    ("SELECT t.amount\nFROM transactions t\nWHERE t.ds = 20260101", 5, ("t.ds = 20260101", "text")),
    ("SELECT t.amount\nFROM transactions t\nLIMIT 5", 5, ("ROW_NUMBER()",)),
    ("SELECT t.amount\nFROM transactions t\nWHERE (t.amount > 1", 5, ("Expecting )", "(t.amount > >>1<<")),
    ("SELECT t.amount\nFROM transactions t\nWHERE t.currency = 'open", 3, ("Error tokenizing",)),
    ("INSERT INTO transactions\nSELECT 1 AS x", 3, ("one SELECT",)),
    ("SELECT 1 AS x;\nSELECT 2 AS x", 3, ("one SELECT",)),
    ("-- nothing but a comment", 4, ("one SELECT",)),
]


@pytest.mark.parametrize(("select", "line", "facts"), WRONG_SELECT)
def test_a_wrong_select_is_reported_with_its_line(tmp_path: Path, select: str, line: int, facts: tuple[str, ...]) -> None:
    header = HEAD.rstrip("\n") + "\n" if not select.startswith("--") else HEAD + "\n"
    message = refused(tmp_path, header + select)
    assert message.startswith(f"small.sql:{line}: ")
    assert_facts(facts, message.partition(": ")[2])


def test_an_unused_param_is_rejected_where_it_is_declared(tmp_path: Path) -> None:
    text = GOOD.replace("  AND 1 < :count\n", "").replace("Amounts of", "A count of amounts of")
    message = refused(tmp_path, text)
    assert message.startswith(f"small.sql:{line_of(text, '--   count:')}: ") and "\n" not in message
    assert_facts(("param count", "not used"), message)
    text = GOOD.replace("JOIN params.caps k ON k.currency <=> t.currency\n", "").replace(
        "The limit.", "The limit; caps are other."
    )
    message = refused(tmp_path, text)
    assert message.startswith(f"small.sql:{line_of(text, '--   caps:')}: ") and "\n" not in message
    assert_facts(("param caps", "not used"), message)


def test_window_and_days_need_no_declaration(tmp_path: Path) -> None:
    select = (
        "SELECT t.amount, d.ds FROM transactions t JOIN params.days d ON d.ds = t.ds "
        "WHERE t.event_time >= :window_start AND t.event_time < :window_end"
    )
    read(tmp_path, HEAD + select).check(fixed_tables())


@pytest.mark.parametrize(
    "select",
    [
        "SELECT t.* FROM transactions t",
        "SELECT COUNT(*) AS n FROM transactions t",
        "SELECT t.amount AS a FROM transactions t ORDER BY a",
        "SELECT t.amount FROM transactions t WHERE EXISTS (SELECT 1 FROM customers c WHERE c.customer_id = t.customer_id)",
        "SELECT t.amount FROM transactions t LEFT SEMI JOIN customers c ON c.customer_id = t.customer_id",
        "WITH a AS (SELECT amount FROM transactions), b AS (SELECT a.amount AS x FROM a) SELECT b.x FROM b",
        "SELECT customer_id FROM transactions UNION ALL SELECT customer_id FROM customers",
        "SELECT ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY event_time, transaction_id) AS n FROM transactions",
    ],
)
def test_a_valid_select_passes(tmp_path: Path, select: str) -> None:
    read(tmp_path, HEAD + select).check(fixed_tables())
