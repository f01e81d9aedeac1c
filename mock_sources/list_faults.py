"""Malformed rows of customers, blacklist, credit scores and fraud reports. Drawn by seed and the row's id."""

from __future__ import annotations

import hashlib

import numpy as np

from mock_sources.hashed_random import Stream, uniform
from mock_sources.source import EXTERNAL_KEYS, Row

_MALFORMED, _DEFECT = range(2)

LIST_MALFORMATIONS: dict[str, tuple[Row, ...]] = {
    "customers": (
        {"account_history": {"opened_at": "once upon a time", "status": "active"}},
        {"demographics": {"name": "x" * 2**20, "country": "AT"}},
        {"demographics": {"name": "Zoe", "country": "Austria"}},
        {"behavioral_patterns": {"home_currency": "EUR", "transactions_per_week": -3.5}},
    ),
    "blacklist_info": ({"name": 17}, {"reason": ["chargebacks"]}),
    "credit_scores": ({"score": None}, {"score": "700"}, {"score": 7_000}, {"scored_at": "2099-02-30"}),
    "fraud_reports": ({"customer_id": None}, {"customer_id": 17}, {"merchant_id": "m" * 2**20}, {"transaction_id": {}}),
}
"""Malformations by list: the fields that replace a row's own. Ids and times by which a list is paged never change."""


def spoiled(name: str, rows: list[Row], share: float, seed: int) -> list[Row]:
    """The rows of a list, about `share` of them malformed. A row is malformed in every answer or in none."""
    if not share or not rows:
        return rows
    field = EXTERNAL_KEYS[name][-1] if name in EXTERNAL_KEYS else "customer_id"
    ids = np.array([_number(f"{name} {row[field]}") for row in rows], dtype=np.uint64)
    malformed = uniform(ids, seed, Stream.LIST_FAULT, _MALFORMED) < share
    ways = LIST_MALFORMATIONS[name]
    defects = (uniform(ids, seed, Stream.LIST_FAULT, _DEFECT) * len(ways)).astype(np.int64).tolist()
    return [{**row, **ways[way]} if is_so else row for row, is_so, way in zip(rows, malformed.tolist(), defects, strict=True)]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
