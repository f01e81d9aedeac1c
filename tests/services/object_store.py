"""Servers of objects, on loopback: moto's, which speaks S3, and an emulator of Google Cloud Storage."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pyarrow import fs

from tests.services.processes import Process, free_port, listening, wait_until

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "s3cret-Store"}


@dataclass(frozen=True)
class ObjectStore:
    """A running server.

    Attributes:
        endpoint: its address.
        files: to write to it.
    """

    endpoint: str
    files: fs.FileSystem

    def put(self, key: str, content: bytes) -> None:
        """Write an object, `bucket/key`."""
        bucket = key.partition("/")[0]
        if self.files.get_file_info(bucket).type == fs.FileType.NotFound:
            self.files.create_dir(bucket, recursive=False)
        with self.files.open_output_stream(key, compression=None) as out:
            out.write(content)

    def refuse(self) -> None:
        """From now on, refuse whom the server does not know, which is everybody."""
        httpx.post(f"{self.endpoint}/moto-api/reset-auth", content=b"0").raise_for_status()


@contextmanager
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An empty server, and the credentials for it in the environment."""
    from moto.server import ThreadedMotoServer

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
        options = {
            "endpoint_override": f"{host}:{port}",
            "scheme": "http",
            "allow_bucket_creation": True,
            "region": "eu-central-1",
        }
        yield ObjectStore(f"http://{host}:{port}", fs.S3FileSystem(**options))
    finally:
        server.stop()


@contextmanager
def cloud_storage(folder: Path) -> Iterator[ObjectStore]:
    """An empty emulator of Google Cloud Storage. It is a process of its own: Arrow keeps the GIL while it waits for an answer.

    Args:
        folder: for its log.
    """
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    process = Process(command, folder / "cloud_storage.log", os.environ, folder)
    try:
        wait_until("the emulator listens", lambda: process.ended or listening(port), 30, every=0.1)
        assert not process.ended, process.output()
        files = fs.GcsFileSystem(anonymous=True, scheme="http", endpoint_override=f"127.0.0.1:{port}", project_id="tests")
        yield ObjectStore(f"http://127.0.0.1:{port}", files)
    finally:
        process.end()
