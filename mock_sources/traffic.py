"""Legitimate transactions of a day. Shopping sprees, trips and large purchases resemble fraud on purpose."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from mock_sources import events, timestamps
from mock_sources.events import Events
from mock_sources.hashed_random import Stream, generator
from mock_sources.places import UTC_OFFSET_HOURS
from mock_sources.population import Customers, Floats, Ints, Population

_WEEKDAY = (0.92, 0.92, 0.95, 1.0, 1.15, 1.2, 0.86)
_SPREE = 0.01
_BIG_TICKET = 0.004


def honest_day(population: Population, seed: int, day: int) -> Events:
    """All legitimate transactions with event time on `day` (days since the epoch, UTC), unordered."""
    customers, merchants = population.customers, population.merchants
    rng = generator(seed, Stream.TRAFFIC, day)
    date = datetime.fromtimestamp(day * 86_400, UTC)
    open_now = customers.open_before(day * timestamps.DAY) & (customers.quiet_for(day) == 0)
    spree = rng.random(customers.count) < _SPREE
    mean = customers.rate * _WEEKDAY[date.weekday()] * np.where(spree, 3.0, 1.0)
    who = np.repeat(np.arange(customers.count), rng.poisson(mean) * open_now)
    count = len(who)

    place, in_the_air = customers.trips(day)
    city = place[who]
    away = city != customers.home[who]
    online = (rng.random(count) < customers.online_share[who]) | in_the_air[who]
    atm = ~online & (rng.random(count) < customers.atm_share[who])
    elsewhere = away | (rng.random(count) < 0.08)
    shops = np.where(elsewhere, merchants.shop_in(city, rng.random(count)), _favourite(customers.favourite_shops, who, rng))
    merchant = np.where(online, _favourite(customers.favourite_online, who, rng), shops)
    merchant = np.where(atm, merchants.atm_of_city[city], merchant)

    amount = customers.level[who] * merchants.price[merchant] * np.exp(customers.spread[who] * rng.normal(size=count))
    amount *= np.where(rng.random(count) < _BIG_TICKET, rng.uniform(5, 20, count), 1.0)
    note = 20 * customers.unit[who]
    amount = np.where(atm, np.ceil(2 * amount / note) * note, amount)
    refund = ~atm & (rng.random(count) < 0.01)
    declined = rng.random(count) < np.where(customers.bad_credit[who], 0.05, 0.015)

    hour = customers.hour[who] + rng.normal(0, 3.2, count)
    hour = np.where(spree[who], customers.hour[who] + rng.uniform(0, 2, count), hour) - UTC_OFFSET_HOURS[city]
    paid = events.build(
        seed,
        _ordinals(day, 0, count),
        day * timestamps.DAY + (hour % 24 * timestamps.HOUR).astype(np.int64) % timestamps.DAY,
        who,
        merchant,
        cents(customers, who, amount),
        np.where(atm, events.WITHDRAWAL, np.where(refund, events.REFUND, events.PURCHASE)),
        np.where(atm, events.ATM, np.where(online, events.ONLINE, events.POS)),
        np.where(declined & ~refund, events.DECLINED, events.APPROVED),
    )
    return events.joined([paid, _standing_orders(customers, seed, day, date.day, open_now, count)])


def cents(customers: Customers, who: Ints, amount: Floats) -> Ints:
    """Amounts in hundredths of the customer's currency, rounded to its smallest unit and at least one such unit."""
    grain = customers.grain[who]
    rounded: Ints = np.maximum(np.rint(amount * 100 / grain), 1).astype(np.int64) * grain
    return rounded


def _favourite(favourites: Ints, who: Ints, rng: np.random.Generator) -> Ints:
    """One of each customer's favourites; the first ones are more frequent."""
    chosen: Ints = favourites[who, (rng.random(len(who)) ** 2 * favourites.shape[1]).astype(np.int64)]
    return chosen


def _standing_orders(
    customers: Customers, seed: int, day: int, day_of_month: int, open_now: npt.NDArray[np.bool_], first: int
) -> Events:
    """Monthly salary and rent transfers, between 05:00 and 09:00 UTC."""
    paid, renting = (np.flatnonzero(open_now & (due == day_of_month)) for due in (customers.pay_day, customers.rent_day))
    who = np.concatenate([paid, renting])
    rng = generator(seed, Stream.TRAFFIC, day, 1)
    incoming = np.arange(len(who)) < len(paid)
    amount = customers.income[who] * np.where(incoming, 1.0, customers.rent_share[who])
    return events.build(
        seed,
        _ordinals(day, first, len(who)),
        day * timestamps.DAY + (rng.uniform(5, 9, len(who)) * timestamps.HOUR).astype(np.int64),
        who,
        customers.bank[who],
        cents(customers, who, amount),
        np.where(incoming, events.TRANSFER_IN, events.TRANSFER_OUT),
        events.ONLINE,
        events.APPROVED,
    )


def _ordinals(day: int, first: int, count: int) -> Ints:
    # room for 2**24 legitimate transactions a day; ordinals of fraud start at 2**62
    return day * 2**24 + first + np.arange(count)
