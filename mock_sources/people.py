"""Fictitious names of people and shops, generated with Faker in the language of each city."""

from __future__ import annotations

import unicodedata
from datetime import date
from functools import cache

import numpy as np
from faker import Faker

from mock_sources.places import CITIES, City

_POOL = 40
_SHOPS = {
    "groceries": "Market",
    "restaurants": "Kitchen",
    "fuel": "Fuel",
    "fashion": "Moda",
    "pharmacy": "Pharma",
    "electronics": "Electro",
    "jewellery": "Gold",
    "travel": "Travel",
    "online_retail": "Store",
    "digital_services": "Cloud",
    "gaming": "Games",
    "atm": "ATM",
    "bank": "Bank",
}


@cache
def _pools(locale: str, seed: int) -> tuple[list[str], list[str]]:
    """Given and family names. The same for the same seed and the same version of Faker."""
    fake = Faker(locale)
    fake.seed_instance(seed)
    return [fake.first_name() for _ in range(_POOL)], [fake.last_name() for _ in range(_POOL)]


def person(city: City, number: int, seed: int, rng: np.random.Generator) -> dict[str, str]:
    """Name, email (a reserved domain, RFC 2606) and date of birth (18 to 80 years before 2012)."""
    given, family = (pool[rng.integers(_POOL)] for pool in _pools(city.locale, seed))
    name = f"{family} {given}" if city.country == "JP" else f"{given} {family}"
    born = date(1932, 1, 1).toordinal() + int(rng.integers(62 * 365))
    local_part = _ascii(given).lower() or "customer"
    return {
        "name": name,
        "email": f"{local_part}.{number}@example.org",
        "date_of_birth": date.fromordinal(born).isoformat(),
    }


def shop_name(category: str, city: City | None, seed: int, rng: np.random.Generator) -> str:
    """A family name of the city, or of a random one for a shop without a city, and a word for the category."""
    home = city or CITIES[rng.integers(len(CITIES))]
    family = _pools(home.locale, seed)[1][rng.integers(_POOL)]
    return f"{family} {_SHOPS[category]}"


def _ascii(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if letter.isascii() and letter.isalnum())
