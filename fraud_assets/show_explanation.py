"""What `fraud explain` shows: an explanation as text for a terminal, or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from fraud_assets.conditions import Condition, said
from fraud_assets.explain import Customer, Explanation, Factor, Score, Verdict
from fraud_assets.options import plain

_UNNAMED = "(currency not named)"


def explanation_json(found: Explanation) -> str:
    """The explanation as one JSON object; amounts are text, so that nothing is rounded."""
    return json.dumps(dataclasses.asdict(found), default=plain, ensure_ascii=False, indent=2)


def explanation(console: Console, found: Explanation) -> None:
    row = found.transaction
    _say(console, f"[bold]Transaction {escape(row['transaction_id'])}[/bold]  {row['event_time']:%Y-%m-%d %H:%M:%S} UTC")
    amount = f"{row['amount']:,} {escape(row['currency'] or _UNNAMED)}"
    kind, status = row["transaction_type"] or "kind not given", row["status"] or "not given"
    _say(console, f"{amount} at merchant {escape(row['merchant_id'])}, {escape(kind)}, status {escape(status)}")
    if found.alert and found.score:
        _score(console, found.alert["severity"], found.score)
    else:
        _say(console, "Not flagged.")
    _customer(console, found.customer, row["ds"])
    table = RichTable("Rule", "Verdict now", title="Every rule", title_justify="left", show_lines=True)
    table.add_column("Reason, or what it looked at", overflow="fold", ratio=1)
    for verdict in found.verdicts:
        table.add_row(verdict.rule, _outcome(verdict), escape(_looked(verdict)))
    console.print(table)


def _score(console: Console, severity: str, score: Score) -> None:
    _say(console, f"Flagged: score {score.stored:.3f}, severity {severity}")
    if score.computed is not None:
        product = " × ".join(_left(factor) for factor in score.factors)
        _say(console, f"  {score.computed:.3f} = 1 − {product}, of")
    for factor in score.factors:
        weight = "not known" if factor.weight is None else f"{_left(factor)} = 1 − {factor.weight:.3f}"
        _say(console, escape(f"  {weight}  {_because(factor)}"))
    if score.computed is None:
        _say(console, "  Hits of these rules are gone since the alert was made: run the day again.")
    elif score.computed != score.stored:
        _say(console, f"  Not the stored {score.stored:.6f}: hits or risks changed since it was made; run the day again.")


def _left(factor: Factor) -> str:
    return "?" if factor.weight is None else f"{1 - factor.weight:.3f}"


def _because(factor: Factor) -> str:
    if factor.rule is None:
        return f"a high-risk customer on that day: {factor.reason}"
    return f"{factor.rule} ({_version(factor.version, factor.in_force)}): {factor.reason}"


def _version(version: str | None, in_force: str | None) -> str:
    if in_force is None:
        return f"version {version}; the rule is not in force any more"
    return f"version {version}" if version == in_force else f"version {version}; in force is {in_force}"


def _customer(console: Console, customer: Customer, day: str) -> None:
    score = "not known" if customer.credit_score is None else customer.credit_score
    risk = f"at high risk: {customer.high_risk}" if customer.high_risk else "not at high risk"
    _say(console, escape(f"\nCustomer {customer.customer_id} on {day}: credit score {score}, {risk}"))
    table = RichTable("Currency", title="Usual when the day began", title_justify="left")
    for column in ("Payments", "Mean", "Deviation", "Largest", "Last day"):
        table.add_column(column, justify="right")
    for each in customer.profiles:
        numbers = (each["transactions"], each["amount_mean"], each["amount_deviation"], each["amount_max"])
        shown = ["not known" if number is None else f"{number:,}" for number in numbers]
        table.add_row(escape(each["currency"] or _UNNAMED), *shown, each["last_day"] or "not known")
    console.print(table if customer.profiles else "No payments in the 90 days before.")
    recent = RichTable("Time (UTC)", title="The last transactions before this one", title_justify="left")
    recent.add_column("Amount", justify="right")
    for column in ("Merchant", "Country", "Status", "Flagged"):
        recent.add_column(column, overflow="fold")
    for each in customer.before:
        recent.add_row(
            f"{each['event_time']:%Y-%m-%d %H:%M:%S}",
            f"{each['amount']:,} {escape(each['currency'] or '')}".strip(),
            escape(each["merchant_id"]),
            escape(each["merchant_country"] or ""),
            escape(each["status"] or ""),
            "yes" if each["flagged"] else "",
        )
    console.print(recent if customer.before else "No transaction before this one.")


def _outcome(verdict: Verdict) -> str:
    if verdict.outcome != "hit":
        return verdict.outcome
    weight = "" if verdict.weight is None else f", weight {verdict.weight:.2f}"
    return f"hit{weight}\n{_version(verdict.version, verdict.in_force)}"


def _looked(verdict: Verdict) -> str:
    if verdict.reason:
        return verdict.reason
    if verdict.condition:
        return "\n".join(_lines(verdict.condition))
    if verdict.left_out:
        return "\n".join(verdict.left_out)
    looked = ", ".join(f"{name} {value}" for name, value in verdict.evidence.items() if value is not None)
    return looked or "it lacked a history, a score, a place or a list for this transaction"


def _lines(condition: Condition, depth: int = 0) -> Iterator[str]:
    """A comparison a line, those that belong together under what they are together."""
    if not condition.how:
        yield f"{'  ' * depth}{condition}"
        return
    yield f"{'  ' * depth}{condition.how} of: {said(condition.holds)}"
    for part in condition.parts:
        yield from _lines(part, depth + 1)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False)
