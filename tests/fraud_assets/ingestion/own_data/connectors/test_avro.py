"""Messages in Avro: every type as text, bytes that are no value, schemas of a registry, and errors that show no password."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.avro import AvroDecoder, AvroFormat, NotDecoded
from fraud_assets.ingestion.own_data.connectors.base import Context
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, FilesConnector
from tests.services.processes import free_port
from tests.services.schema_registry import PASSWORD, USER, SchemaRegistry, avro_of, framed, schema_registry, written

NOON = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
ID = UUID("00000000-0000-4000-8000-000000000001")
Made = Callable[..., AvroDecoder]
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4}


def record(name: str = "Payment", /, **types: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in types.items()]}


PLAIN = record(id="long", amount=MONEY)


def by_file(folder: Path, schema: Any) -> AvroDecoder:
    (folder / "payment.avsc").write_text(json.dumps(schema), encoding="utf-8")
    return AvroFormat(folder / "payment.avsc").decoder(Context())


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with schema_registry() as server:
        yield server


@pytest.fixture
def by_registry() -> Iterator[Made]:
    """Makes decoders, which are closed at the end."""
    made: list[AvroDecoder] = []

    def decoder(url: str, **more: Any) -> AvroDecoder:
        made.append(AvroFormat(None, url, **more).decoder(Context({"PW": PASSWORD, "WRONG": "wr0ng"}.get, attempts=1)))
        return made[-1]

    yield decoder
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("string", "Ärzte", "Ärzte"),
        ("long", 2**63 - 1, "9223372036854775807"),
        ("boolean", True, True),
        (["null", "double"], None, None),
        (["null", "double"], 0.1, "0.1"),
        ("double", 1e22, "10000000000000000000000"),
        # not the digits of the double that is next to it
        ("float", 0.1, "0.1"),
        (["null", "float"], 1234567.9, "1234567.9"),
        ("float", math.nan, None),
        (MONEY, Decimal("-1234567890123456789012345678901234.5678"), "-1234567890123456789012345678901234.5678"),
        (MONEY, Decimal("7.1"), "7.1000"),
        (
            {"type": "fixed", "name": "f", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 2},
            Decimal("0.10"),
            "0.10",
        ),
        ({"type": "long", "logicalType": "timestamp-millis"}, NOON, "2026-01-05T12:00:00+00:00"),
        ({"type": "long", "logicalType": "timestamp-micros"}, NOON.replace(microsecond=1), "2026-01-05T12:00:00.000001+00:00"),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, dt.datetime(2026, 1, 5, 12), "2026-01-05T12:00:00"),
        ({"type": "int", "logicalType": "date"}, dt.date(2026, 1, 5), "2026-01-05"),
        ({"type": "string", "logicalType": "uuid"}, ID, str(ID)),
        ({"type": "enum", "name": "e", "symbols": ["OK", "NOK"]}, "NOK", "NOK"),
        ("bytes", b"\x00\xff", "00ff"),
        (record("Merchant", id="int", share="float"), {"id": 7, "share": 0.1}, {"id": "7", "share": "0.1"}),
        ({"type": "array", "items": MONEY}, [Decimal("1.5")], ["1.5000"]),
        ({"type": "map", "values": ["null", "float"]}, {"a": 0.1, "b": None}, {"a": "0.1", "b": None}),
    ],
)
def test_each_type_is_a_text_with_all_its_digits(tmp_path: Path, kind: Any, value: Any, text: Any) -> None:
    schema = record(field=kind)
    assert by_file(tmp_path, schema).record(written(schema, {"field": value})) == {"field": text}


def test_a_decimal_with_more_digits_than_its_schema_says_is_not_rounded(tmp_path: Path) -> None:
    amount = Decimal("123456.7891")
    narrow = record(amount={**MONEY, "precision": 5, "scale": 4})
    wide = written(record(amount=MONEY), {"amount": amount})
    assert by_file(tmp_path, narrow).record(wide) == {"amount": str(amount)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value[:-1], "no value of its schema"),
        (lambda value: value + b"\x00\x00", "2 bytes follow"),
        (lambda value: b"", "ends early"),
        (lambda value: b"\x02\x13\x01", "no value of its schema"),
        # a time in the year 300,000
        (lambda value: b"\x02\x00" + b"\xfe\xff\xff\xff\xff\xff\xff\x0f", "no value of its schema"),
    ],
)
def test_bytes_that_are_no_value_are_named_each_time_in_the_same_words(tmp_path: Path, change: Any, reason: str) -> None:
    schema = record(id="long", name="string", at={"type": "long", "logicalType": "timestamp-millis"})
    value = change(written(schema, {"id": 1, "name": "", "at": NOON}))
    found = set()
    for _ in range(2):
        with pytest.raises(NotDecoded, match=reason) as error:
            by_file(tmp_path, schema).record(value)
        found.add(str(error.value))
    assert len(found) == 1


def test_a_message_of_a_registry_that_is_read_by_a_file_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(NotDecoded, match="registry"):
        by_file(tmp_path, PLAIN).record(framed(258, PLAIN, {"id": 1, "amount": Decimal(1)}))


@pytest.mark.parametrize(
    "text",
    ["{", '"string"', '{"type": "record"}', '{"type": "record", "name": "p", "fields": [{"name": "a", "type": "x"}]}', "7"],
)
def test_a_file_that_is_no_schema_of_a_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "payment.avsc").write_text(text)
    with pytest.raises(SourceError, match=r"payment\.avsc"):
        AvroFormat(tmp_path / "payment.avsc").decoder(Context()).record(b"\x00")
    with pytest.raises(SourceError, match=r"other\.avsc"):
        AvroFormat(tmp_path / "other.avsc").decoder(Context()).record(b"\x00")


def test_each_message_is_read_by_the_schema_that_it_names(registry: SchemaRegistry, by_registry: Made) -> None:
    later = record(id="string", amount=MONEY, note="string")
    registry.add(1, PLAIN)
    registry.add(70_000, later)
    decoder = by_registry(registry.url)
    old, new = {"id": 1, "amount": Decimal(2)}, {"id": "a", "amount": Decimal(2), "note": "n"}
    for _ in range(2):
        assert decoder.record(framed(1, PLAIN, old)) == {"id": "1", "amount": "2.0000"}
        assert decoder.record(framed(70_000, later, new)) == {"id": "a", "amount": "2.0000", "note": "n"}
    assert registry.requests == ["/schemas/ids/1", "/schemas/ids/70000"]


def test_schemas_that_a_schema_refers_to_are_read_too(registry: SchemaRegistry, by_registry: Made) -> None:
    amount, party = record("bank.Amount", value=MONEY), record("bank.Party", name="string", limit="bank.Amount")
    registry.add_version("bank/amount", 3, amount)
    registry.add_version("party", 1, party, ("bank.Amount", "bank/amount", 3))
    payment = record("bank.Payment", amount="bank.Amount", payer="bank.Party", payee="bank.Party")
    registry.add(5, payment, ("bank.Amount", "bank/amount", 3), ("bank.Party", "party", 1))
    inline = record(
        "bank.Payment", amount=amount, payer=record("bank.Party", name="string", limit="bank.Amount"), payee="bank.Party"
    )
    value = {
        "amount": {"value": Decimal(1)},
        **{who: {"name": who, "limit": {"value": Decimal(2)}} for who in ("payer", "payee")},
    }
    found = by_registry(registry.url).record(framed(5, inline, value))
    assert (found["amount"], found["payee"]) == ({"value": "1.0000"}, {"name": "payee", "limit": {"value": "2.0000"}})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"id": 1}', "wire format"),
        (b"\x00\x00\x00", "wire format"),
        (b"\x00\x00\x00\x00\x09\x02", "no schema 9"),
        (b"\x00\x00\x00\x00\x01\x02", "ends early"),
        (b"\x00\x00\x00\x00\x02\x02", "PROTOBUF"),
        (b"\x00\x00\x00\x00\x03\x02a", "no record"),
    ],
)
def test_a_message_that_the_registry_cannot_explain_is_named(
    registry: SchemaRegistry, by_registry: Made, value: bytes, reason: str
) -> None:
    registry.add(1, PLAIN)
    registry.add(2, "syntax", schemaType="PROTOBUF")
    registry.add(3, "string")
    with pytest.raises(NotDecoded, match=reason):
        by_registry(registry.url).record(value)


def test_a_password_of_the_registry_is_sent_and_shown_nowhere(registry: SchemaRegistry, by_registry: Made) -> None:
    registry.needs_password = True
    registry.add(1, PLAIN)
    value = framed(1, PLAIN, {"id": 1, "amount": Decimal(2)})
    assert by_registry(registry.url, user=USER, password="PW").record(value)["id"] == "1"
    for more, part in (({"user": USER, "password": "WRONG"}, "WRONG"), ({}, "basic"), ({"token": "PW"}, "PW")):
        with pytest.raises(SourceError, match=f"401.*{part}") as error:
            by_registry(registry.url, **more).record(value)
        assert "wr0ng" not in str(error.value) and PASSWORD not in str(error.value)


def test_a_registry_that_does_not_answer_and_a_wrong_address_reject_no_message(
    registry: SchemaRegistry, by_registry: Made
) -> None:
    value = framed(9, PLAIN, {"id": 1, "amount": Decimal(2)})
    # /apis/schemas/… is no path of the registry
    for url in (f"http://127.0.0.1:{free_port()}", f"{registry.url}/apis"):
        with pytest.raises(SourceError, match="registry"):
            by_registry(url).record(value)


def in_file(file: Path) -> list[dict[str, Any]]:
    pages = FilesConnector(FileLayout(file)).pages()
    return [{key: value for key, value in row.items() if key[0] != "_"} for page in pages for row in page.rows.to_pylist()]


def test_a_file_is_read_as_messages_are(tmp_path: Path) -> None:
    at, shop = {"type": "long", "logicalType": "timestamp-micros"}, record("Shop", id="int")
    schema = record(id="long", amount=MONEY, fee="float", at=at, shop=shop)
    rows = [{"id": n, "amount": Decimal(n) / 10, "fee": 0.1, "at": NOON, "shop": {"id": n}} for n in range(3)]
    (tmp_path / "rows.avro").write_bytes(avro_of(schema, rows, "bzip2"))
    assert in_file(tmp_path / "rows.avro")[1:] == [
        {"id": f"{n}", "amount": f"0.{n}000", "fee": "0.1", "at": "2026-01-05T12:00:00+00:00", "shop": f'{{"id": "{n}"}}'}
        for n in (1, 2)
    ]


def with_a_huge_block(content: bytes) -> bytes:
    # what the last 16 bytes are ends the header, too; the number of records and the length of the block follow
    start = content.index(content[-16:]) + 16
    return content[:start] + b"\x02" + b"\xfe" + b"\xff" * 8 + b"\x01" + content[start:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-3], "sync"),
        (lambda content: content[: len(content) // 2], "cannot be read as avro"),
        (with_a_huge_block, "cannot be read as avro"),
        (lambda content: b"", "begins with Obj"),
        (lambda content: b"id,amount\n1,2\n", "begins with Obj"),
        (lambda content: avro_of("string", ["a"]), "records"),
    ],
)
def test_a_file_that_is_damaged_ends_the_load_with_its_name(tmp_path: Path, change: Any, reason: str) -> None:
    rows = [{"id": n, "amount": Decimal(n)} for n in range(50)]
    (tmp_path / "rows.avro").write_bytes(change(avro_of(PLAIN, rows)))
    with pytest.raises(SourceError, match=rf"rows\.avro: .*{reason}"):
        in_file(tmp_path / "rows.avro")


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastavro", None)
    with pytest.raises(SourceError, match=r"fraud-assets\[avro\]"):
        by_file(tmp_path, PLAIN).record(b"\x00")
