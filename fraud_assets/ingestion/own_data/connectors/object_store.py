"""Files in an object store, such as `s3://bucket/export/2026-01-05.csv`, through Arrow.

Credentials are those of the environment, as every client takes them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
AWS_PROFILE, or the role of the machine; for gs://, GOOGLE_APPLICATION_CREDENTIALS or the account of the machine. They are in
no source file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlencode, urlsplit

from pyarrow import fs

from fraud_assets.errors import SourceError

SCHEMES = ("s3", "gs")
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)})://([^/?#@]+)/(.+)")
_GS_SECONDS = "60"
"""Seconds for which Arrow tries a request of gs:// again. It would try for 15 minutes."""
_MAGIC = re.compile(r"[*?\[]")


def is_stored(path: str) -> bool:
    """True for the address of an object, and for what looks like one."""
    return "://" in path


@dataclass(frozen=True, order=True)
class StoredFile:
    """An object, or a pattern of objects. As far as files are read, it is used like a Path.

    Attributes:
        url: `s3://bucket/key`.
        options: of the store, as Arrow names them: `endpoint_override`, `scheme`, `region`, `anonymous`.
        size, changed: bytes, and nanoseconds since 1970, of an object that was listed.
    """

    url: str
    options: tuple[tuple[str, str], ...] = ()
    size: int = field(default=-1, compare=False)
    changed: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def suffixes(self) -> list[str]:
        """The suffixes of the name."""
        return PurePosixPath(self.key).suffixes

    @property
    def key(self) -> str:
        """Bucket and key, as Arrow takes them."""
        return self.url.partition("://")[2]

    @property
    def delta_options(self) -> dict[str, str]:
        """The options of the store, as delta-rs names them."""
        given = dict(self.options)
        named = {"AWS_REGION": given.get("region", ""), "AWS_SKIP_SIGNATURE": given.get("anonymous", "")}
        if "endpoint_override" in given:
            named["AWS_ENDPOINT_URL"] = f"{given['scheme']}://{given['endpoint_override']}"
            named["AWS_ALLOW_HTTP"] = "true" if given["scheme"] == "http" else ""
        return {name: value for name, value in named.items() if value}

    @property
    def _files(self) -> fs.FileSystem:
        return _file_system(self.url.partition("://")[0], self.key.partition("/")[0], self.options)

    def matching(self, pattern: str) -> list[StoredFile]:
        """The objects of the store that match a pattern, sorted.

        Raises:
            SourceError: the store does not answer, or refuses.
        """
        key = pattern.partition("://")[2]
        scheme = pattern.partition("://")[0]
        with self.errors():
            if not _MAGIC.search(key):
                found = self._files.get_file_info([key])
            else:
                folder = key[: _MAGIC.search(key).start()].rpartition("/")[0]  # type: ignore[union-attr]
                found = self._files.get_file_info(fs.FileSelector(folder, recursive=True))
        expression = re.compile(_expression(key))
        return sorted(
            StoredFile(f"{scheme}://{each.path}", self.options, each.size, each.mtime_ns or 0)
            for each in found
            if each.type == fs.FileType.File and expression.fullmatch(each.path)
        )

    def open_stream(self) -> Any:
        """The object from its beginning, decompressed by its name."""
        return self._files.open_input_stream(self.key, compression="detect", buffer_size=1 << 20)

    def open_file(self) -> Any:
        """The object, with random access."""
        return self._files.open_input_file(self.key)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of the store into ones that say what to do."""
        try:
            yield
        except OSError as error:
            raise SourceError(f"{self.url}: {explained(error)}") from None


def explained(error: OSError) -> str:
    """What a store's error means, and what to do."""
    text = str(error)
    # a listing of gs:// finds nothing only where there is no bucket; an object that is missing is not an error
    if "NO_SUCH_BUCKET" in text or ("function=ListObjects" in text and "NOT_FOUND" in text):
        return "there is no such bucket. Check `path` in the source file, and `store`, which names the region or endpoint"
    if any(
        code in text for code in ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE", "HTTP response code 403", "EXPIRED")
    ):
        return (
            "the store refuses the credentials of the environment. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
            "AWS_PROFILE to ones that may list and read these objects; tokens expire"
        )
    if "PERMISSION_DENIED" in text or "UNAUTHENTICATED" in text:
        return (
            "the store refuses the credentials of the environment. Set GOOGLE_APPLICATION_CREDENTIALS to the file of an "
            "account that may list and read these objects"
        )
    return f"the object store cannot be read: {text.splitlines()[0][:300]}. Check `path` and `store` in the source file"


def stored(path: str, options: Mapping[str, str]) -> StoredFile:
    """The objects at an address.

    Raises:
        ValueError: it is no address of objects.
    """
    if not _ADDRESS.fullmatch(path):
        raise ValueError(f"expected {' or '.join(f'{scheme}://bucket/key' for scheme in SCHEMES)}, without user or password")
    return StoredFile(path, tuple(sorted(options.items())))


def endpoint_options(endpoint: str | None, region: str | None, anonymous: bool) -> dict[str, str]:
    """The options of a store.

    Args:
        endpoint: address of a server that speaks S3, `https://host:port`.
    """
    parts = urlsplit(endpoint or "")
    named = {
        "endpoint_override": parts.netloc,
        "scheme": parts.scheme,
        "region": region,
        "anonymous": "true" if anonymous else "",
    }
    return {name: value for name, value in named.items() if value}


@cache
def _file_system(scheme: str, bucket: str, options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    """The file system of a bucket. Its connections are kept for the next files."""
    given, user = dict(options), ""
    if scheme == "gs":
        user = "anonymous@" if given.pop("anonymous", "") else ""
        given["retry_limit_seconds"] = _GS_SECONDS
    query = f"?{urlencode(given)}" if given else ""
    return fs.FileSystem.from_uri(f"{scheme}://{user}{bucket}/{query}")[0]


def _expression(pattern: str) -> str:
    """A regular expression for a glob pattern."""
    text = re.escape(pattern).replace(r"\[", "[").replace(r"\]", "]").replace("[!", "[^")
    return text.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
