"""What a list can name, and where it stands in a transaction."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["block", "watch"]
Key: TypeAlias = Literal["customer", "merchant", "name_prefix", "country", "card", "device", "counterparty", "pair"]

_PAIR = "CONCAT(LOWER(TRIM(t.customer_id)), '+', COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id))))"

KEYS: dict[Key, str] = {
    "customer": "l.value_key = LOWER(TRIM(t.customer_id))",
    "merchant": "l.value_key = COALESCE(t.merchant_key, LOWER(TRIM(t.merchant_id)))",
    "name_prefix": "l.value_key = SUBSTR(LOWER(TRIM(t.merchant_name)), 1, LENGTH(l.value_key))",
    "country": "l.value_key = LOWER(TRIM(t.merchant_country))",
    "card": "l.value_key = LOWER(TRIM(t.card_id))",
    "device": "l.value_key = LOWER(TRIM(t.device_id))",
    "counterparty": "l.value_key = LOWER(TRIM(t.counterparty_id))",
    "pair": f"l.value_key = {_PAIR}",
}
"""The condition, in HiveQL, under which an entry `l` names a transaction `t`; `pair` is a customer at a merchant."""

COLUMNS: dict[Key, tuple[str, ...]] = {
    "customer": ("customer_id",),
    "merchant": ("merchant_id",),
    "name_prefix": ("merchant_name",),
    "country": ("merchant_country",),
    "card": ("card_id",),
    "device": ("device_id",),
    "counterparty": ("counterparty_id",),
    "pair": ("customer_id", "merchant_id"),
}
"""Columns of `transactions` that the condition of a key compares."""

ONE_AT_A_TIME: tuple[Key, ...] = tuple(key for key in KEYS if key != "name_prefix")
"""Keys of which at most one entry of a list names a transaction; several prefixes can."""
