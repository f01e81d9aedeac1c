"""The connection to a HiveServer2, through PyHive: where it is, who asks, what a session needs, and trying again.

Statements are logged to `hive_io.statements`; a password is in none of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr
from pyhive import exc, hive
from TCLIService import ttypes
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from thrift.transport.TTransport import TTransportException

from hive_io.errors import NotAWarehouse, QueryError

HIVE = "Apache Hive"
"""What Apache Hive answers when it is asked what it is; Spark answers `Spark SQL`."""

log = logging.getLogger("hive_io.statements")

_ON_HIVE = (
    # Hive 4.0 takes the files of an exported result for its cache, and the next export of the same rows finds none
    "SET hive.query.results.cache.enabled=false",
    # Hive 4.0's vectors fail on some windows by RANGE ("while processing vector batch"), on joins that compute a DECIMAL of few
    # digits ("Decimal64ColumnVector cannot be cast to DecimalColumnVector"), and on a Parquet file that lacks an ARRAY column
    # which the table has gained: rows are slower, and right
    "SET hive.vectorized.execution.enabled=false",
    # UNIX_TIMESTAMP reads a TIMESTAMP as of this zone: of the server's, which may skip and repeat an hour, otherwise
    "SET hive.local.time.zone=UTC",
    # INT96 is read as it was written, and INT64 is written: else a server elsewhere would shift hours
    "SET hive.parquet.timestamp.skip.conversion=true",
    "SET hive.parquet.write.int64.timestamp=true",
    "SET hive.parquet.timestamp.time.unit=micros",
    # Hive 4 has them last, where Hive before it, Spark and the rules have them first
    "SET hive.default.nulls.last=false",
    # nobody plans with statistics of a stage's columns, and a metastore made a moment ago may have no table for them
    "SET hive.stats.column.autogather=false",
    "SET hive.exec.dynamic.partition.mode=nonstrict",
    "SET hive.exec.max.dynamic.partitions=10000",
    "SET hive.exec.max.dynamic.partitions.pernode=10000",
)
_ON_SPARK = (
    # a server elsewhere would shift hours
    "SET spark.sql.session.timeZone=UTC",
    # times before 1900 as they were written, not moved between calendars
    "SET spark.sql.parquet.int96RebaseModeInRead=CORRECTED",
    "SET spark.sql.parquet.int96RebaseModeInWrite=CORRECTED",
    "SET hive.exec.dynamic.partition.mode=nonstrict",
    "SET hive.exec.max.dynamic.partitions=10000",
)

_UNTESTED = ("scheme", "kerberos_service_name", "check_hostname", "ssl_cert")


@dataclass(frozen=True)
class HiveServer:
    """Where a HiveServer2 is, and where files are staged.

    Attributes:
        staging: a folder that this machine and the server see under the same path; the rows of all tables are in it.
        auth: NONE and LDAP are tested; what else PyHive offers is passed through, untested.
        grace: seconds for which the files of replaced partitions are kept for readers that have begun.
        patience: seconds for which a lost connection is tried again before it is an error.
        more: what PyHive takes besides, by its names: scheme, kerberos_service_name, check_hostname, ssl_cert. Untested.
    """

    host: str
    staging: Path
    port: int = 10000
    username: str | None = None
    password: SecretStr | None = field(default=None, repr=False)
    auth: str = "NONE"
    grace: float = 3600.0
    patience: float = 120.0
    more: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str, password: SecretStr | None = None) -> HiveServer:
        """From `hive://user@host:10000/database?staging=/shared/folder&auth=LDAP`.

        The database is for people: statements name the database of each table.

        Raises:
            NotAWarehouse: what the address lacks, or has too much: a password in it would be shown and logged.
        """
        parts = urlsplit(url)
        if parts.scheme != "hive":
            raise NotAWarehouse(f"{parts.scheme}:// is not a warehouse; name a folder, or hive://user@host:10000/…")
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        known = ("staging", "auth", "grace", "patience", *_UNTESTED)
        if unknown := sorted(options.keys() - set(known)):
            raise NotAWarehouse(f"{unknown[0]} is no option of hive://; there are {', '.join(known)}")
        if parts.password is not None:
            raise NotAWarehouse("A password does not belong into an address, which is shown and logged; give it apart")
        if not parts.hostname or "staging" not in options:
            raise NotAWarehouse("A HiveServer2 is named like hive://user@host:10000/fintech?staging=/folder/that/it/shares")
        try:
            return cls(
                parts.hostname,
                Path(options["staging"]).absolute(),
                parts.port or 10000,
                unquote(parts.username) if parts.username else None,
                password,
                options.get("auth", "LDAP" if password else "NONE").upper(),
                float(options.get("grace", cls.grace)),
                float(options.get("patience", cls.patience)),
                {name: options[name] for name in _UNTESTED if name in options},
            )
        except ValueError as error:
            raise NotAWarehouse(f"The address of the HiveServer2 cannot be read: {error}") from None


class HiveConnection:
    """One session of a HiveServer2, opened anew when it is lost.

    Raises:
        NotAWarehouse: the server does not answer, refuses the user, or answers wrongly.
    """

    def __init__(self, server: HiveServer) -> None:
        self._server = server
        self._lock = RLock()
        self._session: Any = None
        self._engine = ""
        self._local = False
        self._trying(lambda: self._once("SHOW DATABASES", fetch=True), patience=min(server.patience, 10.0))

    @property
    def engine(self) -> str:
        """What the server says it is."""
        return self._engine

    def close(self) -> None:
        """Close the session; the next statement opens another."""
        with self._lock:
            if self._session is not None:
                session, self._session = self._session, None
                _close(session)

    def run(self, statement: str) -> None:
        """Run a statement whose answer has no rows.

        Every statement may run twice: where the connection is lost, nobody knows whether it ran.

        Raises:
            QueryError: the server refused it, or failed on it.
            NotAWarehouse: no answer within the server's patience.
        """
        self._trying(lambda: self._once(statement, fetch=False), self._server.patience)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, and fetch its few rows. Raises as `run` does."""
        return self._trying(lambda: self._once(statement, fetch=True), self._server.patience)

    def _trying(self, attempt: Any, patience: float) -> Any:
        retrying = Retrying(
            retry=retry_if_exception_type((TTransportException, OSError)),
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            before_sleep=lambda state: log.warning("The connection was lost; attempt %s follows", state.attempt_number + 1),
            reraise=True,
        )
        where = f"The HiveServer2 at {self._server.host}:{self._server.port}"
        try:
            return retrying(attempt)
        except (TTransportException, OSError) as error:
            if "Bad status" in str(error):
                raise NotAWarehouse(f"{where} refused the user {self._server.username!r} or the password") from None
            raise NotAWarehouse(f"{where} does not answer ({error}); is it running?") from None

    def _once(self, statement: str, *, fetch: bool) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                if self._session is None:
                    self._session = self._open()
                return self._ask(self._session, statement, fetch)
            except (TTransportException, OSError):
                self.close()
                raise
            except exc.Error as error:
                said = _first_line(error)
                if "Invalid SessionHandle" in said:  # the server started anew behind a proxy, or closed an idle session
                    self.close()
                    raise TTransportException(message=said) from None
                if self._local and "TezTask" in said:
                    self._check_it_reads(self._session)
                raise QueryError(f"{self._server.host} refused: {said}") from None

    def _ask(self, session: Any, statement: str, fetch: bool) -> list[tuple[Any, ...]]:
        began = time.monotonic()
        with session.cursor() as cursor:
            cursor.execute(statement)
            # after DDL there is nothing to fetch, and PyHive fails on it
            rows: list[tuple[Any, ...]] = cursor.fetchall() if fetch else []
        log.info("%s\n-- %.2f s on %s", statement, time.monotonic() - began, self._server.host)
        return rows

    def _open(self) -> Any:
        server = self._server
        try:
            session = hive.connect(
                host=server.host,
                port=server.port,
                username=server.username,
                password=server.password.get_secret_value() if server.password else None,
                auth=server.auth,
                **server.more,
            )
        except (ValueError, NotImplementedError) as error:
            raise NotAWarehouse(f"The HiveServer2 at {server.host} cannot be asked with auth={server.auth}: {error}") from None
        try:
            asked = ttypes.TGetInfoReq(sessionHandle=session.sessionHandle, infoType=ttypes.TGetInfoType.CLI_DBMS_NAME)
            self._engine = session.client.GetInfo(asked).infoValue.stringValue
            for statement in _ON_HIVE if self._engine == HIVE else _ON_SPARK:
                self._ask(session, statement, fetch=False)
            if self._engine == HIVE:
                self._local = self._ask(session, "SET tez.local.mode", fetch=True)[0][0] == "tez.local.mode=true"
            if self._local:
                self._check_it_reads(session)
        except BaseException:
            _close(session)
            raise
        return session

    def _check_it_reads(self, session: Any) -> None:
        """Hive 4.0 with Tez in local mode answers every query with no rows after one task has failed."""
        ((total,),) = self._ask(session, "SELECT SUM(LENGTH(x)) FROM (SELECT CAST(RAND() AS STRING) x) t", fetch=True)
        if not total:
            raise NotAWarehouse(
                f"The HiveServer2 at {self._server.host}:{self._server.port} answers every query with no rows, as Hive does "
                "after a failed one when Tez is in local mode; nothing was written with such answers. Restart the server"
            )


def _close(session: Any) -> None:
    """End a session whose server may be gone, and its socket, which PyHive 0.7 leaves open when that fails."""
    with suppress(TTransportException, OSError):  # it is gone, which is what was wanted
        session.close()
    session._transport.close()


def _first_line(error: exc.Error) -> str:
    """What the server said, of the many lines that Thrift wraps around it."""
    status = getattr(error.args[0], "status", None) if error.args else None
    return str(getattr(status, "errorMessage", None) or error).partition("\n")[0]
