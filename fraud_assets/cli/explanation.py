"""What `fraud explain` shows: an explanation as text for a terminal, or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from fraud_assets.cli.options import plain
from fraud_assets.explain.comparisons import Condition, said, shown
from fraud_assets.explain.explain import Customer, Explanation, Score
from fraud_assets.explain.rule_outcome import RuleOutcome

_GROUPS = {"hit": "Hit", "would hit now": "Would hit now: run the day again", "not hit": "Not hit", "not judged": "Not judged"}
_COLOURS = {True: "green", False: "red", None: "yellow"}
_UNNAMED = "(currency not named)"


def explanation_json(found: Explanation) -> str:
    """The explanation as one JSON object; amounts are text, so that nothing is rounded."""
    return json.dumps(_named(dataclasses.asdict(found)), default=plain, ensure_ascii=False, indent=2)


def _named(value: Any) -> Any:
    """With texts for the keys of amounts that are of no currency."""
    if isinstance(value, dict):
        return {_UNNAMED if key is None else key: _named(each) for key, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, (list, tuple)) else value


def explanation(console: Console, found: Explanation) -> None:
    _transaction(console, found.transaction)
    if found.alert and found.score:
        _score(console, found.alert["severity"], found.score)
    else:
        _say(console, "Not flagged.")
    _customer(console, found.customer, found.transaction)
    for outcome, title in _GROUPS.items():
        verdicts = [verdict for verdict in found.verdicts if verdict.outcome == outcome]
        if verdicts:
            _say(console, f"\n{title} ({len(verdicts)})", style="bold")
        for verdict in verdicts:
            _verdict(console, verdict, found.transaction["currency"])


def _transaction(console: Console, row: Mapping[str, Any]) -> None:
    _say(console, f"Transaction {row['transaction_id']}, {row['event_time']:%Y-%m-%d %H:%M:%S} UTC", style="bold")
    merchant = f"{row['merchant_name']} ({row['merchant_id']})" if row["merchant_name"] else row["merchant_id"]
    place = ", ".join(each for each in (row["merchant_city"], row["merchant_country"]) if each)
    kind = ", ".join(row[name] or f"{name} not given" for name in ("transaction_type", "channel", "status"))
    _say(console, f"{_money(row)} at {merchant}{f', {place}' if place else ''}; {kind}; customer {row['customer_id']}")


def _score(console: Console, severity: str, score: Score) -> None:
    _say(console, f"Flagged: score {score.stored:.6f}, severity {severity}", style="bold red")
    factors = [("?" if each.factor is None else f"{each.factor:.6g}", each) for each in score.factors]
    if score.result is None:
        _say(console, "How it came about is not known any more: hits are gone since. Run the day again.", 2)
    else:
        _say(console, f"{score.result:.6f} = 1 − {' × '.join(text for text, _ in factors)}", 2)
        if score.result != score.stored:
            _say(console, "That is not the stored score: hits or risks changed since. Run the day again.", 2)
    width = max(len(text) for text, _ in factors)
    for text, each in factors:
        weight = "its hit is gone" if each.weight is None else f"1 − {each.weight:.6g}"
        _say(
            console,
            f"{text:<{width}} = {weight}, {each.rule or 'customer at high risk'}{f'; {each.note}' if each.note else ''}",
            4,
        )


def _customer(console: Console, customer: Customer, transaction: Mapping[str, Any]) -> None:
    _say(console, f"\nCustomer {transaction['customer_id']}, as known when {transaction['ds']} began", style="bold")
    score = "not known" if customer.credit_score is None else customer.credit_score
    _say(console, f"credit score {score}; {customer.high_risk or 'not at high risk'}", 2)
    if customer.profiles:
        table = _table("Usual in", "Payments", "Mean", "Deviation", "Largest", "Last day", right=range(1, 5))
        for row in customer.profiles:
            numbers = (row["transactions"], row["amount_mean"], row["amount_deviation"], row["amount_max"])
            table.add_row(row["currency"] or _UNNAMED, *(f"{n:,}" if n is not None else "" for n in numbers), row["last_day"])
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
    else:
        _say(console, "no payments in the 90 days before", 2)
    if not customer.before:
        _say(console, "no transactions before this one", 2)
        return
    _say(console, "\nIts last transactions before this one", style="bold")
    table = _table("Time (UTC)", "Amount", "Merchant", "Country", "Status", "Flagged", right=[1])
    for row in customer.before:
        merchant = row["merchant_name"] or row["merchant_id"]
        told = (merchant, row["merchant_country"] or "", row["status"] or "", "yes" if row["flagged"] else "")
        table.add_row(f"{row['event_time']:%Y-%m-%d %H:%M:%S}", _money(row), *map(Text, told))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _verdict(console: Console, verdict: RuleOutcome, currency: str | None) -> None:
    heading = [verdict.rule, verdict.severity]
    if verdict.status != "active":
        heading.append(f"{verdict.status}, makes no alert")
    if verdict.weight is not None:
        heading += [f"weight {verdict.weight:.6g}", f"version {verdict.version}"]
    line = Text(f"{heading[0]}  ", style="bold cyan").append(", ".join(heading[1:]), style="not bold default dim")
    console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)
    if verdict.reason:
        _say(console, verdict.reason, 4)
    for note in verdict.notes:
        _say(console, f"Note: {note}", 4, style="yellow")
    if verdict.outcome == "not judged":
        for each in verdict.why or ["what left it out cannot be told from the rule's SELECT"]:
            _say(console, each, 4)
    elif verdict.condition:
        _conditions(console, verdict.condition)
    elif verdict.evidence and not verdict.reason:
        _say(console, ", ".join(f"{name} {shown(value)}" for name, value in verdict.evidence.items()), 4)
    if verdict.outcome == "hit" and verdict.params:
        _say(console, f"params in force: {', '.join(_params(verdict.params, currency))}", 4, style="dim")


def _conditions(console: Console, condition: Condition, indent: int = 4) -> None:
    if condition.how:
        _say(console, f"{condition.how} of", indent, style="dim")
        for part in condition.parts:
            _conditions(console, part, indent + 2)
        return
    line = Text(f"{condition.text}: ").append(said(condition.holds), style=_COLOURS[condition.holds])
    if condition.off:
        line.append(f", by {condition.off}")
    console.print(Padding(line, (0, 0, 0, indent), expand=False), highlight=False)


def _params(params: Mapping[str, Any], currency: str | None) -> Iterator[str]:
    for name, value in params.items():
        if not isinstance(value, dict):
            yield f"{name} {shown(value)}"
        elif currency in value:
            yield f"{name} {shown(value[currency])} {currency or _UNNAMED}"


def _money(row: Mapping[str, Any]) -> str:
    return f"{row['amount']:,} {row['currency'] or _UNNAMED}"


def _table(*columns: str, right: Any) -> RichTable:
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", overflow="fold")
    return table


def _say(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    console.print(Padding(Text(text, style=style), (0, 0, 0, indent), expand=False), highlight=False)
