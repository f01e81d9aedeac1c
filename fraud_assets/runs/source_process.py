"""A mock source in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import IO

from fraud_assets.errors import SourceError

_KEPT_LINES = 100
"""Last lines of its error output that are kept, for the error message."""


@contextmanager
def source_process(arguments: Sequence[str]) -> Iterator[str]:
    """Serve a mock source, `fraud sources …`, in a process of its own for the duration of the block; yields its URL.

    Raises:
        SourceError: it did not start; with its error message.
    """
    command = [sys.executable, "-m", "fraud_assets", "sources", *arguments, "--port", "0"]
    # in a group of its own: Ctrl-C in a terminal goes to a whole group, and the source must not end before its reader
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    assert process.stdout is not None and process.stderr is not None
    errors: deque[str] = deque(maxlen=_KEPT_LINES)
    readers: list[Thread] = []

    def drain(stream: IO[str], kept: deque[str] | None) -> None:
        def read() -> None:
            for line in stream:
                if kept is not None:
                    kept.append(line)

        readers.append(Thread(target=read, name="source output", daemon=True))
        readers[-1].start()

    try:
        # an unread pipe fills up, and then blocks its writer
        drain(process.stderr, errors)
        line = process.stdout.readline()
        if not line:
            process.wait(timeout=30)
            readers[0].join(timeout=30)
            raise SourceError("".join(errors).strip().removeprefix("Error: "))
        drain(process.stdout, None)
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=30)
        for reader in readers:
            reader.join(timeout=30)
        process.stdout.close()
        process.stderr.close()
