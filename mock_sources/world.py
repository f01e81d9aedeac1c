"""The synthetic world: every answer is a pure function of the seed and `as_of`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mock_sources import events, timestamps
from mock_sources.errors import BadConfiguration
from mock_sources.events import Events
from mock_sources.external_data import LONGEST_LISTING, LONGEST_REPORT_DELAY, blacklist, credit_scores, fraud_reports
from mock_sources.faults import Faults, make_odd, spoil
from mock_sources.incidents import LONGEST_DAYS, Incident, fraud_events, kind_name, starting_on
from mock_sources.list_faults import spoiled
from mock_sources.population import MEAN_DAILY_TRANSACTIONS, Population, customer_id
from mock_sources.source import ArrivalKey, Page, Row, Window
from mock_sources.traffic import honest_day

LAST = timestamps.from_datetime(datetime(2100, 1, 1)) - 1
"""Latest time of events and arrivals, in microseconds since the epoch."""

_FIRST_START, _LAST_START = date(1980, 1, 1), date(2080, 1, 1)


class World:
    """Customers, merchants and their transactions, some fraudulent, every day from `start` (UTC) to the end of 2099.

    Days are generated on demand, and the latest are cached.

    Args:
        fraud_rate: mean share of fraudulent transactions, 0 to 0.5.
        daily: mean number of transactions of an active customer per day, above 0 and up to 1000.

    Raises:
        BadConfiguration: a size, rate or date is out of range.
    """

    def __init__(
        self,
        seed: int = 7,
        customers: int = 300,
        merchants: int = 200,
        fraud_rate: float = 0.004,
        faults: Faults | None = None,
        start: date = date(2015, 1, 1),
        daily: float = MEAN_DAILY_TRANSACTIONS,
    ) -> None:
        if not 0 <= seed < 2**63:
            raise BadConfiguration(f"seed is {seed}: give a whole number from 0 to 2**63 - 1.")
        if not 0 <= fraud_rate <= 0.5:
            raise BadConfiguration(f"fraud_rate is {fraud_rate}: give a share from 0 to 0.5.")
        if not 0 < daily <= 1000:
            raise BadConfiguration(f"daily is {daily}: give transactions per customer, above 0 and up to 1000.")
        if not _FIRST_START <= start < _LAST_START:
            raise BadConfiguration(f"start is {start}: give a day from {_FIRST_START} to before {_LAST_START}.")
        self.seed = seed
        self.fraud_rate = fraud_rate
        self.faults = faults or Faults()
        self.start = timestamps.from_datetime(datetime(start.year, start.month, start.day))
        self.population = Population(seed, customers, merchants, self.start, daily)
        self._incidents = lru_cache(maxsize=8_192)(self._draw_incidents)
        self._frauds = lru_cache(maxsize=8_192)(self._draw_frauds)
        # each page of an answer needs the same reports
        self._reports = lru_cache(maxsize=2)(self._draw_reports)
        self._event_day = lru_cache(maxsize=16)(self._draw_event_day)
        self._arrival_day = lru_cache(maxsize=16)(self._draw_arrival_day)

    def transactions(self, window: Window, after: ArrivalKey | None, limit: int) -> Page:
        """See `Source.transactions`."""
        first = max(self.start, window.since or 0, after.arrival if after else 0)
        last = min(window.as_of, LAST)
        if window.until is not None:
            last = min(last, window.until + self.faults.longest_delay)
        found: list[Events] = []
        missing = limit + 1
        for rows in self._arrivals(first, last):
            rows = rows[_inside(rows, "event", window.since, window.until) & _arrived(rows, window.as_of, after)]
            found.append(rows[:missing])
            missing -= len(found[-1])
            if not missing:
                break
        rows = events.joined(found)
        return self._page(rows[:limit], more=len(rows) > limit)

    def customers(self, as_of: int) -> list[Row]:
        """See `Source.customers`. A customer is known from the opening of the account."""
        customers = self.population.customers
        rows = [customers.rows[number] for number in np.flatnonzero(customers.opened <= as_of)]
        return spoiled("customers", rows, self.faults.malformed_others, self.seed)

    def external_data(self, window: Window, sections: Collection[str]) -> dict[str, list[Row]]:
        """See `Source.external_data`."""
        as_of = min(window.as_of, LAST)
        data: dict[str, list[Row]] = {}
        if "blacklist_info" in sections:
            frauds = events.joined([self._frauds(day) for day in self._days(as_of - LONGEST_LISTING, as_of)])
            data["blacklist_info"] = blacklist(self.population, self.seed, frauds, as_of)
        if "credit_scores" in sections:
            data["credit_scores"] = credit_scores(self.population, self.seed, as_of)
        if "fraud_reports" in sections:
            data["fraud_reports"] = self._reports(replace(window, as_of=as_of))
        return {name: spoiled(name, rows, self.faults.malformed_others, self.seed) for name, rows in data.items()}

    def labels(self, window: Window) -> list[Row]:
        """See `Source.labels`."""
        last = min(window.as_of, LAST)
        frauds = self._frauds_within(window, last)
        frauds = frauds[_inside(frauds, "event", window.since, window.until) & (frauds["event"] <= last)]
        frauds = frauds[np.lexsort((frauds["id"], frauds["event"]))]
        return [
            {"transaction_id": transaction_id, "date_time": moment, "kind": kind_name(kind), "incident": f"i{incident:x}"}
            for transaction_id, moment, kind, incident in zip(
                events.id_texts(frauds["id"]),
                timestamps.texts(frauds["event"]),
                frauds["kind"].tolist(),
                frauds["incident"].tolist(),
                strict=True,
            )
        ]

    def _arrivals(self, first: int, last: int) -> Iterator[Events]:
        """Batches in the order of arrival that include all arrivals from `first` to `last`, and possibly more."""
        for day in range(first // timestamps.DAY, last // timestamps.DAY + 1):
            yield self._arrival_day(day)

    def _days(self, first: int, last: int) -> range:
        """Days of the world from the day of timestamp `first` to the day of timestamp `last`."""
        return range(max(first, self.start) // timestamps.DAY, min(last, LAST) // timestamps.DAY + 1)

    def _frauds_within(self, window: Window, last: int, lookback: int = 0) -> Events:
        """The fraud of every incident that may have events in the window, extended back by `lookback` microseconds."""
        first = self.start if window.since is None else window.since - lookback - LONGEST_DAYS * timestamps.DAY
        last = last if window.until is None else min(last, window.until)
        return events.joined([self._frauds(day) for day in self._days(first, last)])

    def _draw_incidents(self, day: int) -> list[Incident]:
        return starting_on(self.population, self.seed, self.fraud_rate, day)

    def _draw_frauds(self, day: int) -> Events:
        """Fraudulent events of the incidents that start on `day`."""
        return events.joined([fraud_events(self.population, self.seed, incident) for incident in self._incidents(day)])

    def _draw_reports(self, window: Window) -> list[Row]:
        return fraud_reports(self.seed, self._frauds_within(window, window.as_of, LONGEST_REPORT_DELAY), window)

    def _draw_event_day(self, day: int) -> Events:
        """Events of `day`, in all versions."""
        return self.faults.applied(self._plain_day(day), self.seed)

    def _plain_day(self, day: int) -> Events:
        """Events of `day`, without faults."""
        midnight = day * timestamps.DAY
        frauds = events.joined(
            [self._frauds(start) for start in self._days(midnight - LONGEST_DAYS * timestamps.DAY, midnight)]
        )
        frauds = frauds[frauds["event"] // timestamps.DAY == day]
        return events.joined([honest_day(self.population, self.seed, day), frauds])

    def _draw_arrival_day(self, day: int) -> Events:
        """Events that arrive on `day`, in the order of arrival."""
        midnight = day * timestamps.DAY
        rows = events.joined([self._event_day(start) for start in self._days(midnight - self.faults.longest_delay, midnight)])
        return events.by_arrival(rows[rows["arrival"] // timestamps.DAY == day])

    def _page(self, rows: Events, more: bool) -> Page:
        currencies, merchants = self.population.customers.currency, self.population.merchants.details
        ids = events.id_texts(rows["id"])
        page: list[Row] = [
            {
                "transaction_id": transaction_id,
                "date_time": moment,
                "amount": amount,
                "currency": currencies[customer],
                "merchant_details": merchants[merchant],
                "customer_id": customer_id(customer),
                "transaction_type": events.TYPES[type_],
                "channel": events.CHANNELS[channel],
                "status": events.STATUSES[status],
                "ingested_at": ingested_at,
            }
            for transaction_id, moment, amount, customer, merchant, type_, channel, status, ingested_at in zip(
                ids,
                timestamps.texts(rows["event"]),
                (rows["cents"] / 100).tolist(),
                rows["customer"].tolist(),
                rows["merchant"].tolist(),
                rows["type"].tolist(),
                rows["channel"].tolist(),
                rows["status"].tolist(),
                timestamps.texts(rows["arrival"]),
                strict=True,
            )
        ]
        for place in np.flatnonzero(rows["oddity"]).tolist():
            make_odd(page[place], int(rows["oddity"][place]))
        for place in np.flatnonzero(rows["defect"]).tolist():
            spoil(page[place], int(rows["defect"][place]))
        last = ArrivalKey(int(rows["arrival"][-1]), ids[-1], int(rows["version"][-1])) if len(rows) else None
        return Page(page, last, more)


def _inside(rows: Events, field: str, since: int | None, until: int | None) -> npt.NDArray[np.bool_]:
    """Mask of the rows whose timestamp in `field` is in [since, until)."""
    inside: npt.NDArray[np.bool_] = np.ones(len(rows), dtype=bool)
    if since is not None:
        inside &= rows[field] >= since
    if until is not None:
        inside &= rows[field] < until
    return inside


def _arrived(rows: Events, as_of: int, after: ArrivalKey | None) -> npt.NDArray[np.bool_]:
    """Mask of the rows that have arrived at `as_of` and follow `after` in the order of arrival."""
    arrived: npt.NDArray[np.bool_] = rows["arrival"] <= as_of
    if after is not None:
        number = events.id_number(after.transaction_id)
        same_instant = rows["arrival"] == after.arrival
        later_version = (rows["id"] == number) & (rows["version"] > after.version)
        arrived &= (rows["arrival"] > after.arrival) | (same_instant & ((rows["id"] > number) | later_version))
    return arrived
