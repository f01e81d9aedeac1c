"""Which messages of Spark's micro-batches reach the live path, without Spark: each once, those in doubt again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from fraud_assets.errors import SettingsError, SourceError
from fraud_assets.ingestion.own_data.connectors.base import Context
from fraud_assets.ingestion.own_data.connectors.kafka import KafkaConnector
from fraud_assets.live.spark_stream import Stream, StreamConnector, StreamedTopic, streamed_source
from fraud_assets.settings import Settings
from tests.services.processes import wait_until

STREAM = Stream(spark=None, checkpoint="", max_rows=1)  # type: ignore[arg-type]


class Query:
    """A query of Spark whose micro-batches the test begins."""

    id = "a query"
    isActive = True  # noqa: N815

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def exception(self) -> str:
        return "a worker is gone\nat line 1"

    def stop(self) -> None:
        # as Spark, it waits for the end of the micro-batch
        self._connector.spark.join(5)


class Connector(StreamConnector):
    """One of a topic whose only partition begins at offset 5."""

    _topic_id = "a topic"  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(StreamedTopic("broker", "payments", stream=STREAM), Context())
        self.spark = Thread(daemon=True)

    def _partitions(self) -> list[Any]:
        return []

    def _start(self, partitions: object, cursor: str | None, since: object) -> dict[int, int]:
        return {0: 5}

    def _begun(self, start: object) -> Any:
        return Query(self)

    @contextmanager
    def delivering(self, number: int, *offsets: int) -> Iterator[Thread]:
        """While Spark delivers a micro-batch with the messages at these offsets, in a thread that ends with it."""
        rows = [(0, offset, 1_767_614_400_000, None, b'{"id": %d}' % offset) for offset in offsets]

        def deliver() -> None:
            with suppress(InterruptedError):
                self._deliver(SimpleNamespace(collect=lambda: rows), number)  # type: ignore[arg-type]

        self.spark = Thread(target=deliver, daemon=True)
        self.spark.start()
        wait_until("it is delivered", lambda: self._delivered is not None, 5, every=0.01)
        yield self.spark
        self.close()
        assert not self.spark.is_alive()


def ids(page: Any) -> list[str]:
    return page.rows.column("id").to_pylist()


@pytest.fixture
def begun() -> str:
    """The cursor at which the query begins."""
    ((page, cursor),) = Connector().arrivals(None)
    assert page.rows.num_rows == 0
    return cursor


def test_a_micro_batch_ends_when_it_is_judged(begun: str) -> None:
    connector = Connector()
    assert [*connector.arrivals(begun)] == []
    with connector.delivering(0, 6, 5) as spark:
        pages = connector.arrivals(begun)
        page, cursor = next(pages)
        assert ids(page) == ["5", "6"] and json.loads(cursor)["next"] == {"0": 7}
        assert spark.is_alive(), "who has the page has not judged it yet"
        assert [*pages] == []
        spark.join(5)
        assert not spark.is_alive()


def test_what_was_not_judged_is_delivered_again_and_what_was_is_not(begun: str) -> None:
    connector = Connector()
    with connector.delivering(0, 5):
        page, _ = next(connector.arrivals(begun))
        again, cursor = next(connector.arrivals(begun))
        assert ids(page) == ids(again) == ["5"]
    # the process was killed before Spark noted the end
    with connector.delivering(0, 5) as spark:
        assert [*connector.arrivals(cursor)] == []
        spark.join(5)
        assert not spark.is_alive()
    with connector.delivering(1, 6):
        assert [ids(page) for page, _ in connector.arrivals(cursor)] == [["6"]]


@pytest.mark.parametrize("query", ["a query", "another query"])
def test_after_a_cursor_that_was_set_back_the_topic_is_read_without_spark(
    query: str, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def arrivals(self: KafkaConnector, cursor: str, since: object = None) -> Iterator[Any]:
        asked.append(cursor)
        yield "what has arrived since", json.dumps({"topic": "a topic", "next": {"0": 9}})

    monkeypatch.setattr(KafkaConnector, "arrivals", arrivals)
    connector = Connector()
    set_back = begun if query == "a query" else json.dumps({**json.loads(begun), "query": query, "batch": 6})
    with connector.delivering(7, 6, 7):
        (first, _), (page, cursor) = connector.arrivals(set_back)
        assert asked == [set_back] and first == "what has arrived since"
        assert ids(page) == ["6", "7"]
        assert json.loads(cursor) == {"topic": "a topic", "next": {"0": 9}, "query": "a query", "batch": 7}


def test_a_query_that_has_ended_begins_again(begun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = Connector()
    connector.spark.start()
    assert [*connector.arrivals(begun)] == []
    with monkeypatch.context() as patched:
        patched.setattr(Query, "isActive", False)
        with pytest.raises(SourceError, match=r"payments: the query of Spark has ended: a worker is gone$"):
            next(connector.arrivals(begun))
    assert [*connector.arrivals(begun)] == []


def test_other_origins_than_a_topic_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="from a topic of Kafka: set FRAUD_SOURCE"):
        streamed_source(Settings(), STREAM)
    (tmp_path / "source.yaml").write_text("apis: {url: http://127.0.0.1:1}\n")
    with pytest.raises(SettingsError, match="from a topic of Kafka"):
        streamed_source(Settings(source=tmp_path / "source.yaml"), STREAM)
