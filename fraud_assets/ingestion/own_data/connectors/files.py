"""Files as a source: CSV, TSV, JSON lines, Parquet, Avro, Delta tables and ISO 20022.

They are one or many, compressed or not, by day or not. Every field is text: a card number keeps its last digit, and leading
zeros stay.
"""

from __future__ import annotations

import datetime as dt
import glob
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors import object_store
from fraud_assets.ingestion.own_data.connectors.avro import records_of
from fraud_assets.ingestion.own_data.connectors.base import OWN, Connector, Context, RawPage, decoded, page_of, page_of_records
from fraud_assets.ingestion.own_data.connectors.iso20022 import payments
from fraud_assets.ingestion.own_data.connectors.object_store import StoredFile
from hive_io import Span
from hive_io.table import DAY

Format = Literal["csv", "tsv", "jsonl", "parquet", "avro", "delta", "pacs.008", "camt.053"]
File = Path | StoredFile
"""A file of this machine, or an object of a store."""

BLOCK = 8 << 20
"""Bytes of a CSV file that are parsed at once."""
LEAST_SAMPLE = 100
"""Fewest rows of each file in a sample."""
PAGE_ROWS = 50_000
"""Rows of a page of JSON lines or Parquet."""
_TAIL = 1 << 16
_MOST_LINES = 10
"""Line breaks in a row that cannot be split into fields, from which it is taken for several rows."""
_DAY = re.compile(r"\{day(?::(?P<pattern>[^}]+))?\}")
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".avro": "avro",
}
_COMPRESSED = {".gz", ".bz2", ".zst", ".lz4"}


@dataclass(frozen=True)
class FileLayout:
    """How the files of a table are written.

    Attributes:
        path: a path, or a glob pattern; `{day}` stands for a day like 2026-01-31, `{day:%Y%m%d}` for another way to write it.
        format: None to take it from the file's name.
        delimiter: None for a comma, or a tab in a TSV file.
        header: False if the first row is data; the fields are then `column1`, `column2` and so on.
        spill: largest number of days between the day in a path and the times of its rows.
        valid_from: for snapshots without `{day}`: first day for which the rows hold.
    """

    path: File
    format: Format | None = None
    delimiter: str | None = None
    quote: str | None = '"'
    encoding: str = "utf-8"
    header: bool = True
    spill: int = 1
    valid_from: dt.date | None = None

    @property
    def is_local(self) -> bool:
        """True for files of this machine."""
        return isinstance(self.path, Path)

    @property
    def missing_for_watch(self) -> str:
        """What to name for `fraud watch`."""
        return f"{self.path} is a Delta table, whose rows have no order of arrival" if self.is_delta else ""

    @property
    def is_delta(self) -> bool:
        """True for the folder of a Delta Lake table."""
        return self.format == "delta" or (
            self.format is None and isinstance(self.path, Path) and (self.path / "_delta_log").is_dir()
        )

    @property
    def by_day(self) -> bool:
        """True if the path has a day in it."""
        return _DAY.search(str(self.path)) is not None

    @property
    def version(self) -> str:
        """Names, sizes and times of change of the files."""
        if self.is_delta:
            return f"{self.path} {_delta(self.path).version()}"
        files = (file for file, _ in FilesConnector(self).files())
        return "\0".join(f"{file} {size} {changed}" for file in files for size, changed in [_state(file)])

    def connector(self, context: Context) -> Connector:
        """A connector that reads the files."""
        return FilesConnector(self)


class FilesConnector:
    """Reads the files of one table."""

    looks_back = True

    def __init__(self, layout: FileLayout) -> None:
        self.layout = layout
        self._read_until: dict[str, tuple[object, int | None]] = {}
        """Size and time of change of each file that was read to its end, and its last row."""

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        for file, day in self.files(span):
            for page, _ in self._read(file, day, 0):
                yield page

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        if self.layout.missing_for_watch:
            raise SourceError(self.layout.missing_for_watch)
        read: dict[str, int] = json.loads(cursor) if cursor else {}
        files = {self._place(file): (file, day) for file, day in self.files()}
        if gone := sorted(read.keys() - files.keys()):
            raise SourceError(
                f"{self.layout.path}: the cursor names {', '.join(gone)}, which is gone. Rows that were appended to it since "
                "the last poll cannot be read; restore it, or start again without a checkpoint"
            )
        for name, (file, day) in files.items():
            state = _state(file)
            if self._read_until.get(name) == (state, read.get(name)):
                continue
            # what follows the last line break may be half a row
            end = self._end_of_lines(file)
            if end != 0:
                for page, last in self._read(file, day, read.get(name, 0), end):
                    if not page.rows.num_rows:
                        continue
                    read[name] = last
                    yield page, json.dumps(read, sort_keys=True)
            self._read_until[name] = state, read.get(name)

    def _end_of_lines(self, file: File) -> int | None:
        """Number of bytes up to the last line break; None for a file that is written as a whole."""
        is_text = (self.layout.format or format_of(file)) in ("csv", "tsv", "jsonl")
        # an object is written as a whole
        if (
            isinstance(file, StoredFile)
            or not is_text
            or file.suffix.lower() in _COMPRESSED
            or "\n".encode(self.layout.encoding) != b"\n"
        ):
            return None
        with file.open("rb") as raw:
            end = raw.seek(0, io.SEEK_END)
            while end:
                start = max(0, end - _TAIL)
                raw.seek(start)
                found = raw.read(end - start).rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                end = start
        return 0

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        if not self.layout.by_day:
            if self.layout.valid_from is None or day >= self.layout.valid_from:
                yield from self.pages()
            return
        for file in self._of_day(day, required=True):
            for page, _ in self._read(file, day, 0):
                yield page

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        files = self.files()
        # of each file at least a few rows: one that differs from the others must be found
        each = max(LEAST_SAMPLE, rows // len(files))
        for file, day in files:
            left = each
            for page, _ in self._read(file, day, 0):
                if left <= 0:
                    # there is more than was asked for
                    yield replace(page, rows=page.rows.slice(0, 0)), False
                    break
                yield replace(page, rows=page.rows.slice(0, left)), page.rows.num_rows <= left
                left -= page.rows.num_rows

    def abort(self) -> None:
        """A file is read as fast as the disk allows."""

    def close(self) -> None:
        """No file is open between pages."""

    def places(self) -> list[str]:
        return [str(file) for file, _ in self.files()]

    # --- which files --------------------------------------------------------------------------------------------------

    def files(self, span: Span | None = None) -> list[tuple[File, dt.date | None]]:
        """The files with rows of a span, or all, each with the day that its name says."""
        if self.layout.is_delta:
            return [(self.layout.path, None)]
        if not self.layout.by_day:
            found = self._matching(str(self.layout.path))
            if not found:
                raise SourceError(f"{self.layout.path}: no such file. A relative path starts at the folder of the source file")
            return [(file, None) for file in found]
        if span is None:
            found_by_day = self._all_days()
            if not found_by_day:
                raise SourceError(
                    f"{self.layout.path}: no file of any day. A relative path starts at the folder of the source file"
                )
            return found_by_day
        spill = self.layout.spill * DAY
        around = Span.days(span.first_day - spill, span.last_day + spill)
        inside = set(span.each_day())
        return [(file, day) for day in around.each_day() for file in self._of_day(day, required=day in inside)]

    def _of_day(self, day: dt.date, *, required: bool) -> list[File]:
        pattern = _DAY.sub(lambda match: day.strftime(match["pattern"] or "%Y-%m-%d"), str(self.layout.path))
        found = self._matching(pattern)
        if required and not found:
            raise SourceError(f"No file of {day}: expected {pattern}. For a day without rows, the source writes an empty file")
        return found

    def _all_days(self) -> list[tuple[File, dt.date | None]]:
        """Every file whose path has a readable day, sorted by day."""
        parts = _DAY.split(str(self.layout.path))
        # texts and patterns take turns
        patterns = [pattern or "%Y-%m-%d" for pattern in parts[1::2]]
        anything = "*".join(parts[0::2])
        expression = "(.+?)".join(_glob_expression(text) for text in parts[0::2])
        found: list[tuple[File, dt.date | None]] = []
        for file in self._matching(anything):
            match = re.fullmatch(expression, str(file))
            days: set[dt.date | None] = set()
            for text, pattern in zip(match.groups() if match else (), patterns, strict=bool(match)):
                try:
                    days.add(dt.datetime.strptime(text, pattern).date())
                except ValueError:
                    days.add(None)
            if len(days) == 1 and None not in days:
                found += [(file, day) for day in days]
        return sorted(found, key=lambda pair: (str(pair[1]), str(pair[0])))

    def _matching(self, pattern: str) -> list[File]:
        """The files that match a pattern, sorted."""
        if isinstance(self.layout.path, StoredFile):
            return [*self.layout.path.matching(pattern)]
        return [*_glob(pattern)]

    def _place(self, file: File) -> str:
        """The name of a file, with the folders that differ between the files."""
        fixed = re.split(r"[*?\[{]", str(self.layout.path), maxsplit=1)[0].rpartition("/")[0]
        return file.name if file == self.layout.path else str(file).removeprefix(fixed).lstrip("/")

    # --- one file -----------------------------------------------------------------------------------------------------

    def _read(self, file: File, day: dt.date | None, after: int, end: int | None = None) -> Iterator[tuple[RawPage, int]]:
        """Pages of the rows with a number above `after`, each with the number of its last row.

        Args:
            end: number of bytes of a text file that are read; None for all.
        """
        kind = "delta" if self.layout.is_delta else self.layout.format or format_of(file)
        try:
            if kind == "delta":
                yield from self._read_delta(file, after)
            elif kind in ("csv", "tsv"):
                yield from self._read_csv(file, day, after, self.layout.delimiter or ("\t" if kind == "tsv" else ","), end)
            elif kind == "jsonl":
                yield from self._read_lines(file, day, after, end)
            elif kind in ("pacs.008", "camt.053"):
                yield from self._read_records(file, lambda raw: payments(raw, kind), day, after)
            elif kind == "avro":
                yield from self._read_records(file, records_of, day, after)
            else:
                yield from self._read_parquet(file, day, after)
        except (pa.ArrowException, DeltaError, OSError, UnicodeError) as error:
            raise SourceError(_explained(file, kind, self.layout, error)) from error

    def _read_csv(
        self, file: File, day: dt.date | None, after: int, delimiter: str, end: int | None
    ) -> Iterator[tuple[RawPage, int]]:
        names = self.header(file, delimiter)
        if names is None:
            _check_grown(file, 0, after)
            return
        ragged: list[tuple[int, str]] = []

        def keep(row: Any) -> str:
            ragged.append((row.number, f"{row.text}"))
            return "skip"

        offset = 1 if self.layout.header else 0
        reader = pyarrow.csv.open_csv(
            stream_of(file, end),
            # in one thread, so that ragged rows have numbers
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=names, skip_rows=offset, encoding=self.layout.encoding
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char=self.layout.quote or False,
                newlines_in_values=self.layout.quote is not None,
                invalid_row_handler=keep,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        last = 0
        while True:
            batch = _next(reader)
            rows = batch.num_rows if batch is not None else 0
            _check_quotes(file, ragged, offset, self.layout.quote)
            # what the parser has skipped so far; it may have read ahead of this batch
            broken = [number - offset for number, _ in ragged]
            numbers = _numbers(last, rows, broken) if batch is not None else np.empty(0, np.int64)
            end = int(numbers[-1]) if rows else last
            due = [(number - offset, text) for number, text in ragged if number - offset <= end or batch is None]
            ragged = [(number, text) for number, text in ragged if number - offset > end and batch is not None]
            fields = dict(
                zip(names, batch.columns if batch is not None else [pa.nulls(0, pa.string())] * len(names), strict=True)
            )
            if rows or due:
                page = _with_broken(fields, numbers, due, self._place(file), day)
                last = max([end, *(number for number, _ in due)])
                if last > after:
                    yield _after(page, after), last
            if batch is None:
                if not last:
                    # a header without rows: it may be that of another file, or an error page
                    yield page_of({name: [] for name in names}, self._place(file), [], day=day), 0
                _check_grown(file, last, after)
                return

    def header(self, file: File, delimiter: str) -> list[str] | None:
        """The fields of a CSV file; None if it is empty.

        Raises:
            SourceError: two columns have the same name.
        """
        first = self.first_line(file, delimiter)
        if first is None:
            return None
        names = [
            (name.strip() if self.layout.header else "") or f"column{number}" for number, name in enumerate(first, start=1)
        ]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SourceError(
                f"{file}: two columns are called {', '.join(map(repr, twice))}; expected one name for each column"
            )
        if own := sorted(set(names) & set(OWN)):
            raise SourceError(f"{file}: a column is called {', '.join(own)}, a name that is reserved; rename it")
        return names

    def first_line(self, file: File, delimiter: str) -> list[str] | None:
        """The first row of a CSV file, split into fields."""
        import csv

        with stream_of(file) as raw, io.TextIOWrapper(raw, encoding=self.layout.encoding, newline="") as text:
            rows = csv.reader(text, delimiter=delimiter, quotechar=self.layout.quote or None)
            for row in rows:
                if row:
                    return [name.removeprefix("\ufeff") for name in row]
        return None

    def _read_lines(self, file: File, day: dt.date | None, after: int, end: int | None) -> Iterator[tuple[RawPage, int]]:
        records: list[Any] = []
        lines: list[str | None] = []
        numbers: list[int] = []
        with stream_of(file, end) as raw, io.TextIOWrapper(raw, encoding=self.layout.encoding) as text:
            number = 0
            for line in text:
                if not (stripped := line.strip("\ufeff\r\n\t ")):
                    continue
                number += 1
                if number <= after:
                    continue
                record = decoded(stripped)
                records.append(record)
                lines.append(None if isinstance(record, dict) else stripped)
                numbers.append(number)
                if len(numbers) == PAGE_ROWS:
                    yield page_of_records(records, self._place(file), numbers, lines, day=day), number
                    records, lines, numbers = [], [], []
        _check_grown(file, number, after)
        if numbers:
            yield page_of_records(records, self._place(file), numbers, lines, day=day), numbers[-1]

    def _read_records(
        self, file: File, records_in: Callable[[Any], Iterator[Any]], day: dt.date | None, after: int
    ) -> Iterator[tuple[RawPage, int]]:
        """Pages of a file that is read as a whole: what is wrong with it ends the load with its name."""
        number = 0
        with stream_of(file) as raw:
            found = enumerate(records_in(raw), start=1)
            try:
                while part := list(islice(found, PAGE_ROWS)):
                    number = part[-1][0]
                    new = [(each, record) for each, record in part if each > after]
                    if new:
                        numbers, records = [each for each, _ in new], [record for _, record in new]
                        yield page_of_records(records, self._place(file), numbers, [None] * len(new), day=day), number
            except SourceError as error:
                raise SourceError(f"{file}: {error}") from None
        _check_grown(file, number, after)

    def _read_delta(self, folder: File, after: int) -> Iterator[tuple[RawPage, int]]:
        last = 0
        for batch in _delta(folder).to_pyarrow_dataset().to_batches(batch_size=PAGE_ROWS):
            numbers = np.arange(last + 1, last + 1 + batch.num_rows)
            last += batch.num_rows
            if batch.num_rows and last > after:
                fields = {name: _as_text(batch.column(name)) for name in batch.schema.names}
                yield _after(page_of(fields, self._place(folder), numbers), after), last

    def _read_parquet(self, file: File, day: dt.date | None, after: int) -> Iterator[tuple[RawPage, int]]:
        last = 0
        with pq.ParquetFile(file.open_file() if isinstance(file, StoredFile) else file) as parquet:
            for batch in parquet.iter_batches(batch_size=PAGE_ROWS):
                numbers = np.arange(last + 1, last + 1 + batch.num_rows)
                last += batch.num_rows
                if last > after:
                    fields = {name: _as_text(batch.column(name)) for name in batch.schema.names}
                    yield _after(page_of(fields, self._place(file), numbers, day=day), after), last
        _check_grown(file, last, after)


def _check_quotes(file: File, ragged: Sequence[tuple[int, str]], offset: int, quote: str | None) -> None:
    """Check that no row takes up the rows after it.

    Raises:
        SourceError: a quote is opened and not closed.
    """
    for number, text in ragged:
        lines = text.strip().count("\n")
        if quote is not None and lines and (text.count(quote) % 2 or lines >= _MOST_LINES):
            raise SourceError(
                f"{file}: row {number - offset} opens a quote ({quote}) that is not closed, and takes up {lines:,} lines "
                "after it. Correct the row, or state `quote: none` if quotes are ordinary characters"
            )


def _check_grown(file: File, rows: int, after: int) -> None:
    """Check that a file still has the rows that were read before.

    Raises:
        SourceError: it has fewer rows.
    """
    if rows < after:
        raise SourceError(
            f"{file} has {rows:,} rows, and {after:,} were read before: it was replaced. A file that is watched may only grow; "
            "write new rows to a new file"
        )


def _delta(folder: File) -> DeltaTable:
    try:
        return DeltaTable(str(folder), storage_options=folder.delta_options if isinstance(folder, StoredFile) else None)
    except DeltaError as error:
        raise SourceError(
            f"{folder}: not a Delta table ({str(error).splitlines()[0][:200]}). Check `path` and `format`"
        ) from None


def format_of(file: File) -> Format:
    """The format that a file's name says.

    Raises:
        SourceError: a name that says none.
    """
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() not in _COMPRESSED]
    for suffix in reversed(suffixes):
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
    raise SourceError(
        f"{file}: the name does not say the format; state `format: csv`, tsv, jsonl, parquet, avro, delta, pacs.008 or camt.053"
    )


def _glob(pattern: str) -> list[Path]:
    # Path.glob needs a folder to start from, and a pattern may be anywhere
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    return sorted(Path(name) for name in names if Path(name).is_file())


def _glob_expression(text: str) -> str:
    """A regular expression for a part of a glob pattern."""
    return re.escape(text).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def located(path: str) -> File:
    """A path or pattern as a command names it: of this machine, or of an object store with the options of the environment."""
    try:
        return object_store.stored(path, {}) if object_store.is_stored(path) else Path(path).absolute()
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None


def _state(file: File) -> tuple[int, int]:
    """Size of a file, and when it was changed."""
    if isinstance(file, StoredFile):
        return file.size, file.changed
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def stream_of(file: File, end: int | None = None) -> Any:
    """The bytes of a file, decompressed by its name.

    Args:
        end: number of bytes that are read of a file of this machine; None for all.
    """
    if isinstance(file, StoredFile):
        return file.open_stream()
    if end is None:
        return pa.input_stream(str(file), compression="detect")
    return pa.input_stream(io.BufferedReader(_Beginning(file, end), BLOCK))


class _Beginning(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: Path, end: int) -> None:
        self._raw = file.open("rb", buffering=0)
        self._left = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _next(reader: Any) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _numbers(last: int, rows: int, broken: list[int]) -> Any:
    """The numbers of the next rows after `last`, leaving out those of broken rows."""
    candidates = np.arange(last + 1, last + 1 + rows + len(broken))
    return candidates[~np.isin(candidates, broken)][:rows]


def _with_broken(
    fields: dict[str, Any], numbers: Any, broken: list[tuple[int, str]], place: str, day: dt.date | None
) -> RawPage:
    """A page with its broken rows at their places."""
    if not broken:
        return page_of(fields, place, numbers, day=day)
    good = page_of(fields, place, numbers, day=day).rows
    blank = {name: [None] * len(broken) for name in fields}
    bad = page_of(blank, place, [number for number, _ in broken], [text for _, text in broken]).rows
    return RawPage(pa.concat_tables([good, bad]).sort_by("_row"), day)


def _after(page: RawPage, after: int) -> RawPage:
    if not after:
        return page
    return replace(page, rows=page.rows.filter(pc.greater(page.rows.column("_row"), after)))


def _as_text(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _as_text(values.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind):
        # the shortest text that reads as the same number (Arrow writes 1e+06 for a million); NaN is how pandas writes "none"
        shortest = repr if pa.types.is_float64(kind) else lambda value: str(np.float32(value))
        return pa.array([None if v is None or v != v else _plain(shortest(v)) for v in values.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values.to_pylist()])
    if pa.types.is_timestamp(kind) and kind.tz:
        return pc.strftime(values.cast(pa.timestamp("us", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
    return values.cast(pa.string())


def _plain(text: str) -> str:
    """The text of a float in plain notation."""
    return text.removesuffix(".0") if "e" not in text else format(Decimal(text), "f").removesuffix(".0")


def _explained(file: File, kind: str, layout: FileLayout, error: Exception) -> str:
    """What is wrong with a file, and what to write in the source file."""
    text = str(error).split("\n")[0][:300]
    if isinstance(file, StoredFile) and isinstance(error, OSError):
        return f"{file}: {object_store.explained(error)}"
    if isinstance(error, FileNotFoundError):
        return f"{file}: no such file"
    if isinstance(error, UnicodeError) or "UTF8" in text or "UTF-8" in text or "codec" in text:
        return (
            f"{file}: not {layout.encoding} ({text}). State the file's encoding, such as `encoding: windows-1252` or "
            "`encoding: utf-16`"
        )
    return f"{file}: cannot be read as {kind}: {text}. Check `format` and, for CSV, `delimiter` and `quote`"
