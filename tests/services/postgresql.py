"""A PostgreSQL server of the Debian package, on loopback, as an ordinary user."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.services.processes import SLOW

_NUMBERS = itertools.count()


def new_database(server: sa.URL) -> str:
    """Create a database with nothing in it; return its address, without a driver."""
    name = f"made{next(_NUMBERS)}"
    with sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@contextmanager
def postgresql(password: str) -> Iterator[sa.URL]:
    """Start a server with its data in a folder of its own, and give the address of its database; skip where there is none."""
    pytest.importorskip("psycopg", reason="needs psycopg, PostgreSQL's driver")
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if not initdb or not server:
        pytest.skip("needs PostgreSQL on PATH, such as Debian's package")
    # not below pytest's folders: each session that begins closes them to other users, and the server refuses to run as root
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        folder = Path(name)
        user: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        (folder / "password").write_text(password)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody", "nogroup")
        data = folder / "data"
        words = [
            initdb,
            "-D",
            str(data),
            "-U",
            "reader",
            "--auth=scram-sha-256",
            f"--pwfile={folder / 'password'}",
            "--no-sync",
        ]
        made = subprocess.run(words, capture_output=True, text=True, cwd=folder, **user)
        assert made.returncode == 0, made.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F", "-c", "timezone=America/St_Johns"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([server, "-D", str(data), *options], cwd=folder, stdout=log, stderr=log, **user)
        url = sa.URL.create("postgresql+psycopg", "reader", password, "127.0.0.1", port, "postgres")
        try:
            _wait_for(url, process, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(url: sa.URL, process: subprocess.Popen[bytes], log: Path) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + 20 * SLOW
    while True:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
            return
        except sa.exc.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.1)
