"""Random numbers as a pure function of their purpose, so that the order of requests changes no answer."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]


class Stream(IntEnum):
    """Purpose of a random number. Streams are independent of each other."""

    POPULATION = 1
    TRAFFIC = 2
    INCIDENTS = 3
    FRAUD = 4
    TRANSACTION_ID = 5
    ARRIVAL = 6
    TRIP = 7
    SCORE = 8
    REPORT = 9
    BLACKLIST = 10
    FAULT = 11
    HTTP_FAULT = 12
    LOAD = 13
    LIST_FAULT = 14


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """A generator for one place of a stream, such as a day or an incident."""
    return np.random.default_rng([seed, stream, *place])


def scramble(numbers: npt.ArrayLike, seed: int, stream: Stream, salt: int = 0) -> UInts:
    """Hash each number to 64 bits, bijective for each (seed, stream, salt): SplitMix64 (Steele et al., 2014)."""
    key = np.array([seed], dtype=np.uint64)
    for part in (int(stream), salt):
        key = _mix(key + np.uint64(part + 1))
    return _mix(np.asarray(numbers).astype(np.uint64) ^ key)


def uniform(numbers: npt.ArrayLike, seed: int, stream: Stream, salt: int = 0) -> npt.NDArray[np.float64]:
    """Hash each number to a uniform value in [0, 1)."""
    return (scramble(numbers, seed, stream, salt) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mix(values: UInts) -> UInts:
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
