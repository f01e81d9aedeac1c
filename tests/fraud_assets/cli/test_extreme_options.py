"""Days, times and numbers at and beyond the ends of what Python can count: each is answered or refused, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fraud_assets.cli.options import DAY, SINCE, TIME
from fraud_assets.detection.rule_book import read_rule_book
from hive_io import EmbeddedWarehouse
from tests.fraud_assets.cli.test_main import COMMANDS, fraud
from tests.fraud_fixtures import all_tables, fill, transaction

DAYS = [
    "0001-01-01",
    "0001-01-02",
    "1969-12-31",
    "1970-01-01",
    "9998-12-31",
    "9999-12-30",
    "9999-12-31",
    "10000-01-01",
    "0000-00-00",
]
TIMES = [
    "0001-01-01T00:00Z", "0001-01-01T00:00+14:00", "1969-12-31T23:59Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59-14:00",
    "2026-01-05T00:00+23:59", "2026-01-05T00:00", "2262-04-11T23:47:16.854776Z", "1677-09-21T00:12:43Z",
]  # fmt: skip
NUMBERS = [
    "9" * 20,
    "9223372036854775807",
    "9223372036854775808",
    "4294967296",
    "2147483648",
    "0",
    "-1",
    "1e5",
    "nan",
    "inf",
    "1e400",
]

GIVEN = {
    "fraud alerts": [],
    "fraud alerts diff": ["2026-03-01"],
    "fraud cases decide": ["1", "--as", "fraud", "--reason", "mule"],
    "fraud cases lift": [],
    "fraud cases list": [],
    "fraud cases sync": [],
    "fraud cases suppress": ["customer", "c1", "--why", "x", "--until", "2026-03-01"],
    "fraud explain": ["t1"],
    "fraud lists add": ["cards", "card", "tok", "--kind", "block", "--why", "x"],
    "fraud rejected list": ["transactions"],
    "fraud rejected retry": ["transactions"],
    "fraud rules near": ["high_value"],
    "fraud rules show": ["high_value"],
    "fraud rules try": ["high_value"],
    # before the first day: refused before a source is asked
    "fraud run": ["--from", "2024-01-05", "--to", "2024-01-06"],
}
"""Arguments of commands that read the warehouse, besides the option tried."""
ELSEWHERE = {
    "fraud demo": "its number of days has bounds; it starts a source of its own",
    "fraud desk": "serves until it is stopped; its only number is a port, with bounds",
    "fraud evaluate": "tests/fraud_assets/cli/test_evaluate.py",
    "fraud hive start": "its only number is a port, with bounds",
    "fraud replay": "its days are those of `fraud run`; it starts a source of its own",
    "fraud rules promote": "its days are those of `fraud rules try`; its other numbers are only compared",
    "fraud rules quality": "tests/fraud_assets/cli/test_rule_quality.py",
    "fraud sources check": "its number is a count of rows, with a test of its own",
    "fraud sources guess": "its number is a count of rows, with a test of its own",
    "fraud sources replay": "serves until it is stopped",
    "fraud sources serve": "serves until it is stopped",
    "fraud ui": "its only number is a port, with bounds",
    "fraud watch": "runs until it is stopped",
}
"""Commands with days, times or numbers that are not tried here, with the reason."""


def values_of(option: click.Parameter) -> list[str]:
    if option.type is DAY:
        return DAYS
    if option.type in (TIME, SINCE):
        return TIMES + DAYS
    return NUMBERS if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType)) else []


def cases() -> Iterator[tuple[str, str, list[str]]]:
    for path, command in COMMANDS.items():
        for option in command.params:
            if values_of(option) and path in GIVEN:
                yield path, option.opts[0], values_of(option)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = EmbeddedWarehouse(tmp_path_factory.mktemp("extreme") / "lake")
    all_tables(lake, read_rule_book())
    fill(lake, "transactions", [transaction("t1")])
    return lake.root


def test_every_command_with_such_an_option_is_listed() -> None:
    with_values = {path for path, command in COMMANDS.items() if any(map(values_of, command.params))}
    assert with_values - GIVEN.keys() - ELSEWHERE.keys() == set()
    assert {path for path, _, _ in cases()} == {*GIVEN}


@pytest.mark.parametrize(
    ("path", "option", "values"),
    [
        # they build every asset, or compute a rule, for each value
        pytest.param(
            *case,
            id=f"{case[0]} {case[1]}",
            marks=[pytest.mark.slow] if case[0] in ("fraud run", "fraud rejected retry", "fraud rules try") else [],
        )
        for case in cases()
    ],
)
def test_an_extreme_value_is_answered_or_refused(
    path: str, option: str, values: list[str], filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_WAREHOUSE", str(filled))
    given = GIVEN[path]
    if option in given:
        place = given.index(option)
        given = [*given[:place], *given[place + 2 :]]
    for value in values:
        result = fraud(*path.split()[1:], *given, option, value)
        assert result.exception is None or isinstance(result.exception, SystemExit), (value, result.exc_info)
        assert "Traceback" not in result.output
        assert result.exit_code in (0, 1, 2), value
