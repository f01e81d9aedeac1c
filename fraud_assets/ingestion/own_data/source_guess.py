"""Proposes a source file for data from the names, types and values of its fields.

What only a person can know is left open: CHOOSE stands where nothing can be guessed, and a comment where a guess may be wrong.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.base import OWN
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, FilesConnector, format_of, located, stream_of
from fraud_assets.ingestion.own_data.mapping import CHOOSE
from fraud_assets.ingestion.own_data.time_formats import day_and_month_are_ambiguous, formats_of

SAMPLE_ROWS = 5_000
_SAMPLE_BYTES = 1 << 18
_MOST_VALUES = 50
_MOST = 0.9
"""Share of values that have to look like those of a column; a few broken ones are for the check to show."""
_ENCODINGS = ("utf-8-sig", "utf-16", "cp1252", "latin-1")

_NAMES: Mapping[str, Sequence[str]] = {
    "transaction_id": (
        "transactionid", "txid", "txnid", "transnum", "transactionnumber", "transactionreference",
        "transactionref", "paymentid", "paymentref", "endtoendid", "uetr", "txref", "reference", "ref", "referenz",
        "buchungsreferenz", "id", "uuid",
    ),
    "event_time": (
        "eventtime", "txdatetime", "transdatetranstime", "transactiontime", "transactiondatetime", "datetime", "timestamp",
        "createdat", "created", "occurredat", "authorizedat", "transactiondate", "transactiondt", "transdate", "date",
        "bookingdate", "buchungstag", "buchungsdatum", "valuedate", "wertstellung", "datum", "time", "step", "unixtime",
    ),
    "amount": ("amount", "transactionamount", "transactionamt", "txamount", "amt", "betrag", "umsatz", "montant", "value"),
    "currency": ("currency", "currencycode", "transactioncurrency", "ccy", "curr", "waehrung", "währung", "devise"),
    "merchant_id": (
        "merchantid", "merchantdetailsmerchantid", "terminalid", "payeeid", "namedest", "merchant", "merchantname", "payee",
        "shopid", "shop", "storeid", "store", "vendor", "beneficiary", "counterpartyid", "counterpartyiban", "counterparty",
        "empfaenger", "empfänger", "beguenstigter",
        "addr1", "productcd",
    ),
    "merchant_name": ("merchantname", "merchantdetailsname", "merchant", "payeename", "counterpartyname", "empfaenger"),
    "merchant_category": ("merchantcategory", "category", "mcc", "merchantcategorycode", "productcd"),
    "merchant_city": ("merchantcity",),
    "merchant_country": ("merchantcountry", "merchantcountrycode"),
    "merchant_latitude": ("merchantlatitude", "merchlat", "merchantlat"),
    "merchant_longitude": ("merchantlongitude", "merchlong", "merchlon", "merchantlong", "merchantlon"),
    "customer_id": (
        "customerid", "custid", "customerno", "customernumber", "customer", "clientid", "clientno", "clientnumber", "client",
        "userid", "cardholderid", "accountid", "accountno", "accountnumber", "account", "iban", "konto", "kontonummer",
        "nameorig",
        "ccnum", "cardnumber", "cardid", "cardtoken", "pan", "card1", "kundennummer",
    ),
    "transaction_type": ("transactiontype", "txtype", "txntype", "type", "kind", "buchungstext", "paymenttype"),
    "channel": ("channel", "entrymode", "posentrymode"),
    "status": ("status", "transactionstatus", "authstatus"),
    "decline_reason": ("declinereason", "responsecode", "reasoncode"),
    "card_id": ("cardid", "cardtoken"),
    "device_id": ("deviceid", "deviceinfo", "device"),
    "counterparty_id": ("counterpartyid", "namedest", "counterpartyiban"),
    "ingested_at": ("ingestedat", "arrivedat", "receivedat"),
}  # fmt: skip
"""Names of fields, without blanks and signs in small letters, by column; the first that is there is taken."""
_LABELS = ("isfraud", "txfraud", "fraud", "fraudlabel", "class", "label")
_PERSONAL = (
    "first", "last", "firstname", "lastname", "name", "street", "address", "email", "phone", "dob", "dateofbirth", "birthdate",
    "ssn", "zip", "postcode", "customername", "holder", "gender", "job",
)  # fmt: skip
_CARDS = ("ccnum", "cardnumber", "pan")
_TYPES: Sequence[tuple[str, str]] = (
    ("refund|chargeback|reversal|erstattung", "refund"),
    ("cash.?in|deposit|salary|incoming|transfer.?in|credit|gutschrift|gehalt|einzahlung", "transfer_in"),
    ("cash.?out|transfer|wire|sepa|ueberweisung|überweisung|dauerauftrag", "transfer_out"),
    ("atm|withdraw|debit$|bargeld|auszahlung|cash", "withdrawal"),
    ("pay|purchase|pos|card|sale|online|kauf|karte|lastschrift", "purchase"),
)
_STATUSES: Sequence[tuple[str, str]] = (
    ("approv|accept|success|settled|completed|captured|^ok$|^00$|booked", "approved"),
    ("declin|reject|refus|fail|denied", "declined"),
    ("revers|void|cancel", "reversed"),
    ("pend|author|open", "pending"),
)
_GERMAN_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d{1,4}-?")
_POINT_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?-?")


@dataclass
class _Guess:
    """The proposal as lines of YAML."""

    lines: list[str] = field(default_factory=list)

    def add(self, indent: int, text: str, comment: str = "") -> None:
        self.lines.append(" " * indent + text + (f"  # {comment}" if comment else ""))


def guess_source(path: str) -> str:
    """The text of a source file for the data at a path or glob pattern.

    Raises:
        SourceError: the data cannot be read.
    """
    layout, written = sniff(path)
    connector = FilesConnector(layout)
    pages = [page for page, _ in connector.sample(SAMPLE_ROWS, dt.date.min)]
    fields: dict[str, list[str]] = {}
    rows = 0
    for page in pages:
        rows += page.rows.num_rows
        for name in page.fields:
            fields.setdefault(name, []).extend(text for text in page.rows.column(name).to_pylist() if text is not None)
    if not rows:
        raise SourceError(f"{path}: has no rows, so nothing can be guessed")
    return _Proposal(path, written, _with_paths(fields), rows).text()


def sniff(path: str) -> tuple[FileLayout, dict[str, str]]:
    """The layout of files, and what a source file has to say of it.

    Raises:
        SourceError: there is no such file, or its format is unknown.
    """
    place = located(path)
    ((first, _), *_) = FilesConnector(FileLayout(place)).files()
    kind = format_of(first)
    written = {"path": path}
    if kind not in ("csv", "tsv"):
        return FileLayout(place, kind), written
    with stream_of(first) as stream:
        data = stream.read(_SAMPLE_BYTES)
    encoding, text = _decoded(data)
    delimiter = _delimiter(text)
    header = _has_header(text, delimiter)
    if encoding not in ("utf-8", "utf-8-sig"):
        written["encoding"] = {"cp1252": "windows-1252"}.get(encoding, encoding)
    if delimiter != ("\t" if kind == "tsv" else ","):
        written["delimiter"] = "tab" if delimiter == "\t" else delimiter
    if not header:
        written["header"] = "false"
    return FileLayout(place, kind, delimiter, encoding=written.get("encoding", "utf-8"), header=header), written


def _decoded(data: bytes) -> tuple[str, str]:
    has_mark = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if has_mark else [name for name in _ENCODINGS if name != "utf-16"]:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            # the sample may end inside a character
            return encoding, decoder.decode(data)
        except UnicodeError:
            continue
    return "latin-1", data.decode("latin-1")


def _delimiter(text: str) -> str:
    """The delimiter that splits most rows into the same number of fields, more than one."""
    lines = text.splitlines(keepends=True)[:200]
    lines = lines[:-1] if len(lines) > 1 else lines

    def score(delimiter: str) -> tuple[float, int]:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        return (count / sum(widths.values()), width) if width > 1 else (0.0, 0)

    return max(",;\t|", key=score)


def _has_header(text: str, delimiter: str) -> bool:
    """True unless the first row looks like data: one of its fields is a number or a time."""
    first = next((row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row), [])
    return not any(_POINT_NUMBER.fullmatch(name) or formats_of([name]) for name in first if name)


def _with_paths(fields: dict[str, list[str]]) -> dict[str, list[str]]:
    """The fields, and the paths into those that are JSON objects."""
    found: dict[str, list[str]] = {}
    for name, values in fields.items():
        if values and all(value.startswith("{") for value in values[:100]):
            objects = [yaml.safe_load(value) for value in values[:500]]
            keys = dict.fromkeys(key for each in objects for key in each)
            inner = {f"{name}.{key}": [_plain(each.get(key)) for each in objects if each.get(key) is not None] for key in keys}
            found.update(inner)
        else:
            found[name] = values
    return found


def _plain(value: Any) -> str:
    return str(value)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9äöüß]", "", name.lower())


class _Proposal:
    """Chooses fields for columns, and writes the proposal."""

    def __init__(self, path: str, written: dict[str, str], fields: dict[str, list[str]], rows: int) -> None:
        self._path = path
        self._written = written
        self._fields = fields
        self._rows = rows
        self._keys = {_key(name): name for name in reversed([*fields])}
        self._used: dict[str, None] = {}
        self._chosen = {column: found for column in _NAMES if (found := self._field(column)) is not None}
        label = next((self._keys[key] for key in _LABELS if key in self._keys), None)
        self._label = label if label and len(set(fields[label])) <= 2 else None
        self._out = _Guess()

    def text(self) -> str:
        add = self._out.add
        add(
            0,
            f"# Proposed from {self._rows:,} rows of {self._path}. Read it line by line. {CHOOSE}: only you can know.",
        )
        add(0, "# Next: fraud sources check THIS_FILE")
        add(0, "tables:")
        add(2, "transactions:")
        self._files()
        add(4, "columns:")
        for column, write in self._writers().items():
            if write is not None:
                write(column)
        self._rest()
        if self._label is not None:
            self._reports(self._label)
        return "\n".join(self._out.lines) + "\n"

    def _field(self, column: str) -> str | None:
        for name in _NAMES[column]:
            if name in self._keys and self._fits(column, self._fields[self._keys[name]]):
                return self._keys[name]
        if column in ("event_time", "amount", "customer_id", "transaction_id"):
            # the name of a field may say more than that of the column, as in `payment amount in euro`
            for key, name in self._keys.items():
                if any(part in key for part in _NAMES[column] if len(part) > 4) and self._fits(column, self._fields[name]):
                    return name
        if column == "transaction_id":
            return self._different_in_every_row()
        if column == "event_time":
            # no name says it; digits alone could be anything
            for name, values in self._fields.items():
                found = formats_of(values[:20])
                if found and found[0][1] == len(values[:20]) and not all(value.strip().isdigit() for value in values[:20]):
                    return name
        return None

    def _different_in_every_row(self) -> str | None:
        """A field that identifies rows: of all values different, and neither times nor numbers with a point."""
        for name, values in self._fields.items():
            is_other = formats_of(values[:20]) or any(mark in value for value in values[:20] for mark in ".,:")
            if len(values) == self._rows > 1 and not is_other and self._fits("transaction_id", values):
                return name
        return None

    def _fits(self, column: str, values: Sequence[str]) -> bool:
        """True if the values can be those of the column."""
        if not values:
            return False
        if column == "transaction_id":
            return len(set(values)) == len(values)
        if column in ("amount", "merchant_latitude", "merchant_longitude"):
            some = [value.strip() for value in values[:200]]
            numbers = sum(bool(_POINT_NUMBER.fullmatch(v) or _GERMAN_NUMBER.fullmatch(v)) for v in some)
            return numbers >= _MOST * len(some)
        if column in ("currency", "merchant_country"):
            length = 3 if column == "currency" else 2
            return all(len(v) == length and v.isalpha() for v in values)
        if column in ("event_time", "ingested_at"):
            return bool(formats_of(values[:20])) or all(v.strip().isdigit() for v in values[:200])
        if column in ("status", "transaction_type"):
            return len(set(values)) <= _MOST_VALUES
        return True

    # --- parts of the file --------------------------------------------------------------------------------------------

    def _files(self) -> None:
        self._out.add(4, "files:")
        for name, value in self._written.items():
            self._out.add(6, f"{name}: {_scalar(value)}")

    def _writers(self) -> dict[str, Callable[[str], None] | None]:
        special: dict[str, Callable[[str], None]] = {
            "transaction_id": self._id,
            "event_time": self._time,
            "amount": self._amount,
            "currency": self._currency,
            "merchant_id": self._required,
            "customer_id": self._customer,
            "transaction_type": self._type,
            "status": self._status,
            "ingested_at": self._time,
        }
        required = {"transaction_id", "event_time", "amount", "currency", "merchant_id", "customer_id", "transaction_type"}
        return {
            column: special.get(column, self._plain_column) if column in self._chosen or column in required else None
            for column in _NAMES
        }

    def _use(self, column: str) -> str:
        name = self._chosen[column]
        self._used[name] = None
        return name

    def _plain_column(self, column: str, comment: str = "") -> None:
        self._out.add(6, f"{column}: {_scalar(self._use(column))}", comment)

    def _required(self, column: str) -> None:
        if column in self._chosen:
            self._plain_column(column)
        else:
            self._out.add(6, f"{column}: {CHOOSE}", f"no field looks like it; the fields are {', '.join(self._fields)}")

    def _id(self, column: str) -> None:
        if column in self._chosen:
            is_named = _key(self._chosen[column]) in _NAMES[column]
            self._plain_column(column, "" if is_named else "different in every row: is it the transaction's?")
        else:
            self._out.add(6, f"{column}:", "no field is different in every row: the file's name and the row's number")
            self._out.add(8, "expression: _file || ':' || _row")

    def _customer(self, column: str) -> None:
        if column not in self._chosen:
            self._required(column)
            return
        is_card = _key(self._chosen[column]) in _CARDS
        self._plain_column(column, "card numbers: `{from: …, mask: hash}` keeps them out of the warehouse" if is_card else "")

    def _time(self, column: str) -> None:
        if column not in self._chosen:
            self._required(column)
            return
        name = self._use(column)
        values = [value.strip() for value in self._fields[name]]
        formats = formats_of(values[:1000])
        read = formats[0][1] if formats else 0
        if read < 0.5 * len(values[:1000]):
            self._out.add(6, f"{column}:")
            self._out.add(8, f"from: {_scalar(name)}")
            self._out.add(8, "format: counter")
            unit = "hours" if _key(name) == "step" else "seconds"
            self._out.add(8, f"unit: {unit}", f"what does {name} count? seconds, minutes, hours or days")
            self._out.add(8, f"since: {CHOOSE}", f"when was {name} 0? such as 2026-01-01T00:00:00")
            return
        best = formats[0][0]
        needed = [best] if best in ("iso",) or not best.startswith("%") else _patterns(values[:1000], formats)
        ambiguous = any(day_and_month_are_ambiguous(values, pattern) for pattern in needed)
        zone = "" if best.startswith("epoch") or any(re.search(r"(Z|[+-]\d\d:?\d\d)$", v) for v in values[:5]) else "UTC"
        if best == "iso" and not zone:
            self._out.add(6, f"{column}: {_scalar(name)}")
            return
        self._out.add(6, f"{column}:")
        self._out.add(8, f"from: {_scalar(name)}")
        if best != "iso":
            text = _scalar(needed[0]) if len(needed) == 1 else f"[{', '.join(map(_scalar, needed))}]"
            self._out.add(8, f"format: {text}", "day first? no value tells" if ambiguous else "")
        if zone:
            self._out.add(8, f"zone: {zone}", "the times name no zone; local times: Europe/Berlin, America/New_York …")

    def _amount(self, column: str) -> None:
        if column not in self._chosen:
            self._required(column)
            return
        name = self._use(column)
        values = [value.strip() for value in self._fields[name]]
        options: list[tuple[str, str]] = []
        # 1,234 can be read both ways and decides nothing
        comma = any(_GERMAN_NUMBER.fullmatch(v) and not _POINT_NUMBER.fullmatch(v) for v in values)
        if comma:
            options.append(("decimal: ','", ""))
            if any("." in v for v in values):
                options.append(("thousands: '.'", ""))
        elif any("," in v for v in values):
            options.append(("thousands: ','", ""))
        negative = sum(v.startswith("-") or v.endswith("-") for v in values)
        if negative:
            options.append(("sign: debits_negative", f"{negative / len(values):.0%} of the amounts are negative"))
        digits = [len(re.split("," if comma else r"\.", v)[1]) if ("," if comma else ".") in v else 0 for v in values]
        if max(digits, default=0) > 2:
            options.append(("round: true", "some have more than two digits after the point"))
        if max(digits, default=0) == 0 and len(values) >= 20:
            numbers = [int(re.sub(r"\D", "", v) or 0) for v in values]
            if statistics.mean(number % 100 != 0 for number in numbers) > 0.5:
                options.append(("minor_units: false", "all are whole numbers: true if they are in cents"))
        if not options:
            self._out.add(6, f"{column}: {_scalar(name)}")
            return
        self._out.add(6, f"{column}:")
        self._out.add(8, f"from: {_scalar(name)}")
        for option, comment in options:
            self._out.add(8, option, comment)

    def _currency(self, column: str) -> None:
        if column in self._chosen:
            name = self._use(column)
            if all(value.isupper() for value in self._fields[name]):
                self._out.add(6, f"{column}: {_scalar(name)}")
            else:
                self._out.add(6, f"{column}: {{expression: {_scalar(f'upper({_quoted(name)})')}}}")
        else:
            self._out.add(6, "# currency: {constant: EUR}", "which one? without it, thresholds for an unnamed currency hold")

    def _type(self, column: str) -> None:
        signed = "amount" in self._chosen and any(
            value.strip().startswith("-") or value.strip().endswith("-") for value in self._fields[self._chosen["amount"]]
        )
        if column in self._chosen:
            self._values(column, _TYPES, "purchase")
        elif signed:
            self._out.add(6, f"{column}:")
            self._out.add(8, "from: _direction", "by the sign of the amount")
            self._out.add(8, "values: {debit: purchase, credit: transfer_in}")

    def _status(self, column: str) -> None:
        self._values(column, _STATUSES, "approved")

    def _values(self, column: str, words: Sequence[tuple[str, str]], otherwise: str) -> None:
        name = self._use(column)
        given = [value for value, _ in Counter(self._fields[name]).most_common()]
        allowed = {made for _, made in words}
        if set(given) <= allowed:
            self._out.add(6, f"{column}: {_scalar(name)}")
            return
        self._out.add(6, f"{column}:")
        self._out.add(8, f"from: {_scalar(name)}")
        self._out.add(8, "values:", f"each is one of {', '.join(sorted(allowed))}")
        for value in given:
            made = next((made for pattern, made in words if re.search(pattern, value.lower())), None)
            self._out.add(10, f"{_scalar(value)}: {made or otherwise}", "" if made else "a guess")

    def _rest(self) -> None:
        label = [self._label] if self._label else []
        rest = [name for name in self._fields if name not in self._used and name not in label and name not in OWN]
        # the label is read by the table of fraud reports
        self._leave([*rest, *label])

    def _leave(self, names: Sequence[str]) -> None:
        """Name the fields that no column is made from."""
        personal = [name for name in names if _key(name) in _PERSONAL]
        unused = [name for name in names if name not in personal]
        if unused:
            self._out.add(
                4, f"unused: [{', '.join(map(_scalar, unused))}]", "no column is made from these; `extra` makes further columns"
            )
        if personal:
            self._out.add(4, f"personal: [{', '.join(map(_scalar, personal))}]", "not used; masked where a row is rejected")

    def _reports(self, label: str) -> None:
        """A table of fraud reports from the label."""
        add = self._out.add
        values = Counter(self._fields[label])
        positive = min(values, key=lambda value: values[value]) if len(values) > 1 else "1"
        add(2, "fraud_reports:", f"from the label {label}")
        self._files()
        add(4, f"where: {_scalar(f'{_quoted(label)} = {_literal(positive)}')}")
        add(4, "columns:")
        lines = self._block("transaction_id")
        add(6, lines[0].strip().replace("transaction_id:", "report_id:", 1))
        self._out.lines += lines[1:]
        self._out.lines += lines
        time = self._block("event_time")
        if len(time) == 1:
            name = self._chosen["event_time"]
            add(6, "reported_at:")
            add(8, f"from: {_scalar(name)}")
        else:
            add(6, time[0].strip().replace("event_time:", "reported_at:", 1))
            self._out.lines += time[1:]
        add(8, "plus: 7d", "how long after a fraud does the bank learn of it?")
        self._out.lines += self._block("customer_id") + self._block("merchant_id")
        read = self._read_by(("transaction_id", "event_time", "customer_id", "merchant_id"))
        self._leave([name for name in self._fields if name not in read and name != label])

    def _read_by(self, columns: Iterable[str]) -> set[str]:
        return {self._chosen[column] for column in columns if column in self._chosen}

    def _line(self, column: str) -> str:
        return next(line for line in self._out.lines if line.startswith(f"      {column}:"))

    def _block(self, column: str) -> list[str]:
        """The lines of a column of transactions."""
        start = self._out.lines.index(self._line(column))
        end = start + 1
        while end < len(self._out.lines) and self._out.lines[end].startswith("        "):
            end += 1
        return self._out.lines[start:end]


def _patterns(values: Sequence[str], formats: Sequence[tuple[str, int]]) -> list[str]:
    """The fewest patterns that read all the values, most common first."""
    left = list(values)
    chosen: list[str] = []
    while left:
        best = formats_of(left)[:1]
        if not best or not best[0][0].startswith("%"):
            break
        chosen.append(best[0][0])
        left = [value for value in left if not _reads(value, best[0][0])]
    return chosen or [formats[0][0]]


def _reads(value: str, pattern: str) -> bool:
    return any(name == pattern for name, _ in formats_of([value]))


def _scalar(text: str) -> str:
    """A text as a YAML scalar that reads as the same text."""
    if re.fullmatch(r"[A-Za-z_./][\w./ -]*", text) and ": " not in text and not text.endswith(" "):
        return text
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
