"""A real Apache Hive for tests, on loopback.

`python -m tests.services.apache_hive JARS PYTEST_ARGS…` starts it, runs pytest against it, and stops it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fraud_assets.local_hive import server
from fraud_assets.local_hive.server import LocalHive
from tests.services import ZONE
from tests.services.processes import free_port


@contextmanager
def apache_hive(jars: Path, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[LocalHive]:
    """A running server. The test may stop it and start it again."""
    running = server.start(folder, jars, port=free_port(), zone=ZONE, more=more)
    try:
        yield running
    finally:
        server.stop(folder)


@contextmanager
def directory(jars: Path, user: str, password: str) -> Iterator[str]:
    """The address, `ldap://…`, of an LDAP directory with one user."""
    source = Path(__file__).with_name("Directory.java")
    (sdk,) = jars.glob("unboundid-ldapsdk-*.jar")
    command = ["java", "-cp", str(sdk), str(source), user, password]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield f"ldap://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def main() -> int:
    jars, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, apache_hive(Path(jars).absolute(), Path(folder) / "hive") as server:
        command = [sys.executable, "-m", "pytest", "--hiveserver2", server.url, "--apache-hive", str(Path(jars).absolute())]
        return subprocess.call([*command, *arguments])


if __name__ == "__main__":
    sys.exit(main())
