"""What is said when Apache Hive cannot be installed or started. Running servers are in `tests/hiveserver2`."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from fraud_assets.local_hive import server
from fraud_assets.local_hive.server import LocalHiveError


def _java(folder: Path, version: str) -> Path:
    """A Java that says its version, and runs nothing."""
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


def test_a_missing_maven_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalHiveError, match="install maven"):
        server.install(tmp_path / "jars")


def test_a_missing_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(LocalHiveError, match=r"runs on Java 17 to 21, and there is no java; install it, or let JAVA_HOME"):
        server.start(tmp_path / "hive", tmp_path / "jars")


@pytest.mark.parametrize("version", ["11.0.2", "25.0.1", "1.8.0_392"])
def test_another_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(tmp_path, version)))
    with pytest.raises(LocalHiveError, match=rf"runs on Java 17 to 21, and .* is another: .*{version}"):
        server.start(tmp_path / "hive", tmp_path / "jars")


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LocalHiveError, match=f"Port {port} is in use; name another"):
            server.start(tmp_path / "hive", tmp_path / "jars", port=port)


def test_a_server_that_ends_at_once_is_said_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(tmp_path, "17.0.15")))
    with pytest.raises(LocalHiveError, match=r"did not start; its log, .*server.log, ends with\n.*17\.0\.15"):
        server.start(tmp_path / "hive", _installed(tmp_path))
    assert server.status(tmp_path / "hive") is None


def test_where_nothing_was_started_nothing_runs_and_nothing_is_stopped(tmp_path: Path) -> None:
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is False


def test_another_process_with_the_noted_number_is_not_taken_for_the_server(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(f'{{"port": 10000, "pid": {os.getpid()}}}')
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is False
