"""Spark for tests, of the PyPI package pyspark, on loopback, with a Derby metastore: its Thrift Server, a real HiveServer2; and
the application that reads a topic by Structured Streaming.

`python -m tests.services.spark SPARK_PYTHON PYTEST_ARGS…` starts it, runs pytest against it, and stops it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraud_assets.local_hive.server import install
from tests.services import ZONE
from tests.services.processes import Process, free_port, listening, wait_until

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 120.0
"""Seconds until a server that does not listen counts as failed. A start took 22 s on two idle cores."""


@contextmanager
def spark_thrift_server(python: Path, folder: Path) -> Iterator[str]:
    """The address, `hive://…`, of a running server.

    Args:
        python: interpreter of an environment with pyspark.
        folder: for its metastore, its tables and its log.

    Raises:
        RuntimeError: it ended; with the end of its log.
        TimeoutError: it did not listen in time.
    """
    port = free_port()
    command = [f"{_home(python)}/bin/spark-submit", "--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"]
    command += ["--master", "local[2]", *_options(folder)]
    command += ["spark-internal", "--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1"]
    command += ["--hiveconf", f"hive.server2.thrift.port={port}"]
    server = Process(command, folder / "server.log", _environment(python, python), folder)
    try:
        wait_until("The Spark Thrift Server listens", lambda: server.ended or listening(port), STARTS_WITHIN)
        if server.ended:
            raise RuntimeError(f"The Spark Thrift Server did not start:\n{server.output()}")
        yield f"hive://tests@127.0.0.1:{port}/?staging={folder / 'staged'}"
    finally:
        server.end(patience=60)


def spark_streaming(python: Path, folder: Path, *arguments: str) -> Process:
    """`examples/spark_streaming.py` on two workers, each a process of its own.

    Args:
        python: as above. Kafka's connector for Spark is installed beside it.
        folder: for its metastore, its tables and its log. An application that is started there again goes on.
        arguments: of the example.
    """
    jars = python.parent.parent / "kafka"
    install(jars, Path(__file__).with_name("spark_kafka.pom.xml"), "Kafka's connector for Spark")
    needed = [str(jar) for name in ("*kafka*.jar", "commons-pool2-*.jar") for jar in jars.glob(name)]
    command = [f"{_home(python)}/bin/spark-submit", "--master", "local-cluster[2,1,1024]", "--executor-memory", "1g"]
    command += ["--jars", ",".join(needed), "--driver-class-path", ":".join(needed)]
    command += [*_options(folder), str(ROOT / "examples" / "spark_streaming.py"), *arguments]
    env = {**_environment(python, Path(sys.executable)), "PYTHONPATH": str(ROOT)}
    return Process(command, folder / "application.log", env, folder)


def _home(python: Path) -> str:
    code = "import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _environment(python: Path, used: Path) -> dict[str, str]:
    return {**os.environ, "SPARK_HOME": _home(python), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(used)}


def _options(folder: Path) -> list[str]:
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.sql.shuffle.partitions": "2",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'metastore'};create=true",
    }
    java = ["--driver-memory", "1g", "--driver-java-options", f"-Duser.timezone={ZONE}"]
    return [*java, *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}"))]


def main() -> int:
    python, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, spark_thrift_server(Path(python).absolute(), Path(folder)) as url:
        return subprocess.call([sys.executable, "-m", "pytest", "--hiveserver2", url, *arguments])


if __name__ == "__main__":
    sys.exit(main())
