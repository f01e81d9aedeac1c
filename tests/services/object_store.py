"""A server that speaks S3, on loopback: moto's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from pyarrow import fs

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
        self.files.create_dir(key.partition("/")[0], recursive=False)
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
