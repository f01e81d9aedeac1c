"""Errors when Apache Hive cannot be installed or started. `tests/hiveserver2` tests running servers."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from fraud_assets.local_hive import server
from fraud_assets.local_hive.server import LocalHiveError
from tests.services.processes import free_port


def _java(folder: Path, version: str) -> Path:
    """A Java home whose java prints its version and runs nothing."""
    java = folder / "java-home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return java.parent.parent


def _installed(folder: Path) -> Path:
    jars = folder / "jars"
    jars.mkdir()
    (jars / "installed").write_text(hashlib.sha256(server.POM.read_bytes()).hexdigest())
    return jars


def test_a_missing_maven_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalHiveError, match=r"mvn.*install maven"):
        server.install(tmp_path / "jars")


def test_a_missing_java_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(LocalHiveError, match=r"Java 17 to 21.* java .*JAVA_HOME"):
        server.start(tmp_path / "hive", tmp_path / "jars", port=free_port())


@pytest.mark.parametrize("version", ["11.0.2", "25.0.1", "1.8.0_392"])
def test_an_unsupported_java_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(tmp_path, version)))
    with pytest.raises(LocalHiveError, match=rf"Java 17 to 21.*bin/java.*{version}.*JAVA_HOME"):
        server.start(tmp_path / "hive", tmp_path / "jars", port=free_port())


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LocalHiveError, match=f"Port {port} is in use.*--port"):
            server.start(tmp_path / "hive", tmp_path / "jars", port=port)


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(tmp_path, "17.0.15")))
    with pytest.raises(LocalHiveError, match=r"(?s)did not start.*server\.log.*17\.0\.15"):
        server.start(tmp_path / "hive", _installed(tmp_path), port=free_port())
    assert server.status(tmp_path / "hive") is None


def test_without_a_server_there_is_no_status_and_nothing_to_stop(tmp_path: Path) -> None:
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is False


def test_another_process_with_the_recorded_id_is_not_the_server(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(f'{{"port": 10000, "pid": {os.getpid()}}}')
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is False
