"""What a changed rule would do: hits, alerts and frauds gained and lost on stored days. Reads tables and writes none.

The hits of the rule in force and of the changed rule are both computed anew, over the same stored transactions and features, so
that every difference comes from the change. The hits of the other rules are those stored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlglot import exp

from fraud_assets.detection.hits_query import hits_query
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RuleBook
from fraud_assets.errors import RuleError
from fraud_assets.evaluation.maturity import Maturity, learn
from fraud_assets.evaluation.rule_quality import Facts, Interval, Money, read_facts, wilson
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.params import Amounts
from fraud_assets.sql.windows import as_cte, hits_within, hiveql, with_ctes
from hive_io import PARTITION, Reader, Span, Table

Key = tuple[str, str]
"""A transaction in a day: transaction_id, ds."""

MOST_POINTS = 50
"""Most values of a sweep; each one computes the rule anew."""
_POINTS = 10
"""Steps of a sweep that names none."""


@dataclass(frozen=True)
class Tally:
    """Some hits or alerts, against the labels.

    Attributes:
        count: how many.
        frauds: those on transactions known to be frauds, of any day.
        money: amounts of these frauds, per currency.
        matured: those on mature days, where a transaction without a label counts as honest.
        matured_frauds: known frauds among the matured.
    """

    count: int = 0
    frauds: int = 0
    money: Money = field(default_factory=dict)
    matured: int = 0
    matured_frauds: int = 0

    @property
    def precision(self) -> float | None:
        """Share of frauds among the matured; None without any."""
        return self.matured_frauds / self.matured if self.matured else None

    @property
    def precision_interval(self) -> Interval | None:
        return wilson(self.matured_frauds, self.matured)


@dataclass(frozen=True)
class Compared:
    """Hits or alerts of the rules in force and of the changed ones, and the differences."""

    before: Tally
    after: Tally
    gained: Tally
    lost: Tally


@dataclass(frozen=True)
class Example:
    """A hit that was gained or lost.

    Attributes:
        reason: the reason text of the hit, by the version of the rule that hits.
        is_fraud: what the labels say; None if the transaction has none.
    """

    transaction_id: str
    ds: str
    reason: str
    is_fraud: bool | None


@dataclass(frozen=True)
class Trial:
    """Result of trying a changed rule on a span.

    Attributes:
        rule: the changed rule.
        in_force: the rule of this name in force; None if it is not evaluated, or there is none.
        maturity: how much of each day's truth was known.
        transactions: stored in the span.
        frauds: known among them.
        hits: of the rule.
        alerts: transactions hit by any active rule, before and after. The changed rule counts as active.
        gained, lost: examples of hits, frauds first.
    """

    rule: Rule
    in_force: Rule | None
    span: Span
    maturity: Maturity
    transactions: int
    frauds: int
    hits: Compared
    alerts: Compared
    gained: Sequence[Example]
    lost: Sequence[Example]

    @property
    def days(self) -> int:
        return len(list(self.span.each_day()))


@dataclass(frozen=True)
class Point:
    """One value of a sweep, with what the rule would do: its hits, and the alerts of the whole rule set."""

    value: Decimal | int
    is_in_force: bool
    days: int
    hits: Tally
    alerts: Tally


class Workbench:
    """Tries changed rules on the stored tables of a span.

    Args:
        book: the rules in force.
        reader: a warehouse; it is only read.
        as_of: labels known by the end of this day count.

    Raises:
        RuleError: the span has no stored transactions.
    """

    def __init__(self, book: RuleBook, reader: Reader, span: Span, as_of: dt.date) -> None:
        self.book, self.span, self.as_of = book, span, as_of
        self._reader = reader
        self._tables = book.tables()
        self._existing = set(reader.tables(DATABASE))
        stored = reader.partitions(TRANSACTIONS.table.full_name) if TRANSACTIONS.table.name in self._existing else {}
        self._transactions = sum(rows for ds, rows in stored.items() if span.first_ds <= ds <= span.last_ds)
        if not self._transactions:
            have = f"it has those of {min(stored)} to {max(stored)}" if stored else "it has none"
            raise RuleError(f"The warehouse has no transactions of {span}; {have}")
        self._facts: Facts = read_facts(reader, [], span, as_of)
        self._maturity = learn(self._facts.delays, as_of)
        self._others: dict[str, set[Key]] = {}

    def hits(self, rule: Rule) -> dict[Key, str]:
        """The hits of a rule in the span, computed anew, with their reasons.

        Raises:
            RuleError: a table that the rule reads does not exist.
        """
        return {(row["transaction_id"], row[PARTITION]): row["reason"] for row in self._computed(rule, "reason")}

    def try_rule(self, changed: Rule, examples: int = 3, *, alerting: bool = True) -> Trial:
        """Compare a changed rule with the one of its name in force.

        Args:
            examples: most examples of hits gained, and of hits lost.
            alerting: False to count the changed rule as not active.
        """
        in_force = self.book.in_force(changed.name)
        before = self.hits(in_force) if in_force else {}
        same = in_force is not None and in_force.version == changed.version
        after = before if same else self.hits(changed)
        others = self._hits_of_others(changed.name)
        alerts_before = others | (before.keys() if in_force is not None and in_force.status == "active" else set())
        alerts_after = others | (after.keys() if alerting else set())
        return Trial(
            rule=changed,
            in_force=in_force,
            span=self.span,
            maturity=self._maturity,
            transactions=self._transactions,
            frauds=self._frauds(),
            hits=self._compare(before.keys(), after.keys()),
            alerts=self._compare(alerts_before, alerts_after),
            gained=self._examples({key: after[key] for key in after.keys() - before.keys()}, examples),
            lost=self._examples({key: before[key] for key in before.keys() - after.keys()}, examples),
        )

    def sweep(
        self, rule: Rule, param: str, values: Iterable[Decimal | int], changed: Callable[[Decimal | int], Rule]
    ) -> list[Point]:
        """What the rule would do with each value of a param.

        Args:
            param: `name`, or `name.CURRENCY` for one amount of a param with an amount per currency.
            changed: the rule with a value.
        """
        others = self._hits_of_others(rule.name)
        in_force = self.book.rules.get(rule.name)
        current = value_of(in_force, param) if in_force and param.partition(".")[0] in in_force.file.values else None
        days = len(list(self.span.each_day()))
        points = []
        for value in values:
            keys = {(row["transaction_id"], row[PARTITION]) for row in self._computed(changed(value))}
            points.append(Point(value, value == current, days, self._tally(keys), self._tally(others | keys)))
        return points

    def _frauds(self) -> int:
        as_of = self.as_of.isoformat()
        labels = (self._facts.known(transaction, as_of) for transaction in self._facts.labels)
        return sum(label is not None and bool(label.is_fraud) for label in labels)

    def _computed(self, rule: Rule, *columns: str) -> list[dict[str, Any]]:
        if missing := sorted(rule.file.tables() - self._existing):
            raise RuleError(
                f"{rule.name} reads {', '.join(missing)}, which the warehouse does not have; fill it with `fraud run`"
            )
        ctes, hits = as_cte(hits_query(rule, self._tables, self.span).bound().copy(), "hits")
        tree = exp.select("transaction_id", PARTITION, *columns).from_(hits)
        return self._reader.query(hiveql(with_ctes(tree, ctes))).to_pylist()

    def _hits_of_others(self, name: str) -> set[Key]:
        """Transactions that the other active rules hit, as stored."""
        if name not in self._others:
            tables: Mapping[str, Table] = {
                rule.name: rule.table for rule in self.book.alerting if rule.name != name and rule.name in self._existing
            }
            rows = self._reader.query(hiveql(hits_within(tables, self.span))).to_pylist() if tables else []
            self._others[name] = {(row["transaction_id"], row[PARTITION]) for row in rows}
        return self._others[name]

    def _compare(self, before: Iterable[Key], after: Iterable[Key]) -> Compared:
        old, new = {*before}, {*after}
        return Compared(self._tally(old), self._tally(new), self._tally(new - old), self._tally(old - new))

    def _tally(self, keys: Iterable[Key]) -> Tally:
        count = frauds = matured = matured_frauds = 0
        money: dict[str, Decimal] = {}
        mature = {day.isoformat(): self._maturity.is_mature(day) for day in self.span.each_day()}
        for transaction, ds in keys:
            count += 1
            matured += mature[ds]
            label = self._facts.known(transaction, self.as_of.isoformat())
            if label is not None and label.is_fraud:
                frauds += 1
                matured_frauds += mature[ds]
                money[label.currency] = money.get(label.currency, Decimal(0)) + label.amount
        return Tally(count, frauds, dict(sorted(money.items())), matured, matured_frauds)

    def _examples(self, hits: Mapping[Key, str], most: int) -> list[Example]:
        found = []
        for (transaction, ds), reason in hits.items():
            label = self._facts.known(transaction, self.as_of.isoformat())
            found.append(Example(transaction, ds, reason, None if label is None else label.is_fraud))
        found.sort(key=lambda each: (not each.is_fraud, each.ds, each.transaction_id))
        frauds = [each for each in found if each.is_fraud]
        others = [each for each in found if not each.is_fraud]
        # some of both kinds, where there are both
        kept = max(most - len(others), (most + 1) // 2)
        return [*frauds[:kept], *others[: most - len(frauds[:kept])]]


def value_of(rule: Rule, param: str) -> Any:
    """The value in force of `name`, or of `name.CURRENCY`.

    Raises:
        RuleError: the rule has no such param.
    """
    name, _, currency = param.partition(".")
    if name not in rule.file.meta.params:
        raise RuleError(f"{rule.name} has no param {name}; its params are {', '.join(rule.file.meta.params) or 'none'}")
    value = rule.file.values[name]
    if isinstance(value, dict) and currency:
        return value.get(None if currency == "null" else currency)
    if currency:
        raise RuleError(f"{rule.name}: {name} is one value, not one per currency; write {name}=…")
    return value


def with_params(rule: Rule, given: Mapping[str, Any]) -> Rule:
    """The rule with other values for some params, held against their types and bounds.

    Args:
        given: by param; `name.CURRENCY` changes the amount of one currency (`name.null`: of transactions that name none).

    Raises:
        RuleError: an unknown param, or a value that it cannot have.
    """
    values: dict[str, Decimal | int | Amounts] = {}
    for param, value in given.items():
        value_of(rule, param)  # the param must exist
        name, _, currency = param.partition(".")
        if currency:
            amounts = values.get(name, rule.file.values[name])
            assert isinstance(amounts, dict)
            value = {**amounts, None if currency == "null" else currency: value}
        try:
            values[name] = rule.file.meta.params[name].read(value)
        except ValueError as error:
            raise RuleError(f"{rule.name}: {param}: {error}") from None
    return rule.with_values(values)


def sweep_values(rule: Rule, param: str, text: str) -> list[Decimal | int]:
    """The values of `a..b` or `a..b..step`, from a to b; by default ten steps.

    Raises:
        RuleError: the text is not of this form, has more than 50 values, or leaves the bounds of the param.
    """
    value_of(rule, param)
    name, _, currency = param.partition(".")
    described = rule.file.meta.params[name]
    if described.type == "amounts" and not currency:
        known = ", ".join("null" if each is None else each for each in described.default)
        raise RuleError(f"{rule.name}: {name} has an amount per currency; sweep one of them, as {name}.CURRENCY ({known})")
    try:
        bounds = [Decimal(part) for part in text.split("..")]
    except ArithmeticError:
        bounds = []
    if len(bounds) not in (2, 3) or not all(bound.is_finite() for bound in bounds) or bounds[0] >= bounds[1]:
        raise RuleError(f"expected {param}=a..b or {param}=a..b..step with numbers a < b, found {text!r}")
    low, high = bounds[:2]
    step = bounds[2] if len(bounds) == 3 else (high - low) / _POINTS
    if len(bounds) == 2 and described.type == "integer":
        step = max(Decimal(1), step.to_integral_value(rounding="ROUND_CEILING"))
    elif len(bounds) == 2 and described.type == "amounts":
        step = max(Decimal("0.01"), step.quantize(Decimal("0.01")))
    if step <= 0 or (high - low) / step >= MOST_POINTS:
        raise RuleError(f"expected a step above 0 that gives at most {MOST_POINTS} values, found {step} from {low} to {high}")
    values = []
    while low <= high:
        changed = with_params(rule, {param: low})
        values.append(value_of(changed, param))
        low += step
    return values
