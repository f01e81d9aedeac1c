"""Checks a source before anything is loaded: what a sample of its rows becomes, and what is strange about it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.ingestion.batch import last_versions
from fraud_assets.ingestion.own_data.connectors.base import FILE, LINE, ROW, RawPage
from fraud_assets.ingestion.own_data.connectors.hive import HiveConnector
from fraud_assets.ingestion.own_data.in_place import explain_in_place
from fraud_assets.ingestion.own_data.mapped_source import JudgedPage, MappedSource
from fraud_assets.ingestion.own_data.mapping import MASK, TableMapping, unmapped_fields
from fraud_assets.ingestion.own_data.source_file import AmountColumn, TableSource, TimeColumn
from fraud_assets.ingestion.own_data.time_formats import day_and_month_are_ambiguous, formats_of
from fraud_assets.schemas.sources import ApiTable
from hive_io import PARTITION, Span

EXAMPLES = 3
"""Raw values that are shown for a broken claim."""
_LONGEST = 60
"""Characters of a raw value that are shown."""
_ENOUGH = 50
"""Fewest rows for a statement about shares."""
_FUTURE_SHARE = 0.001
_ONCE_SHARE = 0.9
_MINOR_SHARE = 0.5
"""Share of amounts that do not end in 00 from which whole numbers look like cents."""


@dataclass(frozen=True)
class Refusal:
    """Rows that break a claim.

    Attributes:
        rows: number of rows of the sample.
        examples: place and raw value of some of them; personal data is masked.
    """

    claim: str
    rows: int
    examples: Sequence[tuple[str, str]]


@dataclass
class TableReport:
    """What a sample of a table becomes.

    Attributes:
        sampled: raw rows that were read.
        complete: True if they are all the rows that there are.
        left_out: rows for which `where` does not hold.
        rows: valid rows, in the last version of each key.
        valid: valid rows, in every version.
        rejected: rows that break a claim.
        null_shares: share of the valid rows in which a column is NULL, for the columns that the source file names.
        unmapped: fields that are neither read nor named as unused.
        warnings: what looks wrong, each with what to write.
    """

    table: str
    places: Sequence[str]
    sampled: int = 0
    complete: bool = True
    left_out: int = 0
    rows: pa.Table | None = None
    valid: int = 0
    rejected: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    null_shares: dict[str, float] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def rejected_share(self) -> float:
        """Share of the table's rows that break a claim."""
        kept = self.sampled - self.left_out
        return self.rejected / kept if kept else 0.0

    @property
    def days(self) -> tuple[str, str] | None:
        """First and last day of the valid rows; None if there are none."""
        if self.rows is None or not self.rows.num_rows:
            return None
        bounds = pc.min_max(self.rows.column(PARTITION)).as_py()
        return bounds["min"], bounds["max"]


def check_table(source: MappedSource, name: str, sample: int, now: dt.datetime) -> TableReport:
    """Map and validate a sample of a table's raw rows, and describe the result.

    Args:
        sample: raw rows to read, spread over the files.
        now: for times in the future, aware.

    Raises:
        SourceError: the source cannot be read, or a file lacks a field.
        SourceFileError: an expression is wrong.
    """
    table = source.file.tables[name]
    mapping = source.mapping(name)
    connector = source.connector(name)
    if isinstance(connector, HiveConnector):
        # a sample does not show what the server refuses
        day = now.astimezone(dt.UTC).date()
        explain_in_place(table, connector.warehouse, Span.days(day, day))
    report = TableReport(name, [str(place) for place in connector.places()])
    pages: list[JudgedPage] = []
    fields: dict[str, None] = {}
    raw: list[RawPage] = []
    for page, complete in connector.sample(sample, now.date()):
        fields.update(dict.fromkeys(page.fields))
        report.sampled += page.rows.num_rows
        report.complete &= complete
        raw.append(page)
        judged = source.judged(table.api, page)
        report.left_out += judged.left_out
        pages.append(judged)
    rows = pa.concat_tables([table.api.table.arrow_schema.empty_table(), *(page.rows for page in pages)])
    report.valid = rows.num_rows
    report.rows = last_versions(table.api, rows)
    report.rejected = sum(pc.sum(page.refused).as_py() or 0 for page in pages)
    report.refusals = _refusals(table.api, table, mapping, pages)
    report.null_shares = {
        column: report.rows.column(column).null_count / report.rows.num_rows if report.rows.num_rows else 1.0
        for column in table.columns
    }
    report.unmapped = unmapped_fields(mapping, table, fields)
    report.warnings = list(_warnings(table, mapping, report, raw, now))
    return report


def _refusals(api: ApiTable, table: TableSource, mapping: TableMapping, pages: Sequence[JudgedPage]) -> list[Refusal]:
    columns = {claim.name: claim.column for claim in api.claims}
    columns |= {api.readable_claim(column.name): column.name for column in api.read_columns}
    columns[str(api.span_claim)] = str(api.day_column)
    counts: Counter[str] = Counter()
    examples: dict[str, list[tuple[str, str]]] = {}
    for page in pages:
        for index, claims in sorted(page.mapped.broken.items()):
            for claim in claims:
                counts[claim] += 1
                shown = examples.setdefault(claim, [])
                if len(shown) < EXAMPLES:
                    row = page.mapped.raw.slice(index, 1).to_pylist()[0]
                    shown.append((f"{row[FILE]}:{row[ROW]}", _raw_value(row, columns.get(claim), table, mapping)))
    return [Refusal(claim, count, examples[claim]) for claim, count in counts.most_common()]


def _raw_value(row: dict[str, Any], column: str | None, table: TableSource, mapping: TableMapping) -> str:
    """The raw values that a column of a row is made from, as `field=value`."""
    if row[LINE] is not None:
        return MASK if mapping.masked_fields else _short(row[LINE])
    fields = mapping.fields_of(column) if column in table.columns else []
    if not fields:
        return f"({column} is not mapped)" if column and column not in table.columns else "(a constant)"
    return ", ".join(f"{name}={MASK if name in mapping.masked_fields else _short(row.get(name))}" for name in fields)


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


# --- plausibility -----------------------------------------------------------------------------------------------------


def _warnings(
    table: TableSource, mapping: TableMapping, report: TableReport, raw: Sequence[RawPage], now: dt.datetime
) -> Iterator[str]:
    rows = report.rows
    assert rows is not None
    for name, share in report.null_shares.items():
        if share == 1.0 and rows.num_rows and table.columns[name].constant is None:
            yield f"{name} is always NULL. Check the name of its field; a JSON path starts at the row, such as merchant.city"
    if report.valid > rows.num_rows:
        more = report.valid - rows.num_rows
        yield (
            f"{more:,} rows repeat a key ({', '.join(table.api.table.key)}) of the same day; only the last version of each is "
            "loaded. If they are different rows, make the key from more fields, or from _file and _row"
        )
    for name, column in table.columns.items():
        if isinstance(column, TimeColumn):
            yield from _time_warnings(name, column, mapping, report, raw, now)
        elif isinstance(column, AmountColumn):
            yield from _amount_warnings(name, column, rows)
        elif name.endswith("_id") and rows.num_rows:
            yield from _id_warnings(name, rows)
    if table.api.table.name == "transactions":
        yield from _history_warnings(rows)


def _time_warnings(
    name: str, column: TimeColumn, mapping: TableMapping, report: TableReport, raw: Sequence[RawPage], now: dt.datetime
) -> Iterator[str]:
    rows = report.rows
    assert rows is not None
    times = rows.column(name)
    if rows.num_rows >= _ENOUGH and name == "event_time":
        late = pc.sum(pc.greater(times, pa.scalar(now.replace(tzinfo=None), times.type))).as_py() or 0
        if late > _FUTURE_SHARE * rows.num_rows:
            yield (
                f"{late:,} of {rows.num_rows:,} times ({late / rows.num_rows:.1%}) are in the future, after "
                f"{now:%Y-%m-%d %H:%M} UTC. Check `format`, `unit`, `since` and `zone`; days after today cannot be loaded"
            )
        if pc.all(pc.equal(times, pc.floor_temporal(times, unit="day"))).as_py():
            yield f"{name} has no time of day. Rules that compare minutes or hours see all transactions of a day at once"
    if column.field is None or column.format == "counter":
        return
    texts = list(_texts(raw, column.field))
    if not texts:
        return
    formats = formats_of(texts[:2000])
    own = set(column.patterns or [str(column.format)])
    for pattern in own:
        if day_and_month_are_ambiguous(texts[:2000], pattern) and len(set(texts)) > 1:
            yield f"{name}: day and month can be exchanged in every value. Check that {pattern!r} is the right order"
    unread = [text for text in texts[:2000] if not any(text_format in own for text_format, _ in formats_of([text]))]
    others = formats_of(unread)[:1] if unread and len(formats) > 1 else []
    for other, count in others:
        written = ", ".join(repr(pattern) for pattern in [*own, other])
        if other.startswith("%"):
            example = f"{other!r} (such as {unread[0]!r})"
            yield f"{name}: {count:,} values have another format, {example}. Write `format: [{written}]`"
        else:
            yield f"{name}: {count:,} values are written as {other} (such as {unread[0]!r}), not as {' or '.join(own)}"


def _amount_warnings(name: str, column: AmountColumn, rows: pa.Table) -> Iterator[str]:
    amounts = rows.column(name).drop_null().cast(pa.float64())
    if len(amounts) < _ENOUGH or column.minor_units:
        return
    whole = pc.all(pc.equal(amounts, pc.floor(amounts))).as_py()
    odd = pc.mean(pc.not_equal(pc.multiply(pc.floor(pc.divide(amounts, 100.0)), 100.0), amounts).cast(pa.int8())).as_py()
    if whole and odd > _MINOR_SHARE:
        median = pc.quantile(amounts, 0.5)[0].as_py()
        yield (
            f"{name}: all {len(amounts):,} amounts are whole numbers (median {median:,.0f}). If they are in cents, write "
            "`minor_units: true`"
        )


def _id_warnings(name: str, rows: pa.Table) -> Iterator[str]:
    values = rows.column(name).drop_null()
    spoiled = values.filter(pc.match_substring_regex(values, r"^[0-9](\.[0-9]+)?[eE]\+?[0-9]+$"))
    if len(spoiled):
        yield (
            f"{name}: {len(spoiled):,} values such as {spoiled[0].as_py()!r} are numbers that a spreadsheet has rounded; their "
            "digits are lost. Export them as text"
        )


def _history_warnings(rows: pa.Table) -> Iterator[str]:
    if rows.num_rows < _ENOUGH:
        return
    counts = rows.group_by("customer_id").aggregate([([], "count_all")]).column("count_all")
    once = pc.sum(pc.equal(counts, 1)).as_py() or 0
    if once > _ONCE_SHARE * len(counts):
        yield (
            f"{once:,} of {len(counts):,} customers have one transaction only. Rules that compare with a customer's own "
            "history will not judge them. Check that customer_id names the customer"
        )
    if len(counts) == 1:
        yield "There is one customer only. Check that customer_id names the customer"


def _texts(raw: Sequence[RawPage], field_name: str) -> Iterator[str]:
    for page in raw:
        if field_name in page.rows.column_names:
            yield from (text.strip() for text in page.rows.column(field_name).drop_null().to_pylist() if text.strip())
