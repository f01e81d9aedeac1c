"""Real servers for tests, each started for them and ended after them."""

import socket

ZONE = "America/St_Johns"
"""Where the servers live: three and a half hours, or two and a half, behind UTC, which shows what depends on it."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
