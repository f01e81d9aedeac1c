"""Cities of customers and merchants, with their time and currency."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class City(NamedTuple):
    """A city: coordinates in degrees, country in ISO 3166 alpha-2, currency in ISO 4217, locale of Faker."""

    name: str
    country: str
    latitude: float
    longitude: float
    currency: str
    locale: str


CITIES = (
    City("Madrid", "ES", 40.4168, -3.7038, "EUR", "es_ES"),
    City("Barcelona", "ES", 41.3874, 2.1686, "EUR", "es_ES"),
    City("Paris", "FR", 48.8566, 2.3522, "EUR", "fr_FR"),
    City("Lyon", "FR", 45.7640, 4.8357, "EUR", "fr_FR"),
    City("Berlin", "DE", 52.5200, 13.4050, "EUR", "de_DE"),
    City("München", "DE", 48.1351, 11.5820, "EUR", "de_DE"),
    City("Αθήνα", "GR", 37.9838, 23.7275, "EUR", "el_GR"),
    City("London", "GB", 51.5072, -0.1276, "GBP", "en_GB"),
    City("Manchester", "GB", 53.4808, -2.2426, "GBP", "en_GB"),
    City("Kraków", "PL", 50.0647, 19.9450, "PLN", "pl_PL"),
    City("Zürich", "CH", 47.3769, 8.5417, "CHF", "de_CH"),
    City("İstanbul", "TR", 41.0082, 28.9784, "TRY", "tr_TR"),
    City("New York", "US", 40.7128, -74.0060, "USD", "en_US"),
    City("Chicago", "US", 41.8781, -87.6298, "USD", "en_US"),
    City("São Paulo", "BR", -23.5505, -46.6333, "BRL", "pt_BR"),
    City("東京", "JP", 35.6762, 139.6503, "JPY", "ja_JP"),
)

UTC_OFFSET_HOURS = np.array([round(city.longitude / 15) for city in CITIES])
"""Hours ahead of UTC by city, from its longitude."""

UNIT = {"EUR": 1.0, "GBP": 0.9, "CHF": 1.0, "USD": 1.1, "PLN": 4.0, "BRL": 5.0, "TRY": 40.0, "JPY": 150.0}
"""Units of a currency with roughly the purchasing power of one euro. Scales amounts; not an exchange rate."""

WHOLE_UNITS = frozenset({"JPY"})
"""Currencies without decimals."""


def distances_km() -> npt.NDArray[np.float64]:
    """Great-circle distances in kilometres between all cities (haversine, Earth radius 6371 km), as a square matrix."""
    latitude = np.radians([city.latitude for city in CITIES])
    longitude = np.radians([city.longitude for city in CITIES])
    half_chord = (
        np.sin((latitude[:, None] - latitude) / 2) ** 2
        + np.cos(latitude[:, None]) * np.cos(latitude) * np.sin((longitude[:, None] - longitude) / 2) ** 2
    )
    kilometres: npt.NDArray[np.float64] = 2 * 6371.0 * np.arcsin(np.sqrt(half_chord))
    return kilometres
