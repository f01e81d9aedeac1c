"""Values as the pages show them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal

from flask import Flask

from fraud_assets.cases.model import Alert, Case, Event, EventKind
from fraud_assets.clock import Clock

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that have no shape or turn the direction of text: a name could hide behind them."""
UNNAMED = "(currency not named)"


def install(app: Flask, clock: Clock) -> None:
    """Make the filters known to all templates."""
    app.jinja_env.filters.update(
        age=age, amount=amount, amounts=amounts, at=at, day=day, percent=percent, score=score, seen=seen, step=step, words=words
    )
    app.jinja_env.filters["ago"] = lambda time: ago(time, clock.now())
    app.jinja_env.filters["machine"] = lambda time: _aware(time).isoformat(timespec="seconds").replace("+00:00", "Z")


def seen(value: object) -> str:
    r"""Text from data, with its control characters written out, such as `\u202e`."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", str(value))


def amount(value: Decimal | float, currency: str | None) -> str:
    """An amount with its currency: 1,882.52 PLN."""
    return f"{value:,.2f} {seen(currency) if currency else UNNAMED}"


def amounts(values: Mapping[str, Decimal]) -> str:
    """Amounts by currency; they are never added."""
    return " + ".join(amount(value, currency or None) for currency, value in sorted(values.items()))


def at(time: dt.datetime) -> str:
    """A time to the minute, UTC."""
    return f"{_aware(time):%Y-%m-%d %H:%M}"


def day(time: dt.datetime | dt.date) -> str:
    """A day, as 28 Nov 2026."""
    return f"{time.day} {time:%b %Y}"


def ago(time: dt.datetime, now: dt.datetime) -> str:
    """How long ago a time was, in one unit; "in 3 d" for a later time."""
    seconds = (now - _aware(time)).total_seconds()
    text = age(dt.timedelta(seconds=abs(seconds)))
    return text if seconds >= 0 else f"in {text}"


def age(duration: dt.timedelta) -> str:
    """A duration in one unit: 5 min, 3 h, 12 d."""
    minutes = int(duration.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


def percent(value: float | None) -> str:
    """A share as a percentage; – for an unknown one."""
    return "–" if value is None else f"{100 * value:.1f} %"


def score(value: float) -> str:
    """A score to three digits, never rounded up to 1."""
    return f"{min(value, 0.999):.3f}"


def words(name: object) -> str:
    """An identifier in words: customer denies."""
    return seen(str(name).replace("_", " "))


def sentence(case: Case, alerts: list[Alert]) -> str:
    """What is suspicious, in a sentence or two."""
    if not alerts:
        return f"Customer {case.customer_id} has no alerts in this case."
    gravest = max(alerts, key=lambda alert: alert.score)
    first, last = min(a.event_time for a in alerts), max(a.event_time for a in alerts)
    count = "One alert" if len(alerts) == 1 else f"{len(alerts)} alerts"
    span = f"on {day(first)}" if first.date() == last.date() else f"from {day(first)} to {day(last)}"
    total = "" if len(alerts) == 1 else f", {amounts(case.amounts)} together"
    reason = f": {gravest.reasons[0]}" if gravest.reasons else ""
    which = "It is" if len(alerts) == 1 else "The gravest is"
    what = f"{amount(gravest.amount, gravest.currency)} on {day(gravest.event_time)}, {gravest.event_time:%H:%M} UTC"
    return seen(f"{count} {span}{total}. {which} {what}{reason}.")


def step(event: Event) -> str:
    """What a step of the history changed, in a few words."""
    detail = event.detail
    match event.kind:
        case EventKind.OPENED | EventKind.RAISED | EventKind.MERGED:
            text = f"alert of {detail.get('transaction_id')}, score {score(detail.get('score', 0))}, {detail.get('severity')}"
        case EventKind.SNOOZED:
            text = f"until {_moment(detail.get('until'))}"
        case EventKind.WOKEN:
            text = f"{detail.get('because') or ''}"
        case EventKind.ASSIGNED:
            text = f"to {detail.get('to') or 'nobody'}"
        case EventKind.DECIDED:
            excepted = [f"{name} {value}" for name, value in (detail.get("exceptions") or {}).items()]
            parts = [f"{detail.get('decision')}, {words(detail.get('reason_code'))}", *excepted, detail.get("note") or ""]
            text = "; ".join(filter(None, parts))
        case EventKind.UNDONE:
            text = f"what was {detail.get('what')}"
        case _:
            text = "; ".join(str(value) for value in detail.values() if value)
    return seen(text)


def _moment(text: object) -> str:
    try:
        return f"{at(dt.datetime.fromisoformat(str(text)))} UTC"
    except ValueError:
        return str(text)


def _aware(time: dt.datetime) -> dt.datetime:
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
