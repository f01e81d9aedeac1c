"""The table of lists that people keep."""

from __future__ import annotations

from fraud_assets.schemas.names import DATABASE
from hive_io import Column, Table

LISTS = Table(
    DATABASE,
    "lists",
    (
        Column("list_name", "STRING", "Such as stolen_cards; `blacklist` has the entries of the source's blacklist."),
        Column("kind", "STRING", "block or watch."),
        Column("key_name", "STRING", "What is listed: customer, merchant, card …"),
        Column("value", "STRING", "As written by the person who added it."),
        Column("value_key", "STRING", "As rules compare it: of a merchant its `merchant_key`, else LOWER(TRIM(value))."),
        Column("reason", "STRING"),
        Column("owner", "STRING", "Who added it."),
        Column("starts_at", "TIMESTAMP", "From when it counts, UTC; never before it was added."),
        Column("ends_at", "TIMESTAMP", "Until when it counts, UTC, exclusive; NULL without an end."),
    ),
    key=("list_name", "key_name", "value_key", "starts_at"),
    description="Entries of block and watch lists that count at some time of the day. Two of one value never overlap in time.",
)
