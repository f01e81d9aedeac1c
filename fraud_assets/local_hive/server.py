"""A local Apache Hive 4 for development and tests: HiveServer2 on loopback, Tez in local mode, a Derby metastore.

Maven downloads its jars (`pom.xml` beside this file). All its state is in one folder. Not for production: everything runs in
one process, and connections need no password.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hive_io.errors import HiveIOError

POM = Path(__file__).with_name("pom.xml")
PORT = 10000
STARTS_WITHIN = 180.0
"""Seconds until a server that does not answer counts as failed. A start took 10 s on two idle cores, plus 20 s for the jars."""

_JAVA_VERSIONS = range(17, 22)
_MAIN = "org.apache.hive.service.server.HiveServer2"
# packages that Hive and its serializers access by reflection, which Java 17 and later forbid by default
_OPENED = (
    "java.io", "java.lang", "java.lang.reflect", "java.math", "java.net", "java.nio", "java.text", "java.time", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "java.util.regex", "sun.nio.ch", "sun.nio.cs",
)  # fmt: skip
_LOGGING = """status=WARN
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd HH:mm:ss} %p %c{2} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
"""


class LocalHiveError(HiveIOError):
    """Apache Hive cannot be installed or started; the message says why."""


@dataclass(frozen=True)
class LocalHive:
    """A server that was started.

    Attributes:
        folder: holds its metastore, its log and staged files.
    """

    folder: Path
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its location, for FRAUD_WAREHOUSE."""
        return f"hive://fraud@127.0.0.1:{self.port}/fintech?staging={self.folder / 'staged'}"

    @property
    def running(self) -> bool:
        """True if the process that was started is still running."""
        # compare the command: another process may have got the same id
        ps = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(self.pid)], capture_output=True, text=True, check=False)
        return _MAIN in ps.stdout


def install(jars: Path, pom: Path = POM, product: str = "Apache Hive") -> None:
    """Download the jars of a Maven project into a folder, unless it holds them already.

    Args:
        product: what the project is of, for messages.

    Raises:
        LocalHiveError: Maven is missing, or failed.
    """
    version = hashlib.sha256(pom.read_bytes()).hexdigest()
    stamp = jars / "installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == version:
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalHiveError(f"mvn is not on the PATH; install maven, which downloads {product}, and try again")
    shutil.rmtree(jars, ignore_errors=True)
    command = [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars.absolute()}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stdout.splitlines() if "ERROR" in line]
        raise LocalHiveError(f"Maven could not download {product}:\n" + "\n".join(errors[:3]))
    stamp.write_text(version, encoding="utf-8")


def start(folder: Path, jars: Path, *, port: int = PORT, zone: str = "UTC", more: Mapping[str, str] | None = None) -> LocalHive:
    """Start a server and wait until it answers. Its log is `server.log` in its folder.

    Args:
        folder: created if missing; the state of an earlier server in it is reused.
        zone: time zone of the server. No result depends on it; tests use it to show that.
        more: further settings for hive-site.xml.

    Raises:
        LocalHiveError: Java is missing or not supported, the port is in use, a server is running in the folder, or the server
            ended or did not answer in time.
    """
    folder = folder.absolute()
    running = status(folder)
    if running is not None:
        raise LocalHiveError(f"A server is already running here: {running.url}")
    if _answers(port):
        raise LocalHiveError(f"Port {port} is in use; choose another with --port")
    java = _java()
    install(jars)
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "hive-log4j2.properties").write_text(_LOGGING, encoding="utf-8")
    _site({**_settings(folder, port), **(more or {})}).write(conf / "hive-site.xml", encoding="unicode")
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    properties = [f"-Duser.timezone={zone}", f"-Djava.io.tmpdir={scratch}", f"-Dderby.stream.error.file={folder / 'derby.log'}"]
    command = [java, "-Xmx2g", *opens, *properties, "-cp", f"{conf}:{jars.absolute()}/*", _MAIN]
    log = folder / "server.log"
    log.touch()
    log_start = log.stat().st_size
    # not Popen, which expects its process to be waited for: the server outlives the process that starts it
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(java, command, os.environ, file_actions=streams, setpgroup=0)
    server = LocalHive(folder, port, pid)
    _pid_file(folder).write_text(json.dumps({"port": port, "pid": pid}), encoding="utf-8")
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
        if _answers(port):
            return server
        time.sleep(0.25)
    stop(folder)
    output = log.read_bytes()[log_start:].decode(errors="replace")
    raise LocalHiveError(f"Apache Hive did not start; its log, {log}, ends with\n{output[-2000:]}")


def status(folder: Path) -> LocalHive | None:
    """The running server of a folder; None if there is none."""
    pid_file = _pid_file(folder.absolute())
    if not pid_file.exists():
        return None
    state = json.loads(pid_file.read_text(encoding="utf-8"))
    server = LocalHive(folder.absolute(), state["port"], state["pid"])
    return server if server.running else None


def stop(folder: Path, *, within: float = 30.0) -> bool:
    """Stop the server of a folder. Returns False if none was running.

    Args:
        within: seconds until it is killed; committed data is kept either way.
    """
    server = status(folder)
    if server is not None:
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + within
        while server.running and time.monotonic() < deadline:
            _reap(server.pid)
            time.sleep(0.1)
        if server.running:
            os.kill(server.pid, signal.SIGKILL)
            _reap(server.pid)
    _pid_file(folder.absolute()).unlink(missing_ok=True)
    return server is not None


def _reap(pid: int) -> None:
    """Reap the server if it has ended and is a child of this process; another process may have started it."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _pid_file(folder: Path) -> Path:
    return folder / "server.json"


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    needed = f"Apache Hive 4.0 needs Java {_JAVA_VERSIONS[0]} to {_JAVA_VERSIONS[-1]}"
    if java is None:
        raise LocalHiveError(f"{needed}, but java is not on the PATH; install it, or set JAVA_HOME")
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', output)
    if version is None or int(version[1]) not in _JAVA_VERSIONS:
        raise LocalHiveError(f"{needed}, but {java} reports {output.partition(chr(10))[0]}; set JAVA_HOME to a supported one")
    return java


def _settings(folder: Path, port: int) -> dict[str, str]:
    scratch = folder / "scratch"
    return {
        "javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'metastore'};create=true",
        "datanucleus.schema.autoCreateAll": "true",
        "hive.metastore.schema.verification": "false",
        "hive.metastore.event.db.notification.api.auth": "false",
        "hive.metastore.warehouse.dir": str(folder / "managed"),
        "hive.metastore.warehouse.external.dir": str(folder / "external"),
        "hive.server2.thrift.bind.host": "127.0.0.1",
        "hive.server2.thrift.port": str(port),
        "hive.server2.webui.port": "0",
        "hive.server2.enable.doAs": "false",
        "hive.server2.logging.operation.enabled": "false",
        "hive.server2.tez.initialize.default.sessions": "false",
        "hive.support.concurrency": "false",
        "hive.txn.manager": "org.apache.hadoop.hive.ql.lockmgr.DummyTxnManager",
        "hive.exec.scratchdir": str(scratch),
        "hive.exec.local.scratchdir": str(scratch / "local"),
        "hive.query.results.cache.directory": str(scratch / "results"),
        "hive.execution.engine": "tez",
        "hive.tez.container.size": "512",
        "fs.defaultFS": "file:///",
        # a join of a few tables needs more counters than Tez's default limit of 1,200
        "tez.counters.max": "10000",
        "tez.local.mode": "true",
        "tez.am.inline.task.execution.max-tasks": "2",
        "tez.runtime.optimize.local.fetch": "true",
        "tez.ignore.lib.uris": "true",
        "tez.staging-dir": str(scratch / "tez"),
        "tez.local.cache.root.folder": str(scratch),
    }


def _site(settings: Mapping[str, str]) -> ElementTree.ElementTree[ElementTree.Element]:
    site = ElementTree.Element("configuration")
    for name, value in settings.items():
        element = ElementTree.SubElement(site, "property")
        ElementTree.SubElement(element, "name").text = name
        ElementTree.SubElement(element, "value").text = value
    return ElementTree.ElementTree(site)
