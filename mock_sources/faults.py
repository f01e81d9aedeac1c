"""Faults of single rows: late, duplicate, corrected, malformed, odd. Drawn by seed and transaction id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mock_sources import events, timestamps
from mock_sources.errors import BadConfiguration
from mock_sources.events import Events
from mock_sources.hashed_random import Stream, uniform
from mock_sources.source import Row

_LATE_FROM, _LATE_TO = 2 * timestamps.MINUTE, 2 * timestamps.DAY
_DUPLICATE_WITHIN = timestamps.HOUR
_CORRECTED_WITHIN = timestamps.DAY
_MEGABYTE = 2**20

# one salt for each draw of a row
(
    _LATE, _DELAY, _DUPLICATE, _DUPLICATE_DELAY, _CORRECTED, _CORRECTED_DELAY, _CHANGE, _MALFORMED, _DEFECT, _ODD, _ODDITY,
) = range(11)  # fmt: skip


@dataclass(frozen=True)
class Faults:
    """Shares of rows with a fault, each from 0 to 1 and drawn independently.

    Attributes:
        late: transactions that arrive 2 minutes to 2 days after the event.
        duplicates: transactions that are served again, up to an hour later, with a later ingested_at.
        corrected: transactions that a second, well-formed version follows within a day, with another amount and a later
            ingested_at.
        malformed: transactions whose first version (and its duplicate) violates the contract in one of `MALFORMATIONS`.
        odd: transactions whose merchant name is unusual but valid, in every version, in one of `ODDITIES`.
        malformed_others: customers, blacklisted merchants, credit scores and fraud reports that violate the contract in one
            of `list_faults.LIST_MALFORMATIONS`.

    Raises:
        BadConfiguration: a share is not from 0 to 1.
    """

    late: float = 0.0
    duplicates: float = 0.0
    corrected: float = 0.0
    malformed: float = 0.0
    odd: float = 0.0
    malformed_others: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            if not 0 <= share <= 1:
                raise BadConfiguration(f"{field.name} is {share}: give a share from 0 to 1.")

    @property
    def longest_delay(self) -> int:
        """Longest time from an event to the arrival of its last version, in microseconds."""
        without_faults = 5 * timestamps.SECOND
        return (
            without_faults
            + (_LATE_TO if self.late else 0)
            + max(_DUPLICATE_WITHIN if self.duplicates else 0, _CORRECTED_WITHIN if self.corrected else 0)
        )

    def applied(self, rows: Events, seed: int) -> Events:
        """The rows with faults applied, including further versions."""

        def draw(salt: int, among: Events = rows) -> npt.NDArray[np.float64]:
            return uniform(among["id"], seed, Stream.FAULT, salt)

        rows = rows.copy()
        late = draw(_LATE) < self.late
        delay = _LATE_FROM * (_LATE_TO / _LATE_FROM) ** draw(_DELAY)
        rows["arrival"] = np.where(late, rows["event"] + delay.astype(np.int64), rows["arrival"])

        malformed = draw(_MALFORMED) < self.malformed
        defect = 1 + (draw(_DEFECT) * len(MALFORMATIONS)).astype(np.uint8)
        rows["defect"] = np.where(malformed, defect, 0)

        odd = draw(_ODD) < self.odd
        oddity = 1 + (draw(_ODDITY) * len(ODDITIES)).astype(np.uint8)
        rows["oddity"] = np.where(odd, oddity, 0)

        again = rows[draw(_DUPLICATE) < self.duplicates]
        again["version"] = 1
        again["arrival"] += _later(draw(_DUPLICATE_DELAY, again), _DUPLICATE_WITHIN)

        corrected = rows[draw(_CORRECTED) < self.corrected]
        corrected["version"] = 2
        corrected["defect"] = 0
        corrected["arrival"] += _later(draw(_CORRECTED_DELAY, corrected), _CORRECTED_WITHIN)
        # whole units stay whole units, for currencies without decimals
        grain = np.where(corrected["cents"] % 100 == 0, 100, 1)
        factor = 0.5 + draw(_CHANGE, corrected)
        changed = np.maximum(np.rint(corrected["cents"] * factor / grain), 1).astype(np.int64) * grain
        corrected["cents"] = np.where(changed == corrected["cents"], changed + grain, changed)
        return events.joined([rows, again, corrected])


def _later(draws: npt.NDArray[np.float64], within: int) -> npt.NDArray[np.int64]:
    return timestamps.SECOND + (draws * (within - timestamps.SECOND)).astype(np.int64)


def spoil(row: Row, defect: int) -> None:
    """Apply a malformation to a row in place; `defect` is its number in `MALFORMATIONS`, from 1."""
    list(MALFORMATIONS.values())[defect - 1](row)


def make_odd(row: Row, oddity: int) -> None:
    """Make the merchant's name odd in place; `oddity` is its number in `ODDITIES`, from 1."""
    merchant = row["merchant_details"]
    # a new object, since all rows of a merchant share one
    row["merchant_details"] = {**merchant, "name": list(ODDITIES.values())[oddity - 1](merchant["name"])}


def _missing_amount(row: Row) -> None:
    del row["amount"]


def _null_amount(row: Row) -> None:
    row["amount"] = None


def _amount_as_text(row: Row) -> None:
    row["amount"] = f"{row['amount']:.2f}".replace(".", ",")


def _negative_amount(row: Row) -> None:
    row["amount"] = -row["amount"]


def _unreadable_date(row: Row) -> None:
    row["date_time"] = f"{row['date_time'][8:10]}th at noon"


def _impossible_date(row: Row) -> None:
    row["date_time"] = f"{row['date_time'][:4]}-02-30T{row['date_time'][11:]}"


def _date_years_ahead(row: Row) -> None:
    row["date_time"] = f"{int(row['date_time'][:4]) + 7}-06-15T{row['date_time'][11:]}"


def _unknown_currency(row: Row) -> None:
    row["currency"] = "XXQ1"


def _missing_customer(row: Row) -> None:
    del row["customer_id"]


def _null_merchant(row: Row) -> None:
    row["merchant_details"] = None


def _absurd_amount(row: Row) -> None:
    row["amount"] = 1e15


def _date_as_number(row: Row) -> None:
    row["date_time"] = timestamps.parse(row["date_time"], "date_time") // timestamps.SECOND


def _customer_as_number(row: Row) -> None:
    row["customer_id"] = int(row["customer_id"].lstrip("c"))


def _missing_id(row: Row) -> None:
    del row["transaction_id"]


def _megabyte_of_text(row: Row) -> None:
    name = row["merchant_details"]["name"]
    row["merchant_details"] = {**row["merchant_details"], "name": (name * (_MEGABYTE // len(name) + 1))[:_MEGABYTE]}


MALFORMATIONS: dict[str, Callable[[Row], None]] = {
    "missing_amount": _missing_amount,
    "null_amount": _null_amount,
    "amount_as_text": _amount_as_text,
    "negative_amount": _negative_amount,
    "unreadable_date": _unreadable_date,
    "impossible_date": _impossible_date,
    "date_years_ahead": _date_years_ahead,
    "unknown_currency": _unknown_currency,
    "missing_customer": _missing_customer,
    "null_merchant": _null_merchant,
    "absurd_amount": _absurd_amount,
    "date_as_number": _date_as_number,
    "customer_as_number": _customer_as_number,
    "missing_id": _missing_id,
    "megabyte_of_text": _megabyte_of_text,
}
"""Malformations by name; each changes a row (a JSON object) in place."""

ODDITIES: dict[str, Callable[[str], str]] = {
    "emoji": lambda name: f"{name} \N{SLICE OF PIZZA}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{COOKING}",
    "quotes": lambda name: f"'{name}' \"Bob\\'s\" `n` \N{RIGHT SINGLE QUOTATION MARK}",
    "sql": lambda name: f"{name}'); DROP TABLE transactions; --",
    "accents_apart": lambda name: f"{name} Cafe\N{COMBINING ACUTE ACCENT}",
    "right_to_left": lambda name: f"{name} \N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}\N{RIGHT-TO-LEFT MARK}",
    "blanks": lambda name: f"  {name}\t\N{NO-BREAK SPACE}x\r\n",
    "escapes": lambda name: f"{name} \\n \\u0041 %s %41 ${{x}} &amp; NULL",
}
"""Odd merchant names by kind. They violate no claim, and no byte of them may change on the way to a table."""
