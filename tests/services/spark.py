"""A real HiveServer2 for tests: the Spark Thrift Server of the PyPI package pyspark, on loopback, with a Derby metastore.

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

from tests.services import ZONE
from tests.services.processes import Process, free_port, listening, wait_until

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
    code = "import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)"
    home = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    port = free_port()
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.sql.shuffle.partitions": "2",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'metastore'};create=true",
    }
    command = [f"{home}/bin/spark-submit", "--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"]
    command += ["--master", "local[2]", "--driver-memory", "1g"]
    command += ["--driver-java-options", f"-Duser.timezone={ZONE}"]
    command += [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    command += ["spark-internal", "--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1"]
    command += ["--hiveconf", f"hive.server2.thrift.port={port}"]
    env = {**os.environ, "SPARK_HOME": home, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(python)}
    server = Process(command, folder / "server.log", env, folder)
    try:
        wait_until("The Spark Thrift Server listens", lambda: server.ended or listening(port), STARTS_WITHIN)
        if server.ended:
            raise RuntimeError(f"The Spark Thrift Server did not start:\n{server.output()}")
        yield f"hive://tests@127.0.0.1:{port}/?staging={folder / 'staged'}"
    finally:
        server.end(patience=60)


def main() -> int:
    python, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, spark_thrift_server(Path(python).absolute(), Path(folder)) as url:
        return subprocess.call([sys.executable, "-m", "pytest", "--hiveserver2", url, *arguments])


if __name__ == "__main__":
    sys.exit(main())
