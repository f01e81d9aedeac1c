"""A real Apache Kafka for tests: one node, broker and controller, on loopback. It can be stopped and started again.

`python -m tests.services.kafka JARS PYTEST_ARGS…` installs its jars and runs pytest with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from fraud_assets.local_hive.server import install
from tests.services.certificates import certificate
from tests.services.processes import Process, free_port, listening, wait_until

USER, PASSWORD = "reader", "s3cret-Kafka"
"""Of the listener that asks for a password."""

_LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
_ONE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT",
    **{
        f"listener.name.{name}.{key}": value
        for name in ("sasl", "tls")
        for key, value in (("sasl.enabled.mechanisms", "PLAIN"), ("plain.sasl.jaas.config", _LOGIN))
    },
    "auto.create.topics.enable": "false",
    "controlled.shutdown.enable": "false",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}


class Kafka:
    """A Kafka that is running, or was stopped for a while.

    Attributes:
        brokers: its address.
        with_password: the address of the listener that asks for a password.
        over_tls: the address of the one that also speaks TLS, with a certificate for 127.0.0.1.
        ca: the certificate of the authority that has signed it.
    """

    def __init__(self, folder: Path, jars: Path) -> None:
        java = shutil.which("java")
        assert java, "needs Java 17 on PATH"
        self._folder = folder
        self._java = [java, "-Xmx512m", "-cp", f"{jars.absolute()}/*"]
        self._port, secret, tls, controller = (free_port() for _ in range(4))
        self.brokers, self.with_password, self.over_tls = (f"127.0.0.1:{port}" for port in (self._port, secret, tls))
        listeners = f"PLAINTEXT://{self.brokers},SASL://{self.with_password},TLS://{self.over_tls}"
        self.ca = folder / "ca.pem"
        of_server = certificate(self.ca)
        settings = {
            **_ONE_NODE,
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(of_server),
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(folder / "data"),
        }
        self._settings = folder / "server.properties"
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        words = ["kafka.tools.StorageTool", "format", "-t", "bWVhc3VyZW1lbnRzLW9mLQ", "-c", str(self._settings)]
        made = subprocess.run([*self._java, *words], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [*self._java, "kafka.Kafka", self._settings]
        self._process = Process(command, self._folder / "server.log", os.environ, self._folder)
        wait_until("Kafka starts", lambda: self._process.ended or listening(self._port), 60, every=0.1)
        assert not self._process.ended, self._process.output()

    def stop(self) -> None:
        """Stop it. Its messages are kept."""
        self._process.end()

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Create a topic, with settings such as `retention_ms`."""
        from confluent_kafka.admin import NewTopic

        given = {name.replace("_", "."): value for name, value in config.items()}
        made = self._admin.create_topics([NewTopic(topic, partitions, 1, config=given)])
        made[topic].result(30)

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self._admin.delete_topics([topic])[topic].result(30)
        wait_until("the topic is deleted", lambda: topic not in self._admin.list_topics(timeout=10).topics, 30, every=0.1)

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Delete the messages before an offset, as retention does."""
        from confluent_kafka import TopicPartition

        for future in self._admin.delete_records([TopicPartition(topic, partition, before)]).values():
            future.result(30)

    @cached_property
    def _admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.brokers})

    def produce(self, topic: str, messages: Iterable[Mapping[str, Any]]) -> None:
        """Write messages, each as the arguments of confluent-kafka's `produce`, and wait until they are stored."""
        from confluent_kafka import Producer

        producer, failed = Producer({"bootstrap.servers": self.brokers, "linger.ms": 0}), []
        for message in messages:
            producer.produce(topic, **message, on_delivery=lambda error, _: failed.append(error) if error else None)
            producer.poll(0)
        assert producer.flush(30) == 0 and not failed, failed


@contextmanager
def kafka(folder: Path, jars: Path) -> Iterator[Kafka]:
    """A running server."""
    server = Kafka(folder, jars)
    try:
        yield server
    finally:
        server.stop()


def main() -> int:
    jars = Path(sys.argv[1]).absolute()
    install(jars, Path(__file__).with_name("kafka.pom.xml"), "Apache Kafka")
    return subprocess.call([sys.executable, "-m", "pytest", "--kafka", str(jars), *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
