"""Fraud: the incidents that start on a day, and the transactions of each kind of fraud."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mock_sources import events, timestamps
from mock_sources.events import Events
from mock_sources.hashed_random import Stream, generator
from mock_sources.places import CITIES, UTC_OFFSET_HOURS
from mock_sources.population import Bools, Customers, Floats, Ints, Population
from mock_sources.traffic import cents

LONGEST_DAYS = 26
"""Days from the start of an incident's first day within which it ends."""

_FIRST_ORDINAL = 2**62
_ABROAD_KM = 1_500.0


class Incident(NamedTuple):
    """The `number`-th incident that starts on `day` (days since the epoch); `customer` is the victim or the mule."""

    kind: int
    day: int
    number: int
    customer: int
    merchant: int

    @property
    def key(self) -> int:
        """Unique in a world, and above 0."""
        return self.day * 2**16 + self.number + 1


class _Transactions(NamedTuple):
    """Transactions of an incident: seconds since the start of its day, amounts in units of the customer's currency."""

    seconds: Floats
    customer: Ints
    merchant: Ints
    amount: Floats
    type: Ints
    channel: Ints
    declined: Ints


def starting_on(population: Population, seed: int, rate: float, day: int) -> list[Incident]:
    """The incidents that start on a day. Their number makes `rate` the mean share of fraudulent transactions."""
    customers = population.customers
    eligible = np.flatnonzero(customers.open_before(day * timestamps.DAY))
    if not len(eligible) or rate == 0:
        return []
    rng = generator(seed, Stream.INCIDENTS, day)
    expected = rate / (1 - rate) * customers.rate[eligible].sum()
    incidents: list[Incident] = []
    for number, kind in enumerate(_KINDS):
        among = eligible if kind.among is None else eligible[kind.among(customers, day)[eligible]]
        count = int(rng.poisson(expected * kind.share / kind.mean_size))
        if kind.among is not None:
            count = min(count, len(among))
        victims = rng.choice(among, size=count, replace=kind.among is None) if count else among[:0]
        shops = rng.choice(population.merchants.small_shops, size=count)
        incidents += [
            Incident(number, day, len(incidents) + place, int(victim), int(shop))
            for place, (victim, shop) in enumerate(zip(victims, shops, strict=True))
        ]
    return incidents


def fraud_events(population: Population, seed: int, incident: Incident) -> Events:
    """The transactions of an incident, labelled with its kind."""
    rng = generator(seed, Stream.FRAUD, incident.day, incident.number)
    transactions = _KINDS[incident.kind].make(population, incident, rng)
    ordinals = _FIRST_ORDINAL + incident.day * 2**32 + incident.number * 2**16 + np.arange(len(transactions.seconds))
    return events.build(
        seed,
        ordinals,
        incident.day * timestamps.DAY + (transactions.seconds * timestamps.SECOND).astype(np.int64),
        transactions.customer,
        transactions.merchant,
        cents(population.customers, transactions.customer, transactions.amount),
        transactions.type,
        transactions.channel,
        transactions.declined,
        kind=incident.kind + 1,
        incident=incident.key,
    )


def kind_name(kind: int) -> str:
    """Name of an event's `kind`, which counts from 1."""
    return KINDS[kind - 1]


def _card_testing(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """Small online payments, many of them declined, followed by a large one."""
    customers, count = population.customers, int(rng.integers(4, 11))
    begin = rng.uniform(0, 20) * 3600
    tests = begin + np.sort(rng.uniform(60, 1_800, count))
    large = tests[-1] + rng.uniform(120, 3_600)
    unit, level = customers.unit[incident.customer], customers.level[incident.customer]
    return _transactions(
        incident.customer,
        seconds=np.append(tests, large),
        merchant=rng.choice(population.merchants.online, size=count + 1),
        amount=np.append(rng.uniform(0.3, 4.0, count) * unit, level * rng.uniform(6, 25)),
        type=events.PURCHASE,
        channel=events.ONLINE,
        declined=rng.random(count + 1) < np.append(np.full(count, 0.55), 0.2),
    )


def _account_takeover(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """A fraudster shops with the account for days: other amounts, shops and hours than the customer's."""
    customers, days = population.customers, int(rng.integers(2, 7))
    count = int(rng.integers(2, 6, size=days).sum())
    online = rng.random(count) < 0.5
    cities = np.where(rng.random(count) < 0.4, customers.home[incident.customer], rng.integers(len(CITIES)))
    merchant = np.where(
        online,
        rng.choice(population.merchants.online, size=count),
        population.merchants.shop_in(cities, rng.random(count)),
    )
    return _transactions(
        incident.customer,
        seconds=rng.integers(0, days, size=count) * 86_400.0 + rng.uniform(0, 86_399, count),
        merchant=merchant,
        amount=customers.level[incident.customer] * rng.lognormal(1.4, 0.7, count),
        type=events.PURCHASE,
        channel=np.where(online, events.ONLINE, events.POS),
        declined=rng.random(count) < 0.12,
    )


def _compromised_merchant(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """The cards of many customers are abused at one small merchant for weeks."""
    customers, days = population.customers, int(rng.integers(8, LONGEST_DAYS))
    eligible = np.flatnonzero(customers.open_before(incident.day * timestamps.DAY))
    count = int(rng.integers(12, 45))
    # the cards were copied when they were used here, so most owners live nearby
    nearby = customers.home[eligible] == population.merchants.city[incident.merchant]
    weights = np.where(nearby, 1.0, 0.03)
    cards = rng.choice(eligible, size=max(1, min(count, len(eligible) // 2)), replace=False, p=weights / weights.sum())
    who = rng.choice(cards, size=count)
    return _Transactions(
        rng.uniform(0, days * 86_400.0, count),
        who,
        np.full(count, incident.merchant),
        customers.level[who] * rng.lognormal(0.8, 0.6, count),
        np.full(count, events.PURCHASE),
        np.full(count, events.POS),
        (rng.random(count) < 0.05).astype(np.int64),
    )


def _stolen_card_abroad(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """A copied card is used in a distant city at the hour at which its owner shops at home."""
    customers, merchants, count = population.customers, population.merchants, int(rng.integers(2, 7))
    far = np.flatnonzero(population.distances_km[customers.home[incident.customer]] > _ABROAD_KM)
    city = int(rng.choice(far))
    offset = UTC_OFFSET_HOURS[customers.home[incident.customer]]
    begin = (rng.normal(customers.hour[incident.customer], 2.5) - offset) % 24 * 3600
    cash = rng.random(count) < 0.3
    shops = merchants.shop_in(np.full(count, city), rng.random(count))
    note = 20 * customers.unit[incident.customer]
    spent = customers.level[incident.customer] * rng.lognormal(1.1, 0.6, count)
    return _transactions(
        incident.customer,
        seconds=begin + np.sort(rng.uniform(0, 3 * 3600, count)),
        merchant=np.where(cash, merchants.atm_of_city[city], shops),
        amount=np.where(cash, np.ceil(2 * spent / note) * note, spent),
        type=np.where(cash, events.WITHDRAWAL, events.PURCHASE),
        channel=np.where(cash, events.ATM, events.POS),
        declined=rng.random(count) < 0.15,
    )


def _structuring(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """Several transfers within a day, each just below a reporting threshold."""
    customers, count = population.customers, int(rng.integers(3, 7))
    threshold = float(rng.choice([3_000.0, 10_000.0], p=[0.3, 0.7])) * _magnitude(customers.unit[incident.customer])
    return _transactions(
        incident.customer,
        seconds=rng.uniform(0, 4) * 3600 + np.sort(rng.uniform(0, 19 * 3600, count)),
        merchant=np.full(count, customers.bank[incident.customer]),
        amount=threshold * rng.uniform(0.86, 0.995, count),
        type=events.TRANSFER_OUT,
        channel=events.ONLINE,
        declined=np.zeros(count),
    )


def _mule_pass_through(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """A transfer comes in, and within hours nearly all of it goes out again in one to three parts."""
    customers, pieces = population.customers, int(rng.integers(1, 4))
    amount = rng.uniform(600, 7_000) * customers.unit[incident.customer]
    parts = rng.dirichlet(np.full(pieces, 8.0)) * amount * rng.uniform(0.91, 0.995)
    begin = rng.uniform(0, 20) * 3600
    return _transactions(
        incident.customer,
        seconds=begin + np.append(0.0, np.sort(rng.uniform(600, 20 * 3600, pieces))),
        merchant=np.full(pieces + 1, customers.bank[incident.customer]),
        amount=np.append(amount, parts),
        type=np.append(events.TRANSFER_IN, np.full(pieces, events.TRANSFER_OUT)),
        channel=events.ONLINE,
        declined=np.zeros(pieces + 1),
    )


def _bust_out(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """A customer with bad credit buys goods for resale; more and more of the purchases are declined."""
    customers, merchants, count = population.customers, population.merchants, int(rng.integers(5, 13))
    online = rng.random(count) < 0.4
    shops = merchants.shop_in(np.full(count, customers.home[incident.customer]), rng.random(count))
    order = np.arange(count) / count
    return _transactions(
        incident.customer,
        seconds=np.sort(rng.uniform(0, rng.uniform(1.5, 5) * 86_400, count)),
        merchant=np.where(online, rng.choice(merchants.online, size=count), shops),
        amount=customers.level[incident.customer] * rng.lognormal(1.7, 0.5, count),
        type=events.PURCHASE,
        channel=np.where(online, events.ONLINE, events.POS),
        declined=rng.random(count) < 0.6 * order,
    )


def _cash_out(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """A card stolen with its PIN: consecutive withdrawals at the ATM of the home city."""
    customers, count = population.customers, int(rng.integers(3, 7))
    note = 20 * customers.unit[incident.customer]
    return _transactions(
        incident.customer,
        seconds=rng.uniform(0, 21) * 3600 + np.cumsum(rng.uniform(60, 900, count)),
        merchant=np.full(count, population.merchants.atm_of_city[customers.home[incident.customer]]),
        amount=rng.integers(8, 26, size=count) * note,
        type=events.WITHDRAWAL,
        channel=events.ATM,
        declined=rng.random(count) < 0.1,
    )


def _dormant_account(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """An account that has been unused for months is emptied by a fraudster."""
    customers, count = population.customers, int(rng.integers(4, 9))
    transfer = rng.random(count) < 0.5
    shops = rng.choice(population.merchants.online, size=count)
    return _transactions(
        incident.customer,
        seconds=np.sort(rng.uniform(0, 2 * 86_400, count)),
        merchant=np.where(transfer, customers.bank[incident.customer], shops),
        amount=customers.level[incident.customer] * rng.lognormal(1.5, 0.6, count) * np.where(transfer, 3.0, 1.0),
        type=np.where(transfer, events.TRANSFER_OUT, events.PURCHASE),
        channel=events.ONLINE,
        declined=rng.random(count) < 0.1,
    )


def _new_account(population: Population, incident: Incident, rng: np.random.Generator) -> _Transactions:
    """An account opened for fraud has exceptionally large purchases in its first days."""
    customers, merchants, count = population.customers, population.merchants, int(rng.integers(5, 12))
    online = rng.random(count) < 0.7
    shops = merchants.shop_in(np.full(count, customers.home[incident.customer]), rng.random(count))
    return _transactions(
        incident.customer,
        seconds=np.sort(rng.uniform(0, 2 * 86_400, count)),
        merchant=np.where(online, rng.choice(merchants.online, size=count), shops),
        amount=customers.level[incident.customer] * rng.lognormal(1.6, 0.5, count),
        type=events.PURCHASE,
        channel=np.where(online, events.ONLINE, events.POS),
        declined=rng.random(count) < 0.15,
    )


class _Kind(NamedTuple):
    name: str
    make: Callable[[Population, Incident, np.random.Generator], _Transactions]
    share: float
    """Share of all fraudulent transactions."""
    mean_size: float
    """Mean number of transactions per incident."""
    among: Callable[[Customers, int], Bools] | None = None
    """Mask of the customers eligible on a day; all by default. With too few of them, the share is lower."""


_KINDS = (
    _Kind("card_testing", _card_testing, 0.15, 8.0),
    _Kind("account_takeover", _account_takeover, 0.16, 14.0),
    _Kind("compromised_merchant", _compromised_merchant, 0.20, 28.0),
    _Kind("stolen_card_abroad", _stolen_card_abroad, 0.13, 4.0),
    _Kind("structuring", _structuring, 0.07, 4.5),
    _Kind("mule_pass_through", _mule_pass_through, 0.10, 3.0),
    _Kind("bust_out", _bust_out, 0.07, 8.5, lambda customers, day: customers.bad_credit),
    _Kind("cash_out", _cash_out, 0.05, 4.5),
    _Kind("dormant_account", _dormant_account, 0.04, 6.0, lambda customers, day: customers.quiet_for(day) > 60),
    _Kind("new_account", _new_account, 0.03, 8.0, lambda customers, day: customers.open_for(day) < 5),
)
KINDS = tuple(kind.name for kind in _KINDS)
"""The kinds of fraud in this world."""
COMPROMISED_MERCHANT = KINDS.index("compromised_merchant")


def _transactions(
    customer: int,
    *,
    seconds: Floats,
    merchant: Ints,
    amount: Floats,
    type: Ints | int,
    channel: Ints | int,
    declined: npt.ArrayLike,
) -> _Transactions:
    """Transactions of one customer; a single type or channel applies to all."""
    ones = np.ones(len(seconds), dtype=np.int64)
    return _Transactions(
        seconds, customer * ones, merchant, amount, type * ones, channel * ones, np.asarray(declined, dtype=np.int64)
    )


def _magnitude(unit: float) -> float:
    """Factor that keeps thresholds round in every currency: 1 for the euro and similar units, 10 for lira, 100 for yen."""
    return float(10.0 ** np.floor(np.log10(unit) + 0.1))
