"""Opaque, URL-safe cursors that encode the key of a page's last row."""

from __future__ import annotations

import base64
import binascii

import orjson

from mock_sources.errors import BadParameter
from mock_sources.source import ArrivalKey


def encode(endpoint: str, key: tuple[str | int, ...]) -> str:
    """Return a cursor that `decode` accepts only for the same endpoint."""
    return base64.urlsafe_b64encode(orjson.dumps([endpoint, *key])).rstrip(b"=").decode("ascii")


def decode(endpoint: str, cursor: str) -> tuple[str | int, ...]:
    """Return the key in a cursor.

    Raises:
        BadParameter: the text is not a cursor, or a cursor of another endpoint.
    """
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
        raise BadParameter(f"after is not a cursor of {endpoint}: give the X-Cursor of an earlier response, unchanged.")
    return tuple(content[1:])


def arrival_key(endpoint: str, cursor: str) -> ArrivalKey:
    """Return the key in a cursor of transactions; raises BadParameter as `decode` does."""
    match decode(endpoint, cursor):
        case (int(arrival), str(transaction_id), int(version)) if abs(arrival) < 2**62:
            return ArrivalKey(arrival, transaction_id, version)
    raise BadParameter(f"after is not a cursor of {endpoint}: give the X-Cursor of an earlier response, unchanged.")
