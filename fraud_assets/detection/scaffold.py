"""The scaffold of a new rule: a small rule that works, and a test of it that passes."""

from __future__ import annotations

from pathlib import Path
from string import Template

from fraud_assets.checkout import CHECKOUT
from fraud_assets.detection.rule_check import NAMING, name_is_allowed
from fraud_assets.errors import RuleError

_RULE = Template("""\
-- title: $title
-- description: The amount is many times what the customer usually pays in this currency.
-- blind_spot: Customers without a history in the currency, and fraud in their usual amounts.
-- severity: low
-- status: shadow
-- weight: 0.1
-- params:
--   times_mean: {type: decimal, default: 10, min: 1, max: 1000, description: A hit is at least this multiple of the mean.}
-- reason: "{amount} is {times_mean} times this customer's mean of {mean}, or more"
-- source: The origin of the idea and of its thresholds.
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  t.amount >= p.amount_mean * :times_mean AS hit,
  t.amount,
  p.amount_mean AS mean
FROM transactions t
-- a customer without a history in this currency is not judged
JOIN customer_profiles p
  ON p.ds = t.ds AND p.customer_id = t.customer_id AND p.currency <=> t.currency
""")

_TEST = Template('''\
"""$name: hits, near misses, and transactions that it cannot judge."""

from __future__ import annotations

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import EmbeddedWarehouse
from tests.boundaries import Boundary
from tests.fraud_fixtures import judge, profile, transaction

RULE = "$name"
# for each param: a looser value, the default, a tighter one; `at` hits with the first two, `miss` only with the first
BOUNDARIES = [
    Boundary(
        RULE,
        "times_mean",
        (9.9999, 10, 10.0001),
        {
            "customer_profiles": [profile("c1")],
            "transactions": [transaction("at", "c1", "1000.00"), transaction("miss", "c1", "999.99")],
        },
    ),
]


def test_hits_near_misses_and_what_is_not_judged(lake: EmbeddedWarehouse) -> None:
    result = judge(
        Engine(read_rule_book()),
        lake,
        RULE,
        customer_profiles=[profile("c1")],  # a mean of 100.00
        transactions=[
            transaction("hit", "c1", "1000.00"),
            transaction("near miss", "c1", "999.99"),
            transaction("not judged", "stranger", "9999.00"),
        ],
    )
    assert {name: hit["reason"] for name, hit in result.hits.items()} == {
        "hit": "1000.00 is 10 times this customer's mean of 100.00, or more",
    }
    assert (result.transactions, result.judged) == (3, 2)
''')


def write_scaffold(name: str, checkout: Path = CHECKOUT) -> tuple[Path, Path]:
    """Write a rule and its test into a checkout of this project, and return both paths.

    Raises:
        RuleError: the name is invalid or taken, the folder is not a checkout, or a file cannot be written.
    """
    if not name_is_allowed(name):
        raise RuleError(f"{name!r} is not a valid rule name; {NAMING}")
    rule = checkout / "fraud_assets" / "rules" / f"{name}.sql"
    test = checkout / "tests" / "rules" / f"test_{name}.py"
    for path in (rule, test):
        if path.exists():
            raise RuleError(f"{path} already exists; choose another name, or edit that file")
    if not rule.parent.is_dir() or not (checkout / "tests").is_dir():
        raise RuleError(
            f"{checkout} is not a checkout of this project; name one with --folder (it has fraud_assets/rules and tests)"
        )
    words = {"name": name, "title": name.replace("_", " ").strip().capitalize()}
    try:
        test.parent.mkdir(exist_ok=True)
        (test.parent / "__init__.py").touch()
        test.write_text(_TEST.substitute(words), encoding="utf-8")
        rule.write_text(_RULE.substitute(words), encoding="utf-8")
    except OSError as error:
        raise RuleError(f"cannot write {error.filename}: {error.strerror}") from None
    return rule, test
