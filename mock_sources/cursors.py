"""Opaque, url-safe cursors: the key of a page's last row."""

from __future__ import annotations

import base64
import binascii

import orjson

from mock_sources.errors import BadParameter
from mock_sources.source import ArrivalKey


def encode(endpoint: str, key: tuple[str | int, ...]) -> str:
    """A cursor which only `decode` with the same `endpoint` accepts."""
    return base64.urlsafe_b64encode(orjson.dumps([endpoint, *key])).rstrip(b"=").decode("ascii")


def decode(endpoint: str, cursor: str) -> tuple[str | int, ...]:
    """The key inside `cursor`; raises BadParameter for a cursor of another endpoint or none of ours."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        content = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        content = None
    if (
        not isinstance(content, list)
        or content[:1] != [endpoint]
        or any(isinstance(part, bool) or not isinstance(part, str | int) for part in content)
    ):
        raise BadParameter(f"after is not a cursor of {endpoint}: give the X-Cursor of an earlier answer unchanged.")
    return tuple(content[1:])


def arrival_key(endpoint: str, cursor: str) -> ArrivalKey:
    """The same for transactions."""
    match decode(endpoint, cursor):
        case (int(arrival), str(transaction_id), int(version)) if abs(arrival) < 2**62:
            return ArrivalKey(arrival, transaction_id, version)
    raise BadParameter(f"after is not a cursor of {endpoint}: give the X-Cursor of an earlier answer unchanged.")
