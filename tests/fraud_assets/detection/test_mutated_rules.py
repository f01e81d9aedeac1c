"""Rule files that are mutated at random: each is read, or refused with file and line. No other exception gets out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud_assets.detection.overrides import Overrides
from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule
from fraud_assets.detection.rule_facts import params
from fraud_assets.detection.rule_pages import pages
from fraud_assets.errors import RuleError
from fraud_assets.schemas.sources import API_TABLES

RULES = {path.name: path.read_text(encoding="utf-8") for path in sorted(RULES_FOLDER.glob("*.sql"))}

YAML_VALUES = [
    "2026-02-30", "2026-13-01", "0000-00-00", "2026-01-01T99:99:99", "2026-01-01 10:00:00+99:99", "2026-01-01", "12:00",
    "1:99:99", "190:20:30.15", "-1:59", "0x", "0xZZ", "0b2", "0o9", "08", "1_000", "_", "+", ".", "-.inf", ".nan", ".inf",
    "1e999999999", "1e-999999999", "9" * 5000, "0." + "1" * 5000, "99999999999999999999d", "999999999d", "0d", "-5m", "٣d",
    "1.5d", "~", "yes", "[]", "{}", "[" * 300, "[" * 3000 + "]" * 3000, "{a: " * 2000, "&a [*a]", "&a {b: *a}", "*nowhere",
    "{[1]: 2}", "{{a: 1}: 2}", "? [a]", "<<: 1", "!!int x", "!!int ''", "!!float x", "!!float ''", "!!bool x", "!!null x",
    "!!timestamp x", "!!timestamp ''", "!!binary x", "!!binary é", "!!set {a}", "!!set x", "!!omap x", "!!omap [a]",
    "!!pairs x", "!!seq x", "!!map x", "!!str [a]", "!!python/object/apply:os.system [true]", "!mine x", '"\\0"', '"\\ud800"',
    '"\\U00110000"', '"\\x"', "|", ">", "- a\n--  - b", "'", '"', "%YAML 9.9", "---", "...", "@", "`", "{name}", "{", "}",
    "{}", "{0}", "{a.b}", "{a!r}", "{amount:>9}", "\t", "a: b: c", "\u0085", "\ufeff", "\x07",
]  # fmt: skip
YAML_KEYS = ["2026-01-01", "1", "~", "true", "[a]", "{a: b}", "? a", "<<", "''", "title", "params", "\\"]
SQL_TEXTS = [
    "TIMESTAMP '2026-01-01 00:00:00Z'", "TIMESTAMP '2026-01-01 00:00:00+02:00'",
    "TIMESTAMP '2026-01-01 00:00:00 Europe/Berlin'", "CAST('2026-01-01 00:00:00Z' AS TIMESTAMP)",
    "CAST('2026-01-01T00:00:00+00:00' AS TIMESTAMP)", "DATE '2026-99-99'", "DATE '0000-00-00'", "DATE '99999-01-01'",
    "TIMESTAMP '9999-12-31 23:59:60'", "TIMESTAMP ''", "CAST('' AS DATE)", "1e999", "1e-999999999", "9" * 400,
    "0." + "1" * 400, "-" * 50 + " 1", "0x1F", "1L", "1.5BD", "x'00'", "CAST(1 AS DECIMAL(99, 99))",
    "CAST(1 AS DECIMAL(-1, 0))", "CAST(1 AS DECIMAL(0, 0))", "CAST(1 AS DECIMAL(3, 9))", "CAST(1 AS STRUCT<a: INT>)",
    "CAST(1 AS ARRAY<INT>)", "CAST(1 AS MAP<INT, INT>)", "INTERVAL 999999999999 YEAR", "INTERVAL '1' DAY",
    "INTERVAL -5 MINUTE", "ARRAY()", "ARRAY(1, 'a')", "NULL", "x[0]", "x[-1]", "x[99999999999999999999]", "MAP('a', 1)",
    "(SELECT 1)", "EXISTS (SELECT 1)", "(SELECT 1, 2)", "(1, 2)", "*", "t.*", "COUNT(*)", "SUM(SUM(1))",
    "ROW_NUMBER() OVER ()", "LAG(1, -1) OVER (ORDER BY ds)", "LAG(1, 99999999999) OVER (ORDER BY ds)",
    "NTILE(0) OVER (ORDER BY ds)", "PERCENTILE(1, 2)", "ROUND(1.5, 99)", "ROUND(1.5, -99)", "LPAD('a', -1, '')",
    "SUBSTR('a', -99)", "'a' RLIKE '('", "'a' RLIKE '[[:x:]]'", "'a' RLIKE '(?<a>b)'", "REGEXP_EXTRACT('a', '(', 9)",
    "'a' LIKE 'a\\\\'", "'a' LIKE '%' ESCAPE 'x'", "DATE_FORMAT(event_time, 'QQQQQ')", "DATE_FORMAT(event_time, '')",
    "1 DIV 0", "1 % 0", "1 / 0", "a.b.c.d", "`a``b`", "`", "'", '"', "/*", "--", ";", ":", ":x", ":1", "?", "$1",
    "${env:HOME}", "{{ 1 }}", "\x00", "\ud7ff", "\u202e", "é", "CASE", "CASE END", "CASE WHEN 1 THEN END", "OVER",
    "UNION ALL SELECT 1", "WITH x AS (SELECT 1)", "FROM transactions", "JOIN", "LATERAL VIEW explode(ARRAY(1)) e AS x",
    "BETWEEN 1 AND", "(" * 50 + "1" + ")" * 50, "(" * 1000 + "1" + ")" * 1000, "(" * 5000, "NOT " * 3000 + "TRUE",
    "1" + " + 1" * 3000, "1" + " * 1" * 300, "CASE WHEN TRUE THEN " * 500 + "1" + " END" * 500,
    "IF(TRUE, " * 400 + "1" + ", 2)" * 400, "ABS(" * 1000 + "1" + ")" * 1000, "TRUE" + " AND TRUE" * 3000, "a" + ".a" * 500,
    "x" + "[0]" * 500, "(SELECT " * 300 + "1" + ")" * 300, "CAST(" * 300 + "1" + " AS INT)" * 300,
    "ARRAY<" * 500 + "INT" + ">" * 500, "1 IN (" + "1, " * 3000 + "1)", "'" + "a" * 100_000 + "'",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """A rule file of the project with up to four mutations, and its name."""
    name = draw(st.sampled_from(sorted(RULES)))
    text = RULES[name]
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines()
        kind = draw(st.sampled_from(["yaml value", "yaml key", "sql", "sql", "cut", "swap", "repeat", "insert"]))
        header = [n for n, line in enumerate(lines) if line.startswith("--") and ":" in line]
        if kind == "yaml value" and header:
            place = draw(st.sampled_from(header))
            lines[place] = lines[place].partition(":")[0] + ": " + draw(st.sampled_from(YAML_VALUES) | st.text(max_size=8))
        elif kind == "yaml key" and header:
            place = draw(st.sampled_from(header))
            key = draw(st.sampled_from(YAML_KEYS))
            lines[place] = re.sub(r"[\w]+:", lambda _: f"{key}:", lines[place], count=1)  # noqa: B023
        elif kind == "sql":
            words = [match.span() for match in re.finditer(r"[\w.:']+", text) if not lines_before(text, match.start())]
            first, last = draw(st.sampled_from(words)) if words else (len(text), len(text))
            text = text[:first] + draw(st.sampled_from(SQL_TEXTS)) + text[last:]
            continue
        elif kind == "cut" and text:
            first = draw(st.integers(0, len(text) - 1))
            text = text[:first] + text[first + draw(st.integers(1, 40)) :]
            continue
        elif kind == "swap" and len(lines) > 1:
            one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
            lines[one], lines[other] = lines[other], lines[one]
        elif kind == "repeat" and lines:
            place = draw(st.integers(0, len(lines) - 1))
            lines.insert(place, lines[place])
        elif kind == "insert":
            place = draw(st.integers(0, len(text)))
            text = text[:place] + draw(st.text(max_size=6)) + text[place:]
            continue
        text = "\n".join(lines) + "\n"
    return name, text


def lines_before(text: str, place: int) -> bool:
    """True if a place is within the front matter."""
    return text[: text.find("\n", place)].rpartition("\n")[2].startswith("--")


def outcome(folder: Path, name: str, text: str) -> str:
    """Read a mutated file as `fraud rules check` does; what is valid can be shown and documented, too."""
    path = folder / name
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        rule = read_rule(path, Overrides(), API_TABLES)
    except RuleError as error:
        said = str(error)
        assert all(re.match(rf"{re.escape(str(path))}:\d+: .", line) for line in said.splitlines()[:1]), said
        assert len(said) < 20_000, said[:2000]
        return "refused"
    assert rule.version and params(rule) is not None and len(pages(RuleBook({name: rule}, {}))) == 2
    return "valid"


def check_mutated(folder: Path, examples: int) -> None:
    @given(mutated())
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    def run(case: tuple[str, str]) -> None:
        outcome(folder, *case)

    run()


@pytest.mark.parametrize("examples", [150, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_mutated_rule_file_is_read_or_refused(examples: int, tmp_path: Path) -> None:
    check_mutated(tmp_path, examples)
