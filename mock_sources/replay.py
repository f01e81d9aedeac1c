"""Replay of a labelled Parquet file as a source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mock_sources import timestamps
from mock_sources.errors import BadColumn, MissingColumns, UnreadableFile
from mock_sources.source import ArrivalKey, Page, Row, Window

COLUMNS = ("transaction_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount", "tx_fraud")
"""Columns that are read from a file. Others, such as the fraud scenario, are ignored."""

REPORT_DELAY = 7 * timestamps.DAY
"""Time from a fraud to its report, in microseconds."""


class LabelledReplay:
    """The transactions of a labelled file with the columns `COLUMNS`. A terminal is served as a merchant.

    Times without a zone are in UTC, arrival is the event time, and amounts are rounded to cents. Fields that the file lacks
    are null. Each row with tx_fraud = 1 is reported exactly seven days later. A row takes about 60 bytes of memory.

    Raises:
        UnreadableFile, MissingColumns, BadColumn: the message names the problem of the file.
    """

    def __init__(self, path: str | Path) -> None:
        with _opened(Path(path)) as file:
            event = _column(file, "tx_datetime").cast(pa.timestamp("us"), safe=False).to_numpy().astype(np.int64)
            ids = _column(file, "transaction_id").cast(pa.string())
            order = pc.sort_indices(
                pa.table({"event": event, "id": ids}), sort_keys=[("event", "ascending"), ("id", "ascending")]
            )
            rows = order.to_numpy()
            self._event: npt.NDArray[np.int64] = event[rows]
            self._ids = ids.take(order)
            self._amount = np.round(_amounts(file)[rows], 2)
            self._fraud = np.flatnonzero(_column(file, "tx_fraud").cast(pa.int64()).to_numpy()[rows] == 1)
            self._customer_ids, self._customer = _numbered(_column(file, "customer_id"), rows)
            merchant_ids, self._merchant = _numbered(_column(file, "terminal_id"), rows)
        self._merchants = [_merchant(merchant_id) for merchant_id in merchant_ids]
        self._first_seen = np.full(len(self._customer_ids), np.iinfo(np.int64).max)
        np.minimum.at(self._first_seen, self._customer, self._event)

    def transactions(self, window: Window, after: ArrivalKey | None, limit: int) -> Page:
        """See `Source.transactions`."""
        start, end = self._span(window, window.as_of)
        if after is not None:
            start = max(start, self._position_after(after))
        stop = max(start, min(end, start + limit))
        last = ArrivalKey(int(self._event[stop - 1]), self._ids[stop - 1].as_py(), 0) if stop > start else None
        return Page(self._rows(start, stop), last, stop < end)

    def customers(self, as_of: int) -> list[Row]:
        """See `Source.customers`. A customer is known from its first transaction."""
        known = (self._first_seen <= as_of).tolist()
        return [_customer(name) for name, is_known in zip(self._customer_ids, known, strict=True) if is_known]

    def external_data(self, window: Window, sections: Collection[str]) -> dict[str, list[Row]]:
        """See `Source.external_data`. The file has no blacklist and no credit scores."""
        return {name: self._reports(window) if name == "fraud_reports" else [] for name in sections}

    def labels(self, window: Window) -> list[Row]:
        """See `Source.labels`. `kind` and `incident` are null, since the file's fraud scenario is not read."""
        chosen = self._frauds_between(*self._span(window, window.as_of))
        return [
            {"transaction_id": transaction_id, "date_time": moment, "kind": None, "incident": None}
            for transaction_id, moment in zip(
                self._ids.take(chosen).to_pylist(), timestamps.texts(self._event[chosen]), strict=True
            )
        ]

    def _span(self, window: Window, known_until: int) -> tuple[int, int]:
        """Start and end position of the rows in the window with event time up to `known_until`."""
        start = 0 if window.since is None else int(np.searchsorted(self._event, window.since))
        end = int(np.searchsorted(self._event, known_until, side="right"))
        if window.until is not None:
            end = min(end, int(np.searchsorted(self._event, window.until)))
        return start, end

    def _position_after(self, after: ArrivalKey) -> int:
        low, high = (int(np.searchsorted(self._event, after.arrival, side=side)) for side in ("left", "right"))
        return bisect_right(range(high), after.transaction_id, lo=low, key=lambda place: self._ids[place].as_py())

    def _frauds_between(self, start: int, end: int) -> npt.NDArray[np.int64]:
        return self._fraud[(self._fraud >= start) & (self._fraud < end)]

    def _rows(self, start: int, stop: int) -> list[Row]:
        place = slice(start, stop)
        customers, merchants = self._customer_ids, self._merchants
        return [
            {
                "transaction_id": transaction_id,
                "date_time": moment,
                "amount": amount,
                "currency": None,
                "merchant_details": merchants[merchant],
                "customer_id": customers[customer],
                "transaction_type": None,
                "channel": None,
                "status": None,
                "ingested_at": None,
            }
            for transaction_id, moment, amount, merchant, customer in zip(
                self._ids[place].to_numpy(zero_copy_only=False).tolist(),
                timestamps.texts(self._event[place]),
                self._amount[place].tolist(),
                self._merchant[place].tolist(),
                self._customer[place].tolist(),
                strict=True,
            )
        ]

    def _reports(self, window: Window) -> list[Row]:
        shifted = Window(
            window.as_of,
            None if window.since is None else window.since - REPORT_DELAY,
            None if window.until is None else window.until - REPORT_DELAY,
        )
        chosen = self._frauds_between(*self._span(shifted, window.as_of - REPORT_DELAY))
        return [
            {
                "report_id": f"report-{transaction_id}",
                "reported_at": moment,
                "customer_id": self._customer_ids[customer],
                "merchant_id": self._merchants[merchant]["merchant_id"],
                "transaction_id": transaction_id,
                "kind": None,
            }
            for transaction_id, moment, customer, merchant in zip(
                self._ids.take(chosen).to_pylist(),
                timestamps.texts(self._event[chosen] + REPORT_DELAY),
                self._customer[chosen].tolist(),
                self._merchant[chosen].tolist(),
                strict=True,
            )
        ]


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open the file and check that it has all columns."""
    expected = ", ".join(COLUMNS)
    if not path.is_file():
        raise UnreadableFile(f"{path} is not a file: give a Parquet file with the columns {expected}.")
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise MissingColumns(f"{path} lacks {', '.join(missing)}: it needs the columns {expected}.")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(
            f"{path} cannot be read as Parquet ({error}): give a Parquet file with the columns {expected}."
        ) from error


def _column(file: pq.ParquetFile, name: str) -> pa.Array:
    """Read a column as one array and check its type and that it has no nulls. A time with a zone is converted to UTC.

    Columns are read one by one, so that memory is only needed for what is kept.
    """
    column = file.read(columns=[name]).column(0).combine_chunks()
    kind = column.type
    fits = {
        "tx_datetime": pa.types.is_timestamp(kind),
        "tx_amount": pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind),
        "tx_fraud": pa.types.is_integer(kind) or pa.types.is_boolean(kind),
    }.get(name, pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if not fits:
        raise BadColumn(f"Column {name} has the unsupported type {kind}: convert it before the replay.")
    if column.null_count:
        raise BadColumn(f"Column {name} has {column.null_count} nulls: fill them, or remove those rows.")
    return column


def _amounts(file: pq.ParquetFile) -> npt.NDArray[np.float64]:
    amounts: npt.NDArray[np.float64] = _column(file, "tx_amount").cast(pa.float64()).to_numpy()
    unusable = len(amounts) - int(np.isfinite(amounts).sum())
    if unusable:
        raise BadColumn(f"Column tx_amount has {unusable} values that are not finite numbers: remove those rows.")
    return amounts


def _numbered(column: pa.Array, rows: npt.NDArray[np.uint64]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Distinct values of a column as sorted texts, and for each of `rows` the position of its value among them."""
    coded = column.cast(pa.string()).dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return coded.dictionary.take(pa.array(order)).to_pylist(), place[coded.indices.to_numpy()[rows]]


def _merchant(merchant_id: str) -> Row:
    nothing = dict.fromkeys(("name", "category", "city", "country", "latitude", "longitude"))
    return {"merchant_id": merchant_id, **nothing}


def _customer(customer_id: str) -> Row:
    return {
        "customer_id": customer_id,
        "account_history": dict.fromkeys(("opened_at", "status")),
        "demographics": dict.fromkeys(("name", "email", "date_of_birth", "city", "country", "latitude", "longitude")),
        "behavioral_patterns": dict.fromkeys(("home_currency", "usual_countries", "usual_channels", "transactions_per_week")),
    }
