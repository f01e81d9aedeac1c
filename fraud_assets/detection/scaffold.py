"""The scaffold of a new rule: a small rule that works, and examples of it that pass."""

from __future__ import annotations

from dataclasses import dataclass
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

_EXAMPLES = Template("""\
# What $name.sql must say of these rows. Run them with `fraud rules test $name`.
defaults: # columns that every row has unless it says otherwise
  customer_profiles: {currency: EUR, amount_mean: 100.00}
  transactions: {currency: EUR}
examples:
- example: Hits, near misses, and what is not judged
  rows:
    customer_profiles:
    - {customer_id: c1}
    transactions:
    - {transaction_id: far above, customer_id: c1, amount: 1000.00}
    - {transaction_id: near miss, customer_id: c1, amount: 999.99}
    - {transaction_id: no history, customer_id: stranger, amount: 9999.00}
  expect:
    far above: {hit: "1000.00 is 10 times this customer's mean of 100.00, or more"}
    near miss: no hit
    no history: not judged
- example: At the boundary of times_mean
  params: {times_mean: 10}
  # with the looser value both hit, with the tighter one none does
  boundary: {param: times_mean, looser: 9.9999, tighter: 10.0001}
  rows:
    customer_profiles:
    - {customer_id: c1}
    transactions:
    - {transaction_id: at, customer_id: c1, amount: 1000.00}
    - {transaction_id: miss, customer_id: c1, amount: 999.99}
  expect:
    at: hit
    miss: no hit
- example: Currencies are not compared
  rows:
    customer_profiles:
    - {customer_id: c1}
    transactions:
    - {transaction_id: in yen, customer_id: c1, amount: 9999.00, currency: JPY}
  expect:
    in yen: not judged
""")


_LIST_RULE = Template("""\
-- title: $title
-- description: The $key is on the list $listed at the time of the transaction.
-- blind_spot: A $key that is not on the list yet.
-- severity: $severity
-- status: shadow
-- weight: $weight
-- reason: "$key {listed} is on $listed since {listed_on}: {listed_because}"
-- source: The people who keep the list.
SELECT
  t.transaction_id,
  t.customer_id,
  t.event_time,
  l.value_key IS NOT NULL AS hit,
  l.value AS listed,
  DATE_FORMAT(l.starts_at, 'yyyy-MM-dd') AS listed_on,
  l.reason AS listed_because
FROM transactions t
-- an entry counts from when it was added until it ends
LEFT JOIN (
  SELECT e.ds, e.value_key, e.value, e.starts_at, e.ends_at, e.reason
  FROM lists e
  WHERE e.list_name = '$listed' AND e.key_name = '$key'
) l
  ON l.ds = t.ds
  AND $condition
  AND l.starts_at <= t.event_time
  AND (l.ends_at IS NULL OR t.event_time < l.ends_at)
""")

_LIST_EXAMPLES = Template("""\
# What $name.sql must say of these rows. Run them with `fraud rules test $name`.
defaults: # columns that every row has unless it says otherwise
  lists: {list_name: $listed, key_name: $key, value: $value, value_key: $value, reason: known}
examples:
- example: An entry counts from its start until its end
  rows:
    lists:
    - {starts_at: 2026-01-05 12:00:00, ends_at: 2026-01-05 13:00:00}
    transactions:
    - {transaction_id: before, $columns, event_time: 2026-01-05 11:59:59}
    - {transaction_id: at its start, $columns, event_time: 2026-01-05 12:00:00}
    - {transaction_id: at its end, $columns, event_time: 2026-01-05 13:00:00}
    - {transaction_id: another, event_time: 2026-01-05 12:30:00}
  expect:
    before: no hit
    at its start: {hit: "$key $value is on $listed since 2026-01-05: known"}
    at its end: no hit
    another: no hit
- example: Without an end; on another day or list
  rows:
    lists:
    - {starts_at: 2026-01-01}
    transactions:
    - {transaction_id: listed, $columns}
    - {transaction_id: next day, $columns, event_time: 2026-01-06 00:00:00}
  expect:
    listed: hit
- example: Another list, and another key
  rows:
    lists:
    - {starts_at: 2026-01-01, list_name: another}
    - {starts_at: 2026-01-01, key_name: another}
    transactions:
    - {transaction_id: not listed, $columns}
  expect:
    not listed: no hit
""")


@dataclass(frozen=True)
class ListRead:
    """A list that a new rule reads.

    Attributes:
        key: what is listed, such as card.
        condition: in HiveQL, under which an entry `l` names a transaction `t`.
        columns: of `transactions` that the condition compares.
        kind: block or watch.
    """

    name: str
    key: str
    condition: str
    columns: tuple[str, ...]
    kind: str = "block"


def write_scaffold(
    name: str, checkout: Path = CHECKOUT, folder: Path | None = None, listed: ListRead | None = None
) -> tuple[Path, Path]:
    """Write a rule and its examples, and return both paths.

    Args:
        checkout: of this project; they go to its rules.
        folder: with rules of the company's own; they go there instead.
        listed: a list that the rule reads; None for a rule that compares amounts.

    Raises:
        RuleError: the name is invalid or taken, the folder is not a checkout, or a file cannot be written.
    """
    if not name_is_allowed(name):
        raise RuleError(f"{name!r} is not a valid rule name; {NAMING}")
    rule = (folder or checkout / "fraud_assets" / "rules") / f"{name}.sql"
    examples = rule.with_name(f"{name}.examples.yaml")
    for path in (rule, examples):
        if path.exists():
            raise RuleError(f"{path} already exists; choose another name, or edit that file")
    if folder is not None and not folder.is_dir():
        raise RuleError(f"{folder} is not a folder; create it, or name another in FRAUD_RULES_FOLDER")
    if not rule.parent.is_dir():
        raise RuleError(
            f"{checkout} is not a checkout of this project; name the folder of your own rules in FRAUD_RULES_FOLDER, "
            "or a checkout with --folder (it has fraud_assets/rules)"
        )
    words = {"name": name, "title": name.replace("_", " ").strip().capitalize()}
    text, examples_text = _RULE, _EXAMPLES
    if listed is not None:
        text, examples_text = _LIST_RULE, _LIST_EXAMPLES
        values = [f"x{number}" for number, _ in enumerate(listed.columns, 1)]
        words |= {
            "listed": listed.name,
            "key": listed.key,
            "condition": listed.condition,
            "severity": "critical" if listed.kind == "block" else "low",
            "weight": "0.8" if listed.kind == "block" else "0.1",
            "value": "+".join(values),
            "columns": ", ".join(f"{column}: {value}" for column, value in zip(listed.columns, values, strict=True)),
        }
    try:
        examples.write_text(examples_text.substitute(words), encoding="utf-8")
        rule.write_text(text.substitute(words), encoding="utf-8")
    except OSError as error:
        raise RuleError(f"cannot write {error.filename}: {error.strerror}") from None
    return rule, examples
