"""A topic as a source, on a real Kafka: what becomes of each message, offsets, retention, and errors that show no password."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.connectors import kafka
from fraud_assets.ingestion.own_data.connectors.base import Connector, Context, RawPage
from fraud_assets.ingestion.own_data.connectors.kafka import KafkaLayout
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.schemas.sources import TRANSACTIONS
from hive_io import EmbeddedWarehouse, Span
from tests.services.certificates import certificate
from tests.services.kafka import PASSWORD, USER, Kafka
from tests.services.processes import free_port
from tests.services.schema_registry import PASSWORD as REGISTRY_PASSWORD
from tests.services.schema_registry import USER as REGISTRY_USER
from tests.services.schema_registry import schema_registry, written

DAY = dt.date(2026, 1, 5)
NOON = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
ONE = Span.days(DAY, DAY)
COLUMNS = "{transaction_id: id, event_time: at, amount: amt, currency: cur, merchant_id: m, customer_id: _key}"
LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": USER, "sasl.password": "${PW}"}


def payment(n: int, at: dt.datetime = NOON, partition: int = 0, written: dt.datetime | None = None) -> dict[str, Any]:
    """A message of a payment, written to Kafka at the time of the payment or at another."""
    moment = at + dt.timedelta(seconds=n)
    value = f'{{"id": {n}, "at": "{moment:%Y-%m-%dT%H:%M:%SZ}", "amt": {n}.10, "cur": "EUR", "m": "m1"}}'
    millis = int((written or moment).timestamp() * 1000)
    return {"value": value, "key": f"c{n % 3}", "partition": partition, "timestamp": millis}


@pytest.fixture
def topic(broker: Kafka) -> str:
    name = f"payments-{uuid4()}"
    # times of 2026 are older than any default retention
    broker.create(name, partitions=2, retention_ms="-1")
    return name


def rows_of(pages: Iterator[RawPage]) -> list[dict[str, Any]]:
    return [row for page in pages for row in page.rows.to_pylist()]


def connected(brokers: str, topic: str, variables: Mapping[str, str] | None = None, **more: Any) -> Connector:
    return KafkaLayout(brokers, topic, **more).connector(Context(dict(variables or {}).get))


def source_of(folder: Path, broker: Kafka, topic: str, more: str = "", context: Context | None = None) -> MappedSource:
    origin = f"kafka: {{brokers: '{broker.brokers}', topic: {topic}{more}}}"
    (folder / "source.yaml").write_text(f"tables:\n  transactions:\n    {origin}\n    columns: {COLUMNS}\n")
    return MappedSource.of(folder / "source.yaml", context=context or Context())


@pytest.mark.kafka
def test_a_row_has_its_digits_its_key_and_its_offset(broker: Kafka, topic: str) -> None:
    broker.produce(topic, [payment(7, partition=1), {"value": '{"amt": 0.1000000000000000055}', "partition": 1}])
    first, second = rows_of(connected(broker.brokers, topic).pages())
    assert (first["id"], first["amt"], first["_key"], first["_timestamp"]) == ("7", "7.10", "c1", "1767614407000")
    assert (first["_file"], first["_row"], second["_row"]) == (f"{topic}/1", 0, 1)
    assert (second["amt"], second["_key"], second["id"]) == ("0.1000000000000000055", None, None)


@pytest.mark.kafka
def test_what_is_no_json_object_is_rejected_as_it_was_sent(broker: Kafka, topic: str, tmp_path: Path) -> None:
    broken = [b"not JSON", b"\xff\x00", b"[1, 2]", b'{"id": 1', None]
    good = [payment(n, partition=n % 2) for n in range(20)]
    broker.produce(topic, [*good, *({"value": value, "partition": 1} for value in broken)])
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with source_of(tmp_path, broker, topic) as source:
        load(TRANSACTIONS, source, lake, ONE, 0.5)
    assert lake.read("fintech.transactions").num_rows == 20
    rejected = lake.read("fintech.transactions_rejected").to_pylist()
    assert [row["claims"] for row in rejected] == [["row_is_readable"]] * 5
    lines = {json.loads(row["payload"])["_line"] for row in rejected}
    assert lines == {"not JSON", "\\xff\x00", "[1, 2]", '{"id": 1', "(a message without a value)"}


PAYMENT = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amt", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
        {"name": "cur", "type": "string"},
        {"name": "m", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
    ],
}
MERCHANT = UUID("00000000-0000-4000-8000-000000000001")


def avro_payment(n: int) -> dict[str, Any]:
    amount = Decimal("1234567.89") + n
    return {"id": f"p{n}", "at": NOON + dt.timedelta(milliseconds=n), "amt": amount, "cur": "EUR", "m": MERCHANT}


@pytest.mark.kafka
@pytest.mark.parametrize("by", ["schema", "registry"])
def test_messages_in_avro_are_loaded_to_the_last_digit(broker: Kafka, topic: str, tmp_path: Path, by: str) -> None:
    (tmp_path / "payment.avsc").write_text(json.dumps(PAYMENT))
    with schema_registry() as registry:
        registry.needs_password = True
        registry.add(7, PAYMENT)
        header = b"" if by == "schema" else b"\x00\x00\x00\x00\x07"
        values = [header + written(PAYMENT, avro_payment(n)) for n in range(20)]
        broken = [values[0][:-1], values[0] + b"\x00", b'{"id": 1}', None]
        broker.produce(topic, [{"value": value, "key": "c1", "partition": 1} for value in [*values, *broken]])
        login = f"{{url: '{registry.url}', basic: {{user: {REGISTRY_USER}, password: PW}}}}"
        more = ", format: avro, " + ("schema: payment.avsc" if by == "schema" else f"registry: {login}")
        lake = EmbeddedWarehouse(tmp_path / "lake")
        with source_of(tmp_path, broker, topic, more, Context({"PW": REGISTRY_PASSWORD}.get)) as source:
            for _ in range(2):
                load(TRANSACTIONS, source, lake, ONE, 0.5)
    rows = sorted(lake.read("fintech.transactions").to_pylist(), key=lambda row: row["event_time"])
    assert [(row["transaction_id"], row["event_time"], row["amount"], row["merchant_id"]) for row in rows] == [
        (f"p{n}", payment["at"].replace(tzinfo=None), payment["amt"], str(MERCHANT))
        for n in range(20)
        for payment in [avro_payment(n)]
    ]
    rejected = [json.loads(row["payload"]) for row in lake.read("fintech.transactions_rejected").to_pylist()]
    found = {row["_row"]: row["_line"] for row in rejected}
    assert len(rejected) == 4 and {*found} == {20, 21, 22, 23}
    assert all(value is None or line.endswith(f") {value.hex()}") for line, value in zip(found.values(), broken, strict=True))


@pytest.mark.kafka
def test_a_registry_that_fails_loads_nothing_and_rejects_nothing(broker: Kafka, topic: str, tmp_path: Path) -> None:
    broker.produce(topic, [{"value": b"\x00\x00\x00\x00\x07" + written(PAYMENT, avro_payment(0)), "partition": 0}])
    lake = EmbeddedWarehouse(tmp_path / "lake")
    more = f", format: avro, registry: 'http://127.0.0.1:{free_port()}'"
    with (
        source_of(tmp_path, broker, topic, more, Context(attempts=1)) as source,
        pytest.raises(SourceError, match=r"does not answer.*registry"),
    ):
        load(TRANSACTIONS, source, lake, ONE, 1.0)
    assert not lake.tables("fintech")


@pytest.mark.kafka
def test_arrivals_of_several_partitions_go_on_exactly_after_any_page(
    broker: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "PAGE_ROWS", 7)
    broker.produce(topic, [payment(n, partition=n % 2) for n in range(50)])
    found: list[str] = []
    cursor = None
    # a new process for each page
    while step := next(iter(connected(broker.brokers, topic).arrivals(cursor)), None):
        page, cursor = step
        found += page.rows.column("id").to_pylist()
        if len(found) == 21:
            broker.produce(topic, [payment(n, partition=n % 2) for n in range(50, 60)])
    assert len(found) == 60 and set(found) == {str(n) for n in range(60)}


@pytest.mark.kafka
def test_only_what_a_transaction_has_committed_is_read(broker: Kafka, topic: str) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker.brokers, "transactional.id": topic})
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(topic, end.__name__, partition=0)
        producer.flush()
        end()
    connector = connected(broker.brokers, topic)
    rows = rows_of(connector.pages())
    assert [(row["_line"], row["_row"]) for row in rows] == [("commit_transaction", 0), ("commit_transaction", 4)]
    *_, (_, cursor) = connector.arrivals(None)
    assert [*connector.arrivals(cursor)] == []


@pytest.mark.kafka
def test_a_run_reads_the_messages_around_its_days(broker: Kafka, topic: str, tmp_path: Path) -> None:
    days = [NOON + dt.timedelta(days=n) for n in range(-3, 4)]
    on_time = [payment(n, at) for n, at in enumerate(days)]
    # of the run's day, but written two days later: further away than is said
    late = payment(100, NOON, written=NOON + dt.timedelta(days=2))
    broker.produce(topic, sorted([*on_time, late], key=lambda message: message["timestamp"]))
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with source_of(tmp_path, broker, topic, ", spill_days: 1") as source:
        read = rows_of(source.connector("transactions").pages(ONE))
        assert [row["id"] for row in read] == ["2", "3", "4"]
        load(TRANSACTIONS, source, lake, ONE, 0.5)
        load(TRANSACTIONS, source, lake, Span.days(DAY + dt.timedelta(days=2), DAY + dt.timedelta(days=2)), 0.5)
    assert sorted(lake.read("fintech.transactions").column("transaction_id").to_pylist()) == ["3", "5"]
    (rejected,) = lake.read("fintech.transactions_rejected").to_pylist()
    assert (json.loads(rejected["payload"])["id"], rejected["ds"]) == ("100", "2026-01-07")


@pytest.mark.kafka
def test_a_day_that_kafka_no_longer_has_is_not_loaded_again(broker: Kafka, topic: str, tmp_path: Path) -> None:
    broker.produce(topic, [payment(n, NOON + dt.timedelta(days=n // 2)) for n in range(6)])
    lake = EmbeddedWarehouse(tmp_path / "lake")
    with source_of(tmp_path, broker, topic) as source:
        load(TRANSACTIONS, source, lake, ONE, 0.0)
        broker.forget(topic, 0, before=1)
        for day in (DAY, DAY + dt.timedelta(days=1)):
            span = Span.days(day, day)
            # at noon of the first day, a message is left
            if day == DAY:
                with pytest.raises(SourceError, match=r"2026-01-05 12:00.*2026-01-05.*unchanged"):
                    load(TRANSACTIONS, source, lake, span, 0.0)
            else:
                load(TRANSACTIONS, source, lake, span, 0.0)
        broker.forget(topic, 0, before=6)
        # no message is left, and it is not said how long messages are kept
        with pytest.raises(SourceError, match="no messages left"):
            source.fetch(TRANSACTIONS, ONE)
    assert lake.read("fintech.transactions").num_rows == 4


@pytest.mark.kafka
def test_messages_that_were_deleted_before_they_were_read_are_named(broker: Kafka, topic: str) -> None:
    broker.produce(topic, [payment(n) for n in range(6)])
    connector = connected(broker.brokers, topic)
    ((_, cursor),) = connector.arrivals(None)
    broker.produce(topic, [payment(n) for n in range(6, 12)])
    broker.forget(topic, 0, before=9)
    with pytest.raises(SourceError, match=r"deleted 3 messages of partition 0, from offset 6"):
        [*connector.arrivals(cursor)]


@pytest.mark.kafka
def test_another_topic_of_the_same_name_is_noticed(broker: Kafka, topic: str) -> None:
    broker.produce(topic, [payment(n) for n in range(3)])
    connector = connected(broker.brokers, topic)
    ((_, cursor),) = connector.arrivals(None)
    broker.delete(topic)
    with pytest.raises(SourceError, match="no such topic"):
        [*connector.arrivals(cursor)]
    broker.create(topic)
    broker.produce(topic, [payment(n) for n in range(5)])
    with pytest.raises(SourceError, match="created again"):
        [*connected(broker.brokers, topic).arrivals(cursor)]


@pytest.mark.kafka
def test_a_watch_begins_with_today(broker: Kafka, topic: str) -> None:
    broker.produce(topic, [payment(n, NOON + dt.timedelta(days=n - 2)) for n in range(4)])
    ((page, _),) = connected(broker.brokers, topic).arrivals(None, dt.datetime(2026, 1, 5, tzinfo=dt.UTC))
    assert page.rows.column("id").to_pylist() == ["2", "3"]


@pytest.mark.kafka
def test_a_sample_has_the_latest_messages_of_each_partition(broker: Kafka, topic: str) -> None:
    broker.produce(topic, [payment(n, partition=n % 2) for n in range(12)])
    found = [*connected(broker.brokers, topic).sample(4, DAY)]
    assert [(page.rows.column("id").to_pylist(), complete) for page, complete in found] == [
        (["8", "10"], False), (["9", "11"], False),
    ]  # fmt: skip


@pytest.mark.kafka
def test_a_password_lets_in_and_a_wrong_one_is_a_clear_error(
    broker: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "WAIT_SECONDS", 3.0)
    broker.produce(topic, [payment(1)])
    assert len(rows_of(connected(broker.with_password, topic, {"PW": PASSWORD}, options=LOGIN).pages())) == 1
    with pytest.raises(SourceError, match="refuse the user") as error:
        [*connected(broker.with_password, topic, {"PW": "wr0ng-Secret"}, options=LOGIN).pages()]
    assert "wr0ng" not in str(error.value)
    with pytest.raises(SourceError, match="PW"):
        [*connected(broker.with_password, topic, options=LOGIN).pages()]


@pytest.mark.kafka
def test_a_topic_over_tls(broker: Kafka, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "WAIT_SECONDS", 3.0)
    broker.produce(topic, [payment(n) for n in range(3)])
    (tmp_path / "ca.pem").write_bytes(broker.ca.read_bytes())
    certificate(tmp_path / "other.pem")

    def read(authority: str, password: str) -> list[str]:
        options = {**LOGIN, "security.protocol": "SASL_SSL", "ssl.ca.location": authority}
        origin = {"brokers": broker.over_tls, "topic": topic, "options": options}
        # JSON is YAML
        text = f"tables: {{transactions: {{kafka: {json.dumps(origin)}, columns: {COLUMNS}}}}}"
        (tmp_path / "source.yaml").write_text(text)
        with MappedSource.of(tmp_path / "source.yaml", context=Context({"PW": password}.get)) as source:
            return [row["id"] for row in rows_of(source.connector("transactions").pages(ONE))]

    assert read("ca.pem", PASSWORD) == ["0", "1", "2"]
    for authority, password, reason in (
        ("other.pem", PASSWORD, r"over TLS.*certificate verify failed.*ssl\.ca\.location"),
        ("missing.pem", PASSWORD, r"ssl\.ca\.location.*options"),
        ("ca.pem", "wr0ng-Secret", "refuse the user"),
    ):
        with pytest.raises(SourceError, match=reason) as error:
            read(authority, password)
        assert password not in str(error.value)


@pytest.mark.kafka
def test_a_broker_that_stops_and_comes_back(broker: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "WAIT_SECONDS", 3.0)
    broker.produce(topic, [payment(n) for n in range(3)])
    connector = connected(broker.brokers, topic)
    ((_, cursor),) = connector.arrivals(None)
    broker.stop()
    with pytest.raises(SourceError, match=r"cannot be read.*running"):
        [*connector.arrivals(cursor)]
    broker.start()
    monkeypatch.undo()
    broker.produce(topic, [payment(3)])
    ((page, _),) = connector.arrivals(cursor)
    assert page.rows.column("id").to_pylist() == ["3"]


def test_brokers_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "WAIT_SECONDS", 1.0)
    brokers = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceError, match=rf"{brokers} payments cannot be read.*brokers"):
        [*connected(brokers, "payments").pages()]


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", None)
    with pytest.raises(SourceError, match=r"fraud-assets\[kafka\]"):
        [*connected("127.0.0.1:9092", "payments").pages()]


def test_options_that_librdkafka_does_not_know_are_named() -> None:
    with pytest.raises(SourceError, match=r"security\.protokol.*options"):
        [*connected("127.0.0.1:9092", "payments", options={"security.protokol": "SSL"}).pages()]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("brokers: 'me:s3cret@b:9092', topic: t", "host:port"),
        ("brokers: 'b:9092', topic: t, options: {sasl.password: s3cret}", "sasl.password"),
        ("brokers: 'b:9092', topic: t, options: {sasl.password: '${FRAUD_MASK_KEY}'}", "FRAUD_"),
        ("brokers: 'b:9092', topic: t, options: {group.id: g}", "group.id"),
        ("brokers: 'b:9092', topic: t, format: protobuf", "avro"),
        ("brokers: 'b:9092', topic: t, format: avro", "schema"),
        ("brokers: 'b:9092', topic: t, format: avro, schema: a.avsc, registry: 'http://r'", "schema and registry"),
        ("brokers: 'b:9092', topic: t, registry: 'http://r'", "format: avro"),
        ("brokers: 'b:9092', topic: t, format: avro, registry: 'http://me:s3cret@r'", "basic"),
        ("brokers: 'b:9092', topic: t, format: avro, registry: {url: 'http://r', token: 's3cret token'}", "token"),
        ("brokers: 'b:9092', topic: t, format: avro, registry: {url: 'http://r', tokn: T}", "token"),
        ("brokers: 'b:9092'", "topic"),
    ],
)
def test_mistakes_of_the_source_file_show_no_password(tmp_path: Path, spec: str, part: str) -> None:
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    kafka: {{{spec}}}\n    columns: {COLUMNS}\n")
    with pytest.raises(SourceFileError) as error:
        read_source_file(tmp_path / "source.yaml")
    assert part in str(error.value) and "s3cret" not in str(error.value)
