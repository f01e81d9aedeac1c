"""Processes that tests start and stop, each in a process group of its own, with its output in a file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SLOW = float(os.environ.get("TEST_PATIENCE", "1"))
"""Factor of every deadline. Set TEST_PATIENCE higher on a loaded machine."""


class Process:
    """A process and everything that it starts, stopped together.

    Attributes:
        log: the file with its output.
    """

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """True if it has ended."""
        return self._process.poll() is not None

    @property
    def code(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._process.poll()

    def members(self, pattern: str) -> list[int]:
        """Ids of the processes of the group whose command matches a pattern."""
        found = subprocess.run(
            ["pgrep", "-g", str(self._process.pid), "-f", pattern], capture_output=True, text=True, check=False
        )
        return [int(number) for number in found.stdout.split()]

    def end(self, number: int = signal.SIGTERM, patience: float = 30) -> None:
        """Send the group a signal, and kill it if it does not end within `patience` seconds."""
        self._signal(number)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=patience * SLOW)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # every process of the group has ended

    def output(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-4000:]


def free_port() -> int:
    """An unused port on 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, found: Callable[[], T | None], seconds: float, *, every: float = 0.5) -> T:
    """Call `found` until its result is true, and return that.

    Args:
        what: what is waited for, for the error.
        every: seconds between two calls.

    Raises:
        TimeoutError: no call succeeded within so many seconds.
    """
    deadline = time.monotonic() + seconds * SLOW
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds * SLOW:.0f} s")
        time.sleep(every)


def listening(port: int) -> bool:
    """True if a server accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
