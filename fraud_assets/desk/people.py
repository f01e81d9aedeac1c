"""People who may use the desk and programs that may use its API: names, roles, and hashes of passwords and tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.security import check_password_hash, generate_password_hash

from fraud_assets.atomic_write import write_atomically
from fraud_assets.cases.model import SYSTEM
from fraud_assets.errors import FraudError

SHORTEST_PASSWORD = 12
"""Characters of a password, at least."""
LONGEST_PASSWORD = 200
"""Characters of a password, at most: hashing a longer one would only cost time."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_TOKEN_BYTES = 32
_LOCK_SECONDS = 10.0
_NOBODY = generate_password_hash(secrets.token_urlsafe(_TOKEN_BYTES))
"""Checked for a name that does not exist, so that the answer takes as long as for one that does."""


class AccountError(FraudError):
    """A user or token cannot be added, changed, removed or read."""


class Role(StrEnum):
    """What a person may do; each role may do all that the one before may."""

    VIEWER = "viewer"
    INVESTIGATOR = "investigator"
    LEAD = "lead"

    def covers(self, other: Role) -> bool:
        """True if this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Person(BaseModel):
    """A person, or a program with a token.

    Attributes:
        password: its hash; None for a person whom a proxy signs in.
        epoch: random text that changes when the person signs out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    password: str | None = None
    epoch: str = ""

    @property
    def stamp(self) -> str:
        """Stands in each session of this person. A new password or a sign-out changes it, which ends the earlier sessions."""
        return hashlib.sha256(f"{self.name}\n{self.password}\n{self.epoch}".encode()).hexdigest()[:16]


class Token(BaseModel):
    """A token of the API; only its hash is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    digest: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    secret: str
    people: dict[str, Person] = {}
    tokens: dict[str, Token] = {}


class Accounts:
    """The file of people and tokens. Changes take effect at once, also in a desk that runs.

    Args:
        file: created with the first use, readable by its owner only.

    Raises:
        AccountError: the file cannot be read or written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = FileLock(file.with_suffix(".lock"), timeout=_LOCK_SECONDS)
        self._read: tuple[tuple[int, int, int], _File] | None = None

    @property
    def secret(self) -> str:
        """Secret key that signs session cookies; made with the file."""
        return self._load_or_create().secret

    @property
    def people(self) -> list[Person]:
        """All people, by name."""
        return sorted(self._load().people.values(), key=lambda person: person.name)

    @property
    def tokens(self) -> list[Token]:
        """All tokens, by name."""
        return sorted(self._load().tokens.values(), key=lambda token: token.name)

    def person(self, name: str) -> Person | None:
        """The person of this name."""
        return self._load().people.get(name)

    def sign_in(self, name: str, password: str) -> Person | None:
        """The person, if the password is right. Takes as long for an unknown name."""
        person = self.person(name)
        known = person.password if person and person.password else None
        right = check_password_hash(known or _NOBODY, password[:LONGEST_PASSWORD])
        return person if right and known else None

    def bearer(self, token: str) -> Token | None:
        """The token that a request presents; None if there is no such token."""
        digest = _digest(token)
        return next((each for each in self._load().tokens.values() if secrets.compare_digest(each.digest, digest)), None)

    def put(self, name: str, role: Role, password: str | None) -> None:
        """Add a person, or give one another role and password.

        Args:
            password: None for a person whom a proxy signs in.

        Raises:
            AccountError: the name or the password cannot be used.
        """
        _check_name(name)
        if password is not None and not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise AccountError(
                f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; this one has {len(password)}"
            )
        hashed = None if password is None else generate_password_hash(password)
        with self._changing() as file:
            file.people[name] = Person(name=name, role=role, password=hashed)
            self._save(file)

    def end_sessions(self, name: str) -> None:
        """End all sessions of a person, in every browser."""
        with self._changing() as file:
            if name in file.people:
                file.people[name] = file.people[name].model_copy(update={"epoch": secrets.token_hex(8)})
                self._save(file)

    def remove(self, name: str) -> None:
        """Remove a person; ends their sessions.

        Raises:
            AccountError: there is no such person.
        """
        with self._changing() as file:
            if file.people.pop(name, None) is None:
                raise AccountError(f"There is no user {name}; the users are {', '.join(sorted(file.people)) or 'none'}")
            self._save(file)

    def add_token(self, name: str, role: Role) -> str:
        """Add a token and return it; it is not kept and cannot be shown again.

        Raises:
            AccountError: the name cannot be used or is taken.
        """
        _check_name(name)
        token = f"fraud_{secrets.token_urlsafe(_TOKEN_BYTES)}"
        with self._changing() as file:
            if name in file.tokens:
                raise AccountError(f"There is a token {name} already; remove it first, or choose another name")
            file.tokens[name] = Token(name=name, role=role, digest=_digest(token))
            self._save(file)
        return token

    def remove_token(self, name: str) -> None:
        """Remove a token; requests with it are refused from now on.

        Raises:
            AccountError: there is no such token.
        """
        with self._changing() as file:
            if file.tokens.pop(name, None) is None:
                raise AccountError(f"There is no token {name}; the tokens are {', '.join(sorted(file.tokens)) or 'none'}")
            self._save(file)

    @contextmanager
    def _changing(self) -> Iterator[_File]:
        """The file's content, locked from reading to writing."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                yield self._load().model_copy(deep=True)
        except OSError as error:
            raise AccountError(f"{self.file} cannot be written: {error.strerror or error}") from None

    def _load(self) -> _File:
        try:
            stat = self.file.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._read is None or self._read[0] != seen:
                self._read = seen, _File.model_validate_json(self.file.read_bytes())
            return self._read[1]
        except FileNotFoundError:
            return _File(secret="")
        except OSError as error:
            raise AccountError(f"{self.file} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            raise AccountError(
                f"{self.file} is not a file of users: {error.errors()[0]['msg']}. Restore it, or move it away and add the "
                "users again"
            ) from None

    def _load_or_create(self) -> _File:
        found = self._load()
        if found.secret:
            return found
        with self._changing() as file:
            self._save(file)
        return self._load()

    def _save(self, file: _File) -> None:
        file.secret = file.secret or secrets.token_hex(_TOKEN_BYTES)
        write_atomically(self.file, file.model_dump_json(indent=2) + "\n", mode=0o600)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AccountError(f"{name!r} is not a valid name: use 1 to 64 letters, digits and . _ @ + -, a letter or digit first")
    if name.casefold() == SYSTEM:
        raise AccountError(f"The name {SYSTEM} stands for the desk itself in a case's history; choose another")


def _digest(token: str) -> str:
    # a token is random and long: unlike a password, it needs no slow hash
    return hashlib.sha256(token.encode()).hexdigest()
