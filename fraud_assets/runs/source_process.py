"""A mock source in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fraud_assets.errors import SourceError


@contextmanager
def source_process(arguments: Sequence[str]) -> Iterator[str]:
    """Serve a mock source, `fraud sources …`, in a process of its own for the duration of the block; yields its URL.

    Raises:
        SourceError: it did not start; with its error message.
    """
    command = [sys.executable, "-m", "fraud_assets", "sources", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SourceError(process.stderr.read().strip().removeprefix("Error: "))
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
        process.stderr.close()
