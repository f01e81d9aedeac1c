"""Population of the synthetic world: customers with their habits, merchants with their locations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mock_sources import timestamps
from mock_sources.errors import BadConfiguration
from mock_sources.hashed_random import Stream, generator, uniform
from mock_sources.people import person, shop_name
from mock_sources.places import CITIES, UNIT, WHOLE_UNITS, distances_km
from mock_sources.source import Row

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MIN_MERCHANTS = 60
MEAN_DAILY_TRANSACTIONS = 4.0
TRIP_CYCLE_DAYS = 28
"""Days of a travel cycle. A traveller makes at most one trip per cycle, which ends within it."""
REST_CYCLE_DAYS = 400
"""Days of a rest cycle. Some accounts are unused once per cycle, for months."""

_SHOP_CATEGORIES = {
    "groceries": 0.8,
    "restaurants": 0.7,
    "fuel": 1.1,
    "fashion": 1.6,
    "pharmacy": 0.5,
    "electronics": 3.0,
    "jewellery": 5.0,
    "travel": 4.0,
}
_ONLINE_CATEGORIES = {"online_retail": 1.2, "digital_services": 0.3, "gaming": 0.5}
_BANKS = 4
_FAVOURITE_SHOPS = 8
_FAVOURITE_ONLINE = 4


class Merchants:
    """Columns by merchant number.

    Attributes:
        city: number of the city; -1 for online shops and banks.
        price: factor of a customer's spending level.
        small_shops: numbers of the 40% of shops with the least trade.
    """

    def __init__(self, seed: int, count: int) -> None:
        if count < MIN_MERCHANTS:
            raise BadConfiguration(f"merchants is {count}: give at least {MIN_MERCHANTS}, so that each city has some.")
        rng = generator(seed, Stream.POPULATION, 1)
        cities = len(CITIES)
        online_count = count // 5
        self.atm_of_city = np.arange(cities)
        self.banks = np.arange(cities, cities + _BANKS)
        self.online = np.arange(cities + _BANKS, cities + _BANKS + online_count)
        self.city = np.full(count, -1)
        self.city[:cities] = np.arange(cities)
        shops = np.arange(self.online[-1] + 1, count)
        self.city[shops] = np.arange(len(shops)) % cities
        self.price = np.ones(count)
        self.details: list[Row] = []
        self._shops = shops[np.argsort(self.city[shops], kind="stable")]
        # log-normal: most shops are small, a few have most of the trade
        trade = np.exp(rng.normal(0, 1.0, len(shops)))
        self._trade_until = np.cumsum(trade)
        in_city = np.bincount(self.city[self._shops], weights=trade, minlength=cities)
        self._trade_before_city = np.cumsum(in_city) - in_city
        self._trade_in_city = in_city
        self.small_shops = np.sort(self._shops[trade <= np.quantile(trade, 0.4)])
        for number in range(count):
            category = self._category(number, rng)
            self.price[number] = (_SHOP_CATEGORIES | _ONLINE_CATEGORIES).get(category, 1.0)
            self.details.append(self._details(number, category, seed, rng))

    def _category(self, number: int, rng: np.random.Generator) -> str:
        if number < self.banks[0]:
            return "atm"
        if number <= self.banks[-1]:
            return "bank"
        choices = list(_ONLINE_CATEGORIES if number <= self.online[-1] else _SHOP_CATEGORIES)
        # the first categories are cheaper and more frequent
        weights = 1.0 / np.arange(1, len(choices) + 1) ** 0.5
        return str(rng.choice(choices, p=weights / weights.sum()))

    def _details(self, number: int, category: str, seed: int, rng: np.random.Generator) -> Row:
        city = CITIES[self.city[number]] if self.city[number] >= 0 else None
        # an online shop or a bank has a country of registration, but no location
        country = city.country if city else CITIES[rng.integers(len(CITIES))].country
        return {
            "merchant_id": merchant_id(number),
            "name": shop_name(category, city, seed, rng),
            "category": category,
            "city": city.name if city else None,
            "country": country,
            "latitude": round(city.latitude + float(rng.normal(0, 0.03)), 5) if city else None,
            "longitude": round(city.longitude + float(rng.normal(0, 0.03)), 5) if city else None,
        }

    def shop_in(self, cities: Ints, draws: Floats) -> Ints:
        """Number of a shop in each city, weighted by trade, from uniform draws in [0, 1)."""
        trade = self._trade_before_city[cities] + draws * self._trade_in_city[cities]
        place = np.minimum(np.searchsorted(self._trade_until, trade, side="right"), len(self._shops) - 1)
        chosen: Ints = self._shops[place]
        return chosen


class Customers:
    """Columns by customer number. Amounts are in the customer's currency, times in microseconds UTC."""

    def __init__(self, seed: int, count: int, merchants: Merchants, start: int, daily: float = MEAN_DAILY_TRANSACTIONS) -> None:
        if count < 1:
            raise BadConfiguration(f"customers is {count}: give at least 1.")
        rng = generator(seed, Stream.POPULATION, 2)
        self.count = count
        self._seed = seed
        self.opened = _openings(rng, count, start)
        self.home = rng.integers(len(CITIES), size=count)
        currencies = [city.currency for city in CITIES]
        self.currency = [currencies[city] for city in self.home]
        self.unit = np.array([UNIT[currency] for currency in self.currency])
        self.grain = np.array([100 if currency in WHOLE_UNITS else 1 for currency in self.currency])
        rich = rng.random(count) < 0.08
        self.level = 22.0 * self.unit * np.exp(rng.normal(0, 0.5, count)) * np.where(rich, 6.0, 1.0)
        self.spread = rng.uniform(0.35, 0.8, count)
        activity = np.exp(rng.normal(0, 0.5, count)) * np.where(rng.random(count) < 0.1, 2.5, 1.0)
        self.rate = daily * activity / activity.mean()
        self.online_share = rng.beta(1.5, 3.5, count).clip(0.03, 0.9)
        self.atm_share = rng.beta(1.2, 12.0, count)
        at_night = rng.random(count) < 0.05
        self.hour = np.where(at_night, rng.normal(1.0, 1.5, count), rng.normal(14.5, 2.5, count))
        self._rests = rng.random(count) < 0.06
        self._rest_phase = rng.integers(REST_CYCLE_DAYS, size=count)
        self._rest_days = rng.integers(90, 300, size=count)
        self.travels = np.where(rng.random(count) < 0.25, rng.uniform(0.2, 0.8, count), 0.02)
        self.usual_abroad = rng.integers(len(CITIES), size=(count, 2))
        self.favourite_shops = merchants.shop_in(
            np.repeat(self.home[:, None], _FAVOURITE_SHOPS, axis=1), rng.random((count, _FAVOURITE_SHOPS))
        )
        self.favourite_online = rng.choice(merchants.online, size=(count, _FAVOURITE_ONLINE))
        self.bank = rng.choice(merchants.banks, size=count)
        self.income = 2_200.0 * self.unit * np.exp(rng.normal(0, 0.3, count)) * np.where(rich, 4.0, 1.0)
        self.pay_day, self.rent_day = rng.integers(1, 29, size=(2, count))
        # some customers transfer their salary at once, to savings or family, which resembles a mule
        passes_on = rng.random(count) < 0.04
        self.rent_share = np.where(passes_on, rng.uniform(0.85, 1.0, count), rng.uniform(0.25, 0.5, count))
        self.rent_day = np.where(passes_on, self.pay_day, self.rent_day)
        self.bad_credit = rng.random(count) < 0.07
        self.score = np.where(self.bad_credit, rng.normal(455, 45, count), rng.normal(690, 70, count))
        self.scored = rng.random(count) >= 0.02
        self.score_day = rng.integers(1, 29, size=count)
        self.score_phase = rng.random((count, 2))
        self.rows = [self._row(number, rng) for number in range(count)]

    def open_before(self, instant: int) -> Bools:
        """Mask of the customers whose accounts were opened before a timestamp."""
        known: Bools = self.opened < instant
        return known

    def open_for(self, day: int) -> Ints:
        """Whole days since the account of each customer was opened; negative before."""
        passed: Ints = (day * timestamps.DAY - self.opened) // timestamps.DAY
        return passed

    def quiet_for(self, day: int) -> Ints:
        """Days for which the account of each customer has been unused; 0 if it is in use."""
        place = (day + self._rest_phase) % REST_CYCLE_DAYS
        quiet: Ints = np.where(self._rests & (place < self._rest_days), place + 1, 0)
        return quiet

    def trips(self, day: int) -> tuple[Ints, Bools]:
        """City of each customer on a day (home unless on a trip), and a mask of the customers who travel on that day."""
        cycle, place = divmod(day, TRIP_CYCLE_DAYS)
        key = np.arange(self.count) * 2**20 + cycle
        going, start, length, target, which = (uniform(key, self._seed, Stream.TRIP, salt) for salt in range(5))
        first = 1 + (start * 17).astype(np.int64)
        last = first + 3 + (length * 6).astype(np.int64)
        usual = self.usual_abroad[np.arange(self.count), (which * 2).astype(np.int64)]
        destination = np.where(target < 0.7, usual, (which * len(CITIES)).astype(np.int64))
        on_trip = (going < self.travels) & (first <= place) & (place <= last) & (destination != self.home)
        return np.where(on_trip, destination, self.home), on_trip & ((place == first) | (place == last))

    def _row(self, number: int, rng: np.random.Generator) -> Row:
        city = CITIES[self.home[number]]
        countries = [city.country]
        if self.travels[number] > 0.1:
            countries += [CITIES[place].country for place in self.usual_abroad[number]]
        channels = {"pos": True, "online": self.online_share[number] > 0.1, "atm": self.atm_share[number] > 0.03}
        details: dict[str, Any] = dict(person(city, number, self._seed, rng))
        return {
            "customer_id": customer_id(number),
            "account_history": {"opened_at": timestamps.text(int(self.opened[number])), "status": "active"},
            "demographics": details
            | {
                "city": city.name,
                "country": city.country,
                "latitude": round(city.latitude + float(rng.normal(0, 0.05)), 5),
                "longitude": round(city.longitude + float(rng.normal(0, 0.05)), 5),
            },
            "behavioral_patterns": {
                "home_currency": city.currency,
                "usual_countries": list(dict.fromkeys(countries)),
                "usual_channels": [name for name, used in channels.items() if used],
                "transactions_per_week": round(7 * float(self.rate[number]), 1),
            },
        }


class Population:
    """Customers and merchants, drawn from the seed. `start` is the world's first day, in microseconds UTC."""

    def __init__(self, seed: int, customers: int, merchants: int, start: int, daily: float = MEAN_DAILY_TRANSACTIONS) -> None:
        self.merchants = Merchants(seed, merchants)
        self.customers = Customers(seed, customers, self.merchants, start, daily)
        self.distances_km = distances_km()


def customer_id(number: int) -> str:
    """Id of a customer's number. Ids sort like numbers."""
    return f"c{number:06d}"


def merchant_id(number: int) -> str:
    """Id of a merchant's number. Ids sort like numbers."""
    return f"m{number:06d}"


def _openings(rng: np.random.Generator, count: int, start: int) -> Ints:
    """Opening times of accounts: 35% in the four years before the world's start, the others in the 15 years after it."""
    years = np.where(rng.random(count) < 0.35, rng.uniform(-4, 0, count), rng.uniform(0, 15, count))
    opened: Ints = start + (years * 365.25 * timestamps.DAY).astype(np.int64)
    return opened // timestamps.SECOND * timestamps.SECOND
