"""Transactions in columns: a NumPy structured array per batch, and the codes in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mock_sources import timestamps
from mock_sources.errors import BadParameter
from mock_sources.hashed_random import Stream, scramble, uniform

Events = npt.NDArray[np.void]
"""An array of `EVENT`."""

EVENT = np.dtype(
    [
        ("id", np.uint64),
        ("version", np.uint8),
        ("event", np.int64),
        ("arrival", np.int64),
        ("customer", np.int32),
        ("merchant", np.int32),
        ("cents", np.int64),
        ("type", np.uint8),
        ("channel", np.uint8),
        ("status", np.uint8),
        ("kind", np.uint8),
        ("incident", np.int64),
        ("defect", np.uint8),
        ("oddity", np.uint8),
    ]
)
"""Columns of a transaction: `event` and `arrival` are in microseconds UTC, `customer` and `merchant` are numbers; `kind`,
`incident`, `defect` and `oddity` are 0 for none."""

TYPES = ("purchase", "withdrawal", "transfer_in", "transfer_out", "refund")
CHANNELS = ("pos", "online", "atm")
STATUSES = ("approved", "declined")
PURCHASE, WITHDRAWAL, TRANSFER_IN, TRANSFER_OUT, REFUND = range(5)
POS, ONLINE, ATM = range(3)
APPROVED, DECLINED = range(2)

_ID_PREFIX = "tx"


def build(
    seed: int,
    ordinals: npt.NDArray[np.int64],
    event: npt.ArrayLike,
    customer: npt.ArrayLike,
    merchant: npt.ArrayLike,
    cents: npt.ArrayLike,
    type: npt.ArrayLike,
    channel: npt.ArrayLike,
    status: npt.ArrayLike,
    kind: int = 0,
    incident: int = 0,
) -> Events:
    """Build events from columns. `ordinals` are unique in a world and become random-looking ids; arrival is 1 to 5 s later."""
    events = np.zeros(len(ordinals), dtype=EVENT)
    events["id"] = scramble(ordinals, seed, Stream.TRANSACTION_ID)
    events["event"] = event
    set_arrival(events, seed)
    for name, column in {
        "customer": customer,
        "merchant": merchant,
        "cents": cents,
        "type": type,
        "channel": channel,
        "status": status,
        "kind": kind,
        "incident": incident,
    }.items():
        events[name] = column
    return events


def set_arrival(events: Events, seed: int) -> None:
    """Set each arrival to 1 to 5 s after the event."""
    delay = (1 + 4 * uniform(events["id"], seed, Stream.ARRIVAL)) * timestamps.SECOND
    events["arrival"] = events["event"] + delay.astype(np.int64)


def joined(batches: Sequence[Events]) -> Events:
    """Concatenate batches; an empty array for no batches."""
    return np.concatenate(batches) if batches else np.zeros(0, dtype=EVENT)


def by_arrival(events: Events) -> Events:
    """Sort by arrival, id and version, the order in which rows are served. The texts of ids sort like their numbers."""
    ordered: Events = events[np.lexsort((events["version"], events["id"], events["arrival"]))]
    return ordered


def id_texts(ids: npt.NDArray[np.uint64]) -> list[str]:
    """Texts of ids: `tx` and 16 hexadecimal digits."""
    digits = ids.astype(">u8").tobytes().hex()
    return [_ID_PREFIX + digits[start : start + 16] for start in range(0, len(digits), 16)]


def id_number(text: str) -> np.uint64:
    """The inverse of `id_texts`.

    Raises:
        BadParameter: the text is not an id of a synthetic world.
    """
    try:
        number = int(text.removeprefix(_ID_PREFIX), 16)
        if id_texts(np.array([number], dtype=np.uint64)) != [text]:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise BadParameter("after is a cursor of another source: restart without it.") from None
    return np.uint64(number)
