"""A scorecard: readable points that add up to the log odds of fraud."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fraud_assets.errors import SettingsError

POINTS_TO_DOUBLE = 20
"""Points that double the odds. 0 points are even odds."""

MOST_POINTS = 390
"""Bound of a sum of points in either direction: the score stays in (0, 1) when it is rounded to six digits."""

UNNAMED = ""
"""Stands for the currency of transactions whose source names none."""

DEFAULT_CARD = Path(__file__).with_name("default_card.json")


class Part(BaseModel):
    """The points of one feature.

    Attributes:
        feature: a column of `transaction_features`.
        currency: the only currency that it is for, UNNAMED for transactions without one; None is every transaction.
        edges: lower edges of all bins but the first, ascending.
        points: one for each bin.
        missing: points where the feature is NULL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    currency: str | None = None
    edges: tuple[Decimal, ...]
    points: tuple[int, ...]
    missing: int = 0

    @model_validator(mode="after")
    def _one_each(self) -> Part:
        if len(self.points) != len(self.edges) + 1:
            raise ValueError(f"expected {len(self.edges) + 1} points for {len(self.edges)} edges, found {len(self.points)}")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("expected edges in ascending order, each once")
        return self

    @property
    def label(self) -> str:
        """The name of its contribution."""
        return f"{self.feature} {self.currency or ''}".strip()


class Card(BaseModel):
    """A scorecard.

    Attributes:
        base: points of every transaction.
        rules: points of a hit, by rule.
        origin: where the points come from, in a sentence for people.
        transactions, frauds: number of labelled transactions that it was learned from, and of frauds among them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: int
    features: tuple[Part, ...] = ()
    rules: Mapping[str, int] = {}
    origin: str
    transactions: Annotated[int, Field(ge=0)] = 0
    frauds: Annotated[int, Field(ge=0)] = 0

    @property
    def digest(self) -> str:
        """A hash of the points: cards that give the same scores have the same one."""
        text = self.model_dump_json(include={"base", "features", "rules"})
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def score_of(points: int) -> float:
    """The chance of fraud for a sum of points, 1 / (1 + 2^(−points / 20)), to six digits."""
    bounded = max(-MOST_POINTS, min(MOST_POINTS, points))
    return math.floor(1e6 / (1 + math.exp(-bounded * math.log(2) / POINTS_TO_DOUBLE)) + 0.5) / 1e6


def read_card(path: Path) -> Card:
    """Read a card from a JSON file.

    Raises:
        SettingsError: the file is missing, or no card; with what is wrong.
    """
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc'])) or 'card'}: {each['msg']}" for each in error.errors())
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems)) from None
