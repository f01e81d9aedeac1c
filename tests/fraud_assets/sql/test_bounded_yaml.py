"""YAML that people write: whatever cannot be made of it is a `YAMLError` with a line."""

from __future__ import annotations

import pytest
import yaml

from fraud_assets.sql import bounded_yaml

DOUBLED = "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-30", "0000-00-00", "2026-01-01 10:00:00+99:99", "9" * 5000, "!!int x", "!!float ''", "!!bool x",
        "!!timestamp x", "!!binary x", "!!python/object/apply:os.system [true]", "{[1]: 2}", "&a [*a]", "*nowhere", "[" * 3000,
        '"\\U00110000"',
        '"\\ud800"', '"\\0"',
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_made_is_named_with_its_line(value: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as refused:
        bounded_yaml.load(f"good: 1\nbad: {value}\n")
    assert refused.value.problem_mark is not None and refused.value.problem_mark.line >= 1
    assert len(bounded_yaml.problem(refused.value)) < 300


def test_aliases_of_aliases_are_counted_each_time() -> None:
    with pytest.raises(yaml.MarkedYAMLError, match="more than 100,000 values"):
        bounded_yaml.load(f"a0: &a0 x\n{DOUBLED}\n")
    assert bounded_yaml.load("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_other_values_are_those_of_yaml() -> None:
    text = "a: 1\nb: [2026-01-05, 2.5, ~, yes, 'x']\nc: {d: 12:30}\n"
    assert bounded_yaml.load(text) == yaml.safe_load(text)
    assert bounded_yaml.shown("x" * 500) == repr("x" * 500)[:80] + "…" and bounded_yaml.shown(7) == "7"
