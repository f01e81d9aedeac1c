"""A topic of Apache Kafka as a source, through confluent-kafka: a row for each message, whose value is a JSON object or an
Avro record.

Offsets are the cursor: no consumer group is joined and nothing is committed to Kafka, so the checkpoint alone decides what is
read again after a kill. A run reads the partitions one after the other, up to the end that they had when it began.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from fraud_assets.clock import SYSTEM_CLOCK
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.avro import AvroDecoder, AvroFormat, NotDecoded
from fraud_assets.ingestion.own_data.connectors.base import (
    KEY,
    TIMESTAMP,
    VARIABLE,
    Connector,
    Context,
    RawPage,
    decoded,
    page_of_records,
)
from hive_io import Span
from hive_io.table import DAY

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient, OffsetSpec

PAGE_ROWS = 20_000
"""Most messages of a page."""
WAIT_SECONDS = 15.0
"""Seconds without an answer or a message after which the brokers count as unreachable."""
_POLL_SECONDS = 0.2
_SKEW = dt.timedelta(hours=1)
"""How far the clock of a producer may be behind the times of its rows when `fraud watch` begins."""
_OWN = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    # an offset that is gone is an error, and no reason to go on elsewhere
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}
OWN_PROPERTIES = {*_OWN, "bootstrap.servers", "group.id", "error_cb", "log_level"}
"""Properties that a source file must not give."""
_GROUP = "fraud-assets"
_REFUSED = {
    "_AUTHENTICATION",
    "TOPIC_AUTHORIZATION_FAILED",
    "SASL_AUTHENTICATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
}


@dataclass(frozen=True)
class KafkaLayout:
    """Where the messages of a table are.

    Attributes:
        brokers: addresses, separated by commas.
        options: further properties of librdkafka; `${NAME}` is an environment variable.
        spill_days: largest number of days between a message's timestamp in Kafka and the time of its row. A run then reads the
            messages around its days only. None to read all messages in each run.
        valid_from: for snapshots: first day for which the rows hold.
        avro: where the schemas of messages in Avro are; None for messages in JSON.
    """

    brokers: str
    topic: str
    options: Mapping[str, str] = field(default_factory=dict)
    spill_days: int | None = None
    valid_from: dt.date | None = None
    avro: AvroFormat | None = None

    is_local = False
    by_day = False
    missing_for_watch = ""

    @property
    def spill(self) -> int:
        """Largest number of days between a message's timestamp and the time of its row."""
        return self.spill_days or 0

    @property
    def version(self) -> str:
        """Messages that arrive later do not change those that were read; another schema would."""
        return f"{self.place} {self.avro.version}" if self.avro else self.place

    @property
    def place(self) -> str:
        """What is read, for messages."""
        return f"{self.brokers} {self.topic}"

    def connector(self, context: Context) -> Connector:
        """A connector that reads the messages."""
        return KafkaConnector(self, context)


@dataclass(frozen=True)
class _Partition:
    """A partition: its first offset, and the one after its last."""

    number: int
    first: int
    end: int


class Received(NamedTuple):
    """A message.

    Attributes:
        time: its timestamp in Kafka, in milliseconds since 1970.
    """

    partition: int
    offset: int
    time: int
    key: bytes | None
    value: bytes | None


class KafkaConnector:
    """Reads the messages of one topic.

    Args:
        context: the environment variables that the options name, which are read with the first use.
    """

    looks_back = True

    def __init__(self, layout: KafkaLayout, context: Context) -> None:
        self.layout = layout
        self._context = context
        self._avro = layout.avro.decoder(context) if layout.avro else None
        self._problem = ""
        """What librdkafka last said about the connection."""
        self._is_aborted = False

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        partitions = self._partitions()
        if span is not None:
            self._check_kept(partitions, span)
            if self.layout.spill_days is not None:
                partitions = self._around(partitions, span)
        for partition in partitions:
            for messages, _ in self._messages([partition]):
                yield from self._pages_of(messages)

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        partitions = self._partitions()
        topic = self._topic_id
        read = self._start(partitions, cursor, since)
        left = [_Partition(each.number, read.setdefault(each.number, each.first), each.end) for each in partitions]
        for messages, offsets in self._messages(left):
            read.update(offsets)
            yield self._page(messages, None), json.dumps({"topic": topic, "next": read}, sort_keys=True)

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        if self.layout.valid_from is None or day >= self.layout.valid_from:
            yield from self.pages()

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        partitions = self._partitions()
        each = max(1, rows // max(1, len(partitions)))
        for partition in partitions:
            # the latest messages: they are what the source writes at present
            start = max(partition.first, partition.end - each)
            for messages, _ in self._messages([_Partition(partition.number, start, partition.end)]):
                for page in self._pages_of(messages):
                    yield page, start == partition.first

    def places(self) -> list[str]:
        return [self.layout.place]

    def abort(self) -> None:
        self._is_aborted = True
        if self._avro:
            self._avro.abort()

    def close(self) -> None:
        if self._avro:
            self._avro.close()
        if "_consumer" in vars(self):
            self._consumer.close()

    # --- connections --------------------------------------------------------------------------------------------------

    @property
    def _properties(self) -> dict[str, Any]:
        secret = self._context.secret
        given = {name: VARIABLE.sub(lambda match: secret(match[1]), value) for name, value in self.layout.options.items()}
        return {
            "log_level": 0,
            **given,
            "bootstrap.servers": self.layout.brokers,
            "error_cb": self._note,
        }

    @cached_property
    def _consumer(self) -> Consumer:
        kafka = self._library()
        with self._errors():
            return kafka.Consumer({"group.id": _GROUP, **self._properties, **_OWN})

    @cached_property
    def _admin(self) -> AdminClient:
        self._library()
        from confluent_kafka.admin import AdminClient

        with self._errors():
            return AdminClient(self._properties)

    def _library(self) -> Any:
        try:
            import confluent_kafka
        except ModuleNotFoundError:
            raise SourceError(
                f"{self.layout.place} needs confluent-kafka, which is not installed: pip install 'fraud-assets[kafka]'"
            ) from None
        return confluent_kafka

    def _note(self, error: Any) -> None:
        """Keep what librdkafka says about the connection; `_ALL_BROKERS_DOWN` has no reason of its own."""
        if error.name() != "_ALL_BROKERS_DOWN":
            self._problem = f"{error.name()}: {error.str()}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        kafka = self._library()
        try:
            yield
        except kafka.KafkaException as error:
            if "_admin" in vars(self):
                # what it has to say is said when it is asked
                self._admin.poll(0)
            raise self._explained(error.args[0]) from None

    def _explained(self, error: Any) -> SourceError:
        place, name = self.layout.place, error.name()
        reason = self._problem or f"{name}: {error.str()}"
        if "_SSL" in (name, self._problem.partition(":")[0]):
            return SourceError(
                f"{place}: no connection over TLS ({_short(reason)}). Check in `options` that `ssl.ca.location` is the file of "
                "the authority that signed the brokers' certificates, and that `brokers` has the names that these are for"
            )
        if name in _REFUSED or any(each in reason for each in _REFUSED):
            return SourceError(
                f"{place}: the brokers refuse the user ({_short(reason)}). Check `options` in the source file, what its "
                "environment variables hold, and that the user may read the topic"
            )
        if name in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"):
            return SourceError(f"{place}: there is no such topic. Check `topic` in the source file, or create the topic again")
        if name in ("_INVALID_ARG", "_CONFLICT"):
            return SourceError(f"{place}: {_short(error.str())}. Check `options` in the source file")
        return SourceError(
            f"{place} cannot be read: {_short(reason)}. Check `brokers` and `options` in the source file, and that the "
            "brokers are running"
        )

    # --- offsets ------------------------------------------------------------------------------------------------------

    @property
    def _topic_id(self) -> str:
        """The identity of the topic: another one of the same name has another."""
        return str(self._described().topic_id)

    def _described(self) -> Any:
        kafka = self._library()
        with self._errors():
            asked = self._admin.describe_topics(kafka.TopicCollection([self.layout.topic]), request_timeout=WAIT_SECONDS)
            return asked[self.layout.topic].result()

    def _partitions(self) -> list[_Partition]:
        """Every partition, with the offsets that it has at this moment."""
        from confluent_kafka.admin import OffsetSpec

        numbers = sorted(each.id for each in self._described().partitions)
        first = self._offsets(dict.fromkeys(numbers, OffsetSpec.earliest()))
        end = self._offsets(dict.fromkeys(numbers, OffsetSpec.latest()))
        return [_Partition(number, first[number], end[number]) for number in numbers]

    def _offsets(self, asked: Mapping[int, OffsetSpec]) -> dict[int, int]:
        kafka = self._library()
        specs = {kafka.TopicPartition(self.layout.topic, number): spec for number, spec in asked.items()}
        with self._errors():
            found = self._admin.list_offsets(
                specs, isolation_level=kafka.IsolationLevel.READ_COMMITTED, request_timeout=WAIT_SECONDS
            )
            return {each.partition: future.result().offset for each, future in found.items()}

    def _offsets_at(self, partitions: Sequence[_Partition], moment: dt.datetime) -> dict[int, int]:
        """For each partition, the offset of the first message at or after a moment; its end if there is none."""
        from confluent_kafka.admin import OffsetSpec

        millis = max(0, int(moment.timestamp() * 1000))
        found = self._offsets({each.number: OffsetSpec.for_timestamp(millis) for each in partitions})
        return {each.number: each.end if found[each.number] < 0 else found[each.number] for each in partitions}

    def _around(self, partitions: Sequence[_Partition], span: Span) -> list[_Partition]:
        """The offsets whose messages may belong to a span."""
        spill = self.layout.spill * DAY
        start = self._offsets_at(partitions, span.whole_days().start - spill)
        end = self._offsets_at(partitions, span.whole_days().end + spill)
        return [_Partition(each.number, start[each.number], end[each.number]) for each in partitions]

    def _check_kept(self, partitions: Sequence[_Partition], span: Span) -> None:
        """Check that retention has deleted no message that belongs to a span: a run would replace its rows by fewer.

        Raises:
            SourceError: names the first day that is complete.
        """
        start = span.start - self.layout.spill * DAY
        for each in partitions:
            if each.first == 0:
                continue
            oldest = self._time_of(each) if each.first < each.end else self._kept_since
            if oldest is None or oldest > start:
                since = f"messages since {oldest:%Y-%m-%d %H:%M} UTC only" if oldest else "no messages left"
                raise SourceError(
                    f"{self.layout.place}: partition {each.number} has {since}; Kafka has deleted earlier ones, by the "
                    f"retention of the topic, and {span.first_day} cannot be loaded from it completely. The table is "
                    "unchanged. Run later days, or load these from files"
                )

    def _time_of(self, partition: _Partition) -> dt.datetime | None:
        """Timestamp of the first message that a partition has; None if it has none."""
        for messages, _ in self._messages([partition], page_rows=1):
            return dt.datetime.fromtimestamp(messages[0].timestamp()[1] / 1000, dt.UTC)
        return self._kept_since

    @property
    def _kept_since(self) -> dt.datetime | None:
        """The time before which the topic's retention deletes messages; None if it deletes by size, too, or does not say it."""
        kafka = self._library()
        from confluent_kafka.admin import ConfigResource, ResourceType

        asked = ConfigResource(ResourceType.TOPIC, self.layout.topic)
        try:
            config = self._admin.describe_configs([asked], request_timeout=WAIT_SECONDS)[asked].result()
        except kafka.KafkaException:
            # it takes a right of its own, which a reader need not have
            return None
        millis = int(config["retention.ms"].value)
        if config["retention.bytes"].value != "-1" or millis < 0:
            return None
        return SYSTEM_CLOCK.now() - dt.timedelta(milliseconds=millis)

    def _start(self, partitions: Sequence[_Partition], cursor: str | None, since: dt.datetime | None) -> dict[int, int]:
        """The offset of each partition from which `arrivals` reads."""
        if cursor is not None:
            return self._read_before(cursor, partitions)
        return self._offsets_at(partitions, since - _SKEW) if since else {each.number: each.first for each in partitions}

    def _read_before(self, cursor: str, partitions: Sequence[_Partition]) -> dict[int, int]:
        """The next offset of each partition by a cursor.

        Raises:
            SourceError: it is of another topic, or Kafka has deleted messages that were not read.
        """
        known = json.loads(cursor)
        read = {int(number): int(offset) for number, offset in known["next"].items()}
        again = "start again without a checkpoint"
        if known["topic"] != self._topic_id:
            raise SourceError(
                f"{self.layout.place}: the topic was deleted and created again since the last poll. To read the new one from "
                f"today on, {again}"
            )
        for each in partitions:
            after = read.get(each.number, each.first)
            if after < each.first:
                raise SourceError(
                    f"{self.layout.place}: Kafka has deleted {each.first - after:,} messages of partition {each.number}, from "
                    f"offset {after:,} on, before they were read. Make the topic's retention longer; to go on with what is "
                    f"left, {again}, and load the missing ones from files"
                )
        return read

    # --- messages -----------------------------------------------------------------------------------------------------

    def _messages(
        self, partitions: Sequence[_Partition], page_rows: int | None = None
    ) -> Iterator[tuple[list[Message], dict[int, int]]]:
        """Messages between the offsets of the partitions, some at a time, each time with the next offset of each partition."""
        page_rows = page_rows or PAGE_ROWS
        kafka = self._library()
        left = {each.number: each for each in partitions if each.first < each.end}
        if not left:
            return
        consumer = self._consumer
        with self._errors():
            consumer.assign([kafka.TopicPartition(self.layout.topic, each.number, each.first) for each in left.values()])
        read = {number: each.first for number, each in left.items()}
        found: list[Message] = []
        waited = 0.0
        try:
            while left:
                if self._is_aborted:
                    raise SourceError(f"{self.layout.place}: reading was given up")
                room = page_rows - len(found)
                most = sum(each.end - read[number] for number, each in left.items())
                with self._errors():
                    polled = consumer.consume(min(room, most), _POLL_SECONDS)
                waited = 0.0 if polled else waited + _POLL_SECONDS
                if waited >= WAIT_SECONDS:
                    raise SourceError(
                        f"{self.layout.place}: no message for {waited:.0f} s, although there are more"
                        f"{_because(self._problem)}. Check that the brokers are running"
                    )
                for message in polled:
                    number = int(message.partition() or 0)
                    if message.error():
                        if message.error().code() != kafka.KafkaError._PARTITION_EOF:
                            raise self._explained(message.error())
                        # what follows the last message is a mark of a transaction
                        left.pop(number, None)
                    elif number in left:
                        # after the last one there may be more, which arrived since
                        if message.offset() < left[number].end:
                            found.append(message)
                            read[number] = message.offset() + 1
                        if message.offset() + 1 >= left[number].end:
                            del left[number]
                            with self._errors():
                                consumer.incremental_unassign([kafka.TopicPartition(self.layout.topic, number)])
                if len(found) >= page_rows or (not left and found):
                    self._problem = ""
                    yield found, dict(read)
                    found = []
        finally:
            with self._errors():
                consumer.unassign()

    def _pages_of(self, messages: list[Message]) -> Iterator[RawPage]:
        """A page, or one for each day of the messages' timestamps if the layout relies on them."""
        if self.layout.spill_days is None:
            yield self._page(messages, None)
            return
        for day, part in groupby(messages, lambda message: _day(message)):
            yield self._page(list(part), day)

    def _page(self, messages: Sequence[Message], day: dt.date | None) -> RawPage:
        return self._page_of([_received(message) for message in messages], day)

    def _page_of(self, messages: Sequence[Received], day: dt.date | None = None) -> RawPage:
        records, lines = [], []
        for message in messages:
            record, line = _record(message, self._avro)
            records.append(record)
            lines.append(line)
        places = pa.array([f"{self.layout.topic}/{message.partition}" for message in messages], pa.string())
        return page_of_records(records, places, [message.offset for message in messages], lines, day=day)


def _received(message: Message) -> Received:
    key, value = message.key(), message.value()
    return Received(
        int(message.partition() or 0),
        int(message.offset() or 0),
        message.timestamp()[1],
        None if key is None else bytes(key),
        None if value is None else bytes(value),
    )


def _record(message: Received, avro: AvroDecoder | None) -> tuple[Any, str | None]:
    """A message as an object with its key and timestamp. None, and its text or why and its bytes, if it is none."""
    if message.value is None:
        return None, "(a message without a value)"
    record: Any
    if avro is not None:
        try:
            record = avro.record(message.value)
        except NotDecoded as error:
            return None, f"({error}) {message.value.hex()}"
    else:
        try:
            text = message.value.decode("utf-8")
        except UnicodeDecodeError:
            return None, message.value.decode("utf-8", "backslashreplace")
        record = decoded(text)
        if not isinstance(record, dict):
            return None, text
    shown = None if message.key is None else message.key.decode("utf-8", "backslashreplace")
    return {**record, KEY: shown, TIMESTAMP: str(message.time)}, None


def _day(message: Message) -> dt.date:
    return dt.datetime.fromtimestamp(message.timestamp()[1] / 1000, dt.UTC).date()


def _short(text: str) -> str:
    return text.splitlines()[0][:300] if text else text


def _because(problem: str) -> str:
    return f" ({_short(problem)})" if problem else ""
