"""Output of `fraud explain`: an explanation as text for a terminal, or as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from fraud_assets.cli.options import plain
from fraud_assets.cli.safe_text import json_text, visible
from fraud_assets.explain.comparisons import Condition, said, shown
from fraud_assets.explain.explain import Customer, Explanation, Points, Score
from fraud_assets.explain.rule_outcome import RuleOutcome

_HEADINGS = {
    "hit": "Hit",
    "would hit now": "Would hit now: run the day again",
    "not hit": "Not hit",
    "not judged": "Not judged",
}
_COLOURS = {True: "green", False: "red", None: "yellow"}
_UNNAMED = "(currency not named)"
"""Stands for a NULL currency, in text and as a key of JSON."""


def explanation_json(found: Explanation) -> str:
    """The explanation as one JSON object; amounts are strings, so that none is rounded."""
    return json_text(_with_text_keys(dataclasses.asdict(found)), plain)


def _with_text_keys(value: Any) -> Any:
    """The value with `_UNNAMED` for the key None, which JSON does not have."""
    if isinstance(value, dict):
        return {_UNNAMED if key is None else key: _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, (list, tuple)) else value


def explanation(console: Console, found: Explanation) -> None:
    """Print the explanation: transaction, score, customer, then the outcome of every rule, hits first."""
    _print_transaction(console, found.transaction)
    if found.alert and found.score:
        _print_score(console, found.alert["severity"], found.score)
    elif found.alert:
        _print(console, f"Flagged: score {found.alert['score']:.6f}, severity {found.alert['severity']}", style="bold red")
    else:
        _print(console, "Not flagged.")
    if found.points:
        _print_points(console, found.points)
    if found.threshold:
        _print(console, found.threshold["reason"])
    _print_customer(console, found.customer, found.transaction)
    for outcome, heading in _HEADINGS.items():
        verdicts = [verdict for verdict in found.verdicts if verdict.outcome == outcome]
        if verdicts:
            _print(console, f"\n{heading} ({len(verdicts)})", style="bold")
        for verdict in verdicts:
            _print_verdict(console, verdict, found.transaction["currency"])


def _print_transaction(console: Console, row: Mapping[str, Any]) -> None:
    _print(console, f"Transaction {row['transaction_id']}, {row['event_time']:%Y-%m-%d %H:%M:%S} UTC", style="bold")
    merchant = f"{row['merchant_name']} ({row['merchant_id']})" if row["merchant_name"] else row["merchant_id"]
    place = "".join(f", {part}" for part in (row["merchant_city"], row["merchant_country"]) if part)
    kind = ", ".join(row[name] or f"{name} not given" for name in ("transaction_type", "channel", "status"))
    _print(console, f"{_money(row)} at {merchant}{place}; {kind}; customer {row['customer_id']}")


def _print_score(console: Console, severity: str, score: Score) -> None:
    _print(console, f"Flagged: score {score.stored:.6f}, severity {severity}", style="bold red")
    factors = [("?" if each.factor is None else f"{each.factor:.6g}", each) for each in score.factors]
    if score.result is None:
        _print(console, "The score cannot be recomputed: hits have been removed since. Run the day again.", 2)
    else:
        _print(console, f"{score.result:.6f} = 1 − {' × '.join(text for text, _ in factors)}", 2)
        if score.result != score.stored:
            _print(console, "The stored score differs: hits or risks have changed since. Run the day again.", 2)
    width = max(len(text) for text, _ in factors)
    for text, each in factors:
        origin = "hit removed" if each.weight is None else f"1 − {each.weight:.6g}"
        note = f"; {each.note}" if each.note else ""
        _print(console, f"{text:<{width}} = {origin}, {each.rule or 'customer at high risk'}{note}", 4)


def _print_points(console: Console, scored: Points) -> None:
    learned = ", the default for banks without labels" if scored.card_version.startswith("default-") else ""
    _print(console, f"Score {scored.score:.6f}: {scored.points} points (0 is an even chance, 20 more double the odds)")
    _print(console, f"scorecard {scored.card_version}{learned}", 2)
    width = max(len(f"{each.points:+}") for each in scored.contributions)
    for each in scored.contributions:
        value = "" if each.value is None else f" = {each.value}"
        _print(console, f"{each.points:+{width}} {each.name}{value}", 4)


def _print_customer(console: Console, customer: Customer, transaction: Mapping[str, Any]) -> None:
    _print(console, f"\nCustomer {transaction['customer_id']}, as of the start of {transaction['ds']}", style="bold")
    score = "unknown" if customer.credit_score is None else customer.credit_score
    _print(console, f"credit score {score}; {customer.high_risk or 'not at high risk'}", 2)
    if customer.profiles:
        _print_profiles(console, customer)
    else:
        _print(console, "no payments in the preceding 90 days", 2)
    if customer.before:
        _print_preceding(console, customer)
    else:
        _print(console, "no preceding transactions", 2)


def _print_profiles(console: Console, customer: Customer) -> None:
    table = _table("Currency", "Payments", "Mean", "Deviation", "Largest", "Last day", right=range(1, 5))
    for row in customer.profiles:
        numbers = (row["transactions"], row["amount_mean"], row["amount_deviation"], row["amount_max"])
        table.add_row(
            visible(row["currency"] or _UNNAMED), *(f"{n:,}" if n is not None else "" for n in numbers), row["last_day"]
        )
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _print_preceding(console: Console, customer: Customer) -> None:
    _print(console, "\nPreceding transactions of the customer", style="bold")
    table = _table("Time (UTC)", "Amount", "Merchant", "Country", "Status", "Flagged", right=[1])
    for row in customer.before:
        merchant = row["merchant_name"] or row["merchant_id"]
        texts = (merchant, row["merchant_country"] or "", row["status"] or "", "yes" if row["flagged"] else "")
        table.add_row(f"{row['event_time']:%Y-%m-%d %H:%M:%S}", visible(_money(row)), *map(Text, map(visible, texts)))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _print_verdict(console: Console, verdict: RuleOutcome, currency: str | None) -> None:
    details = [verdict.severity]
    if verdict.status != "active":
        details.append(f"{verdict.status}, raises no alert")
    if verdict.weight is not None:
        details += [f"weight {verdict.weight:.6g}", f"version {verdict.version}"]
    line = Text(f"{verdict.rule}  ", style="bold cyan").append(", ".join(details), style="not bold default dim")
    console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)
    if verdict.reason:
        _print(console, verdict.reason, 4)
    for note in verdict.notes:
        _print(console, f"Note: {note}", 4, style="yellow")
    if verdict.outcome == "not judged":
        for cause in verdict.why or ["the cause cannot be derived from the rule's SELECT"]:
            _print(console, cause, 4)
    elif verdict.condition:
        _print_condition(console, verdict.condition)
    elif verdict.evidence and not verdict.reason:
        _print(console, ", ".join(f"{name} {shown(value)}" for name, value in verdict.evidence.items()), 4)
    if verdict.outcome == "hit" and verdict.params:
        _print(console, f"params in force: {', '.join(_params(verdict.params, currency))}", 4, style="dim")


def _print_condition(console: Console, condition: Condition, indent: int = 4) -> None:
    if condition.how:
        _print(console, f"{condition.how} of", indent, style="dim")
        for part in condition.parts:
            _print_condition(console, part, indent + 2)
        return
    line = Text(visible(f"{condition.text}: ")).append(said(condition.holds), style=_COLOURS[condition.holds])
    if condition.off:
        line.append(visible(f", by {condition.off}"))
    console.print(Padding(line, (0, 0, 0, indent), expand=False), highlight=False)


def _params(params: Mapping[str, Any], currency: str | None) -> Iterator[str]:
    """Params with their values; of amounts per currency, only the one of the transaction's currency."""
    for name, value in params.items():
        if not isinstance(value, dict):
            yield f"{name} {shown(value)}"
        elif currency in value:
            yield f"{name} {shown(value[currency])} {currency or _UNNAMED}"


def _money(row: Mapping[str, Any]) -> str:
    return f"{row['amount']:,} {row['currency'] or _UNNAMED}"


def _table(*columns: str, right: Collection[int]) -> RichTable:
    """A table without lines; the columns at the positions `right` are aligned to the right."""
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for position, name in enumerate(columns):
        table.add_column(name, justify="right" if position in right else "left", overflow="fold")
    return table


def _print(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    console.print(Padding(Text(visible(text), style=style), (0, 0, 0, indent), expand=False), highlight=False)
