"""A topic of Apache Kafka that Spark Structured Streaming reads: the source of `fraud watch` on a Spark cluster.

The executors fetch the messages, and the checkpoint of the query says which of them belong to a micro-batch. It ends when the
live path has judged it. If the driver is killed before, Spark delivers the same messages again; the cursor names the last
micro-batch that was judged, so that none is judged twice.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from threading import Event
from typing import TYPE_CHECKING

from fraud_assets.errors import SettingsError, SourceError
from fraud_assets.ingestion.own_data.connectors.base import Context, RawPage
from fraud_assets.ingestion.own_data.connectors.kafka import KafkaConnector, KafkaLayout, Received
from fraud_assets.ingestion.own_data.source_file import SourceFile, read_source_file
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

_FIELDS = ["partition", "offset", "unix_millis(timestamp) AS time", "key", "value"]
_LOOK_EVERY = 0.2
"""Seconds between two looks whether a micro-batch is to be given up."""


@dataclass(frozen=True)
class Stream:
    """How Spark reads a topic.

    Attributes:
        checkpoint: folder or URL that outlives the driver; of this query alone.
        max_rows: most messages of a micro-batch.
        properties: properties of Kafka's Java client, such as `security.protocol`.
    """

    spark: SparkSession
    checkpoint: str
    max_rows: int
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class StreamedTopic(KafkaLayout):
    """A topic that Spark reads as its messages arrive. Runs read it as any other."""

    stream: Stream

    def connector(self, context: Context) -> StreamConnector:
        """A connector that reads the messages."""
        return StreamConnector(self, context)


def streamed_source(settings: Settings, stream: Stream) -> SourceFile:
    """The source file, with transactions that Spark reads.

    Raises:
        SettingsError: their origin is no topic of Kafka.
        SourceFileError: the source file has mistakes.
    """
    source = read_source_file(settings.source) if settings.source else None
    name = TRANSACTIONS.table.name
    table = source.tables.get(name) if source else None
    if source is None or table is None or not isinstance(table.origin, KafkaLayout):
        raise SettingsError("Spark reads transactions from a topic of Kafka: set FRAUD_SOURCE to a source file that names one")
    given = {each.name: getattr(table.origin, each.name) for each in fields(KafkaLayout)}
    origin = StreamedTopic(**given, stream=stream)
    return replace(source, tables={**source.tables, name: replace(table, origin=origin)})


@dataclass(frozen=True)
class _Delivered:
    """A micro-batch that Spark has begun.

    Attributes:
        judged: set when its rows are written and the cursor after them is stored.
    """

    number: int
    messages: Sequence[Received]
    judged: Event = field(default_factory=Event)


class StreamConnector(KafkaConnector):
    """Reads arrivals through Spark, and all else as a `KafkaConnector`.

    A page is a micro-batch. Its cursor is that of a `KafkaConnector`: `fraud watch` can go on without Spark, or Spark after it.
    When the cursor was set back, because another writer has replaced the day, what has arrived since is read without Spark.
    """

    layout: StreamedTopic

    def __init__(self, layout: StreamedTopic, context: Context) -> None:
        super().__init__(layout, context)
        self._stream = layout.stream
        self._query: StreamingQuery | None = None
        self._delivered: _Delivered | None = None
        self._is_ending = False

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        if cursor is None:
            # a page without rows, so that the position is stored before the query begins there
            yield self._page_of([]), self._cursor(self._start(self._partitions(), None, since))
            return
        query = self._running(cursor)
        batch = self._delivered
        if batch is None:
            return
        known = json.loads(cursor)
        judged = known["batch"] if known.get("query") == query.id else -1
        if judged != batch.number:
            # the first one begins at the cursor
            if batch.number not in (0, judged + 1):
                for page, last in super().arrivals(cursor):
                    known = json.loads(last)
                    yield page, last
            read = {int(number): offset for number, offset in known["next"].items()}
            for message in batch.messages:
                read[message.partition] = max(read.get(message.partition, 0), message.offset + 1)
            yield self._page_of(batch.messages), self._cursor(read, query=query.id, batch=batch.number)
        # who asks for more has judged it
        self._delivered = None
        batch.judged.set()

    def close(self) -> None:
        self._end()
        super().close()

    def _running(self, cursor: str) -> StreamingQuery:
        """The query, which begins with the first call.

        Raises:
            SourceError: it has ended. The next call begins it again, at its checkpoint.
        """
        if self._query is None:
            self._query = self._begun(self._start(self._partitions(), cursor, None))
        elif not self._query.isActive:
            reason = str(self._query.exception() or "it was stopped").partition("\n")[0]
            self._end()
            raise SourceError(f"{self.layout.place}: the query of Spark has ended: {reason}")
        return self._query

    def _begun(self, start: Mapping[int, int]) -> StreamingQuery:
        options = {f"kafka.{name}": value for name, value in self._stream.properties.items()}
        options |= {
            "kafka.bootstrap.servers": self.layout.brokers,
            "kafka.isolation.level": "read_committed",
            "subscribe": self.layout.topic,
            # for a new checkpoint; another one has offsets of its own
            "startingOffsets": json.dumps({self.layout.topic: start}),
            "maxOffsetsPerTrigger": str(self._stream.max_rows),
            "failOnDataLoss": "true",
        }
        frame = self._stream.spark.readStream.format("kafka").options(**options).load().selectExpr(*_FIELDS)
        written = frame.writeStream.foreachBatch(self._deliver)
        return written.option("checkpointLocation", self._stream.checkpoint).start()

    def _end(self) -> None:
        query, self._query = self._query, None
        if query is not None:
            self._is_ending = True
            query.stop()
            self._is_ending = False
        self._delivered = None

    def _deliver(self, frame: DataFrame, number: int) -> None:
        """Hand over a micro-batch, and wait until it is judged. Called by Spark, in a thread of its own."""
        batch = _Delivered(number, sorted(Received(*row) for row in frame.collect()))
        self._delivered = batch
        while not batch.judged.wait(_LOOK_EVERY):
            if self._is_ending:
                raise InterruptedError("the query was stopped; the micro-batch is delivered again")

    def _cursor(self, read: Mapping[int, int], **batch: str | int) -> str:
        return json.dumps({"topic": self._topic_id, "next": read, **batch}, sort_keys=True)
