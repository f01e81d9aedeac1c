"""`fraud watch` on a Spark cluster: Spark Structured Streaming reads the topic, and Spark's executors run features and rules.

    spark-submit --master … --jars KAFKA_JARS --driver-class-path KAFKA_JARS examples/spark_streaming.py --checkpoint DIR

Settings are those of `fraud watch`. FRAUD_SOURCE names a source file whose transactions are in a topic of Kafka.
FRAUD_WAREHOUSE is the address of a HiveServer2 that this application starts, for other commands too, such as
`hive://fraud@127.0.0.1:10000/fintech?staging=/mnt/lake`. PYSPARK_PYTHON is the interpreter in which fraud-assets is installed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event

import click
from pyspark.sql import SparkSession

from fraud_assets.cli.stop_signals import run_until_stopped
from fraud_assets.definitions import live_settings
from fraud_assets.live.service import give_up, watch
from fraud_assets.live.spark_stream import Stream
from fraud_assets.logs import log_to
from fraud_assets.settings import read_settings
from hive_io import HiveServer


def session(warehouse: str) -> SparkSession:
    """A session with the metastore of the cluster, whose tables a HiveServer2 of this application serves."""
    builder = SparkSession.builder.appName("fraud-watch").enableHiveSupport()
    if not warehouse.startswith("hive:"):
        return builder.getOrCreate()
    server = HiveServer.of(warehouse)
    for name, value in {"bind.host": server.host, "port": str(server.port)}.items():
        builder = builder.config(f"spark.hadoop.hive.server2.thrift.{name}", value)
    spark = builder.getOrCreate()
    context = spark._jsparkSession.sqlContext()
    spark._jvm.org.apache.spark.sql.hive.thriftserver.HiveThriftServer2.startWithContext(context)
    return spark


@click.command()
@click.option(
    "--checkpoint", required=True, help="Folder or URL of the query's checkpoint, on storage that outlives the driver."
)
@click.option("--max-rows", type=click.IntRange(1), default=100_000, show_default=True, help="Most messages of a micro-batch.")
@click.option(
    "--kafka-properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Properties of Kafka's Java client, a line `name=value` each, as Kafka's own tools read them.",
)
@click.option("--reconcile", type=click.FloatRange(1), default=3600.0, show_default=True, help="As for `fraud watch`.")
def main(checkpoint: str, max_rows: int, kafka_properties: Path | None, reconcile: float) -> None:
    """Load and judge transactions as they arrive, until SIGTERM."""
    settings = live_settings(read_settings())
    log_to(settings.log_format)
    lines = kafka_properties.read_text(encoding="utf-8").splitlines() if kafka_properties else []
    properties = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    stream = Stream(session(settings.warehouse), checkpoint, max_rows, properties)
    stop = Event()
    service = partial(watch, settings, stop, every=1.0, reconcile=reconcile, stream=stream)
    run_until_stopped(service, stop.set, partial(give_up, settings))


if __name__ == "__main__":
    main()
