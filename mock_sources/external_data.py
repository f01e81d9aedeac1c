"""External data and when it becomes known: credit scores, blacklisted merchants, customers' fraud reports."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from mock_sources import events, timestamps
from mock_sources.events import Events
from mock_sources.hashed_random import Stream, scramble, uniform
from mock_sources.incidents import COMPROMISED_MERCHANT, LONGEST_DAYS, kind_name
from mock_sources.population import Floats, Ints, Population, customer_id, merchant_id
from mock_sources.source import Row, Window

LONGEST_REPORT_DELAY = 20 * timestamps.DAY
"""Longest time from a fraud to its report, in microseconds."""
LONGEST_LISTING = (LONGEST_DAYS + 1 + 4 + 45) * timestamps.DAY + LONGEST_REPORT_DELAY
"""Longest time from the start of an incident to the merchant's removal from the blacklist, in microseconds."""
NEVER = np.iinfo(np.int64).max

# reports are truncated to whole seconds
_SHORTEST_REPORT_DELAY = timestamps.DAY + timestamps.SECOND
_REPORTED, _REPORTED_DECLINED = 0.75, 0.15
_KNOWN_TRANSACTION, _KNOWN_KIND = 0.85, 0.8
_REPORTS_TO_LIST, _LISTED = 3, 0.8
_REASONS = ("cards abused after use here", "terminal manipulated", "chargebacks above the scheme's limit")


def credit_scores(population: Population, seed: int, as_of: int) -> list[Row]:
    """The latest score at `as_of` of each customer that has one, 300 to 850, ordered by customer_id.

    A customer is scored when the account is opened, then once a month, on a day of its own at 02:00 UTC.
    """
    customers = population.customers
    chosen = np.flatnonzero(customers.scored & (customers.opened <= as_of))
    if not len(chosen):
        return []
    today = datetime.fromtimestamp(as_of // timestamps.SECOND, UTC)
    months = today.year * 12 + today.month - 1 - np.arange(2)
    firsts = np.array([timestamps.from_datetime(datetime(month // 12, month % 12 + 1, 1)) for month in months.tolist()])
    into_month = (customers.score_day[chosen] - 1) * timestamps.DAY + 2 * timestamps.HOUR
    last_month = (firsts[0] + into_month > as_of).astype(np.int64)
    month = months[last_month]
    scored_at = np.maximum(firsts[last_month] + into_month, customers.opened[chosen])

    phase = customers.score_phase[chosen]
    drift = 25 * np.sin(2 * np.pi * (month / (18 + 30 * phase[:, 0]) + phase[:, 1]))
    noise = 12 * uniform(chosen * 2**20 + month, seed, Stream.SCORE) - 6
    scores = np.clip(np.rint(customers.score[chosen] + drift + noise), 300, 850).astype(np.int64)
    return [
        {"customer_id": customer_id(number), "score": score, "scored_at": moment}
        for number, score, moment in zip(chosen.tolist(), scores.tolist(), timestamps.texts(scored_at), strict=True)
    ]


def blacklist(population: Population, seed: int, frauds: Events, as_of: int) -> list[Row]:
    """The merchants on the blacklist at `as_of`, ordered by listed_at and merchant_id, each with its earliest listing.

    Most compromised merchants are listed, one to four days after the third report, and removed 20 to 45 days later.

    Args:
        frauds: transactions of all incidents that started at most `LONGEST_LISTING` before `as_of`.
    """
    abused = frauds[frauds["kind"] == COMPROMISED_MERCHANT + 1]
    reported_at = _reported_at(seed, abused)
    listed: dict[int, tuple[int, str]] = {}
    for incident in np.unique(abused["incident"]).tolist():
        mine = abused["incident"] == incident
        reports = np.sort(reported_at[mine & (reported_at < NEVER)])
        is_listed, delay, length, reason = (float(uniform(incident, seed, Stream.BLACKLIST, salt)[0]) for salt in range(4))
        if len(reports) < _REPORTS_TO_LIST or is_listed >= _LISTED:
            continue
        listed_at = int(reports[_REPORTS_TO_LIST - 1]) + round((1 + 3 * delay) * 86_400) * timestamps.SECOND
        removed_at = listed_at + round((20 + 25 * length) * timestamps.DAY)
        if listed_at <= as_of < removed_at:
            merchant = int(abused["merchant"][mine][0])
            entry = (listed_at, _REASONS[int(reason * len(_REASONS))])
            listed[merchant] = min(listed.get(merchant, entry), entry)
    rows = [
        {
            "merchant_id": merchant_id(number),
            "name": population.merchants.details[number]["name"],
            "reason": reason,
            "listed_at": timestamps.text(listed_at),
        }
        for number, (listed_at, reason) in listed.items()
    ]
    return sorted(rows, key=lambda row: (row["listed_at"], row["merchant_id"]))


def fraud_reports(seed: int, frauds: Events, window: Window) -> list[Row]:
    """The reports made in the window, ordered by reported_at and report_id.

    75% of approved and 15% of declined frauds are reported, 1 to 20 days after the transaction. Some reports lack the
    transaction, some the kind.
    """
    ids = frauds["id"]

    def draw(salt: int) -> Floats:
        return uniform(ids, seed, Stream.REPORT, salt)

    reported_at = _reported_at(seed, frauds)
    made = reported_at <= min(window.as_of, NEVER - 1)
    if window.since is not None:
        made &= reported_at >= window.since
    if window.until is not None:
        made &= reported_at < window.until
    knows_transaction, knows_kind = draw(2) < _KNOWN_TRANSACTION, draw(3) < _KNOWN_KIND
    numbers = scramble(ids, seed, Stream.REPORT, 4)
    order = np.flatnonzero(made)
    order = order[np.lexsort((numbers[order], reported_at[order]))]
    return [
        {
            "report_id": f"r{number:016x}",
            "reported_at": moment,
            "customer_id": customer_id(customer),
            "merchant_id": merchant_id(merchant),
            "transaction_id": transaction_id if with_transaction else None,
            "kind": kind_name(kind) if with_kind else None,
        }
        for number, moment, customer, merchant, transaction_id, with_transaction, kind, with_kind in zip(
            numbers[order].tolist(),
            timestamps.texts(reported_at[order]),
            frauds["customer"][order].tolist(),
            frauds["merchant"][order].tolist(),
            events.id_texts(ids[order]),
            knows_transaction[order].tolist(),
            frauds["kind"][order].tolist(),
            knows_kind[order].tolist(),
            strict=True,
        )
    ]


def _reported_at(seed: int, frauds: Events) -> Ints:
    """Time of each fraud's report, or `NEVER`."""
    declined = frauds["status"] == events.DECLINED
    # squared, so that early reports are more frequent
    delay = uniform(frauds["id"], seed, Stream.REPORT, 0) ** 2 * (LONGEST_REPORT_DELAY - _SHORTEST_REPORT_DELAY)
    at = (frauds["event"] + _SHORTEST_REPORT_DELAY + delay.astype(np.int64)) // timestamps.SECOND * timestamps.SECOND
    is_reported = uniform(frauds["id"], seed, Stream.REPORT, 1) < np.where(declined, _REPORTED_DECLINED, _REPORTED)
    reported_at: Ints = np.where(is_reported, at, NEVER)
    return reported_at
