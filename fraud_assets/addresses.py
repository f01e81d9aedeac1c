"""Addresses that may hold a user, a password or a token, as they may be shown."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")


def public(address: str) -> str:
    """An address without user, password, query and fragment.

    A password may contain `/`, `?` and `#` by mistake, so user and password end at the last `@`.
    """
    scheme = _SCHEME.match(address)
    start = scheme.group() if scheme else ""
    rest = address[len(start) :].rpartition("@")[2]
    return start + re.split("[?#]", rest, maxsplit=1)[0]
