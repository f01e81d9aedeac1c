"""The connection to a HiveServer2, through PyHive: address, authentication, session settings, retries.

Statements are logged to `hive_io.statements`. No statement contains a password.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr
from pyhive import exc, hive
from TCLIService import ttypes
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from thrift.transport.TTransport import TTransportException

from hive_io.errors import NotAWarehouse, QueryError

T = TypeVar("T")
HIVE = "Apache Hive"
"""Name that Apache Hive gives for itself. Spark's is `Spark SQL`."""

log = logging.getLogger("hive_io.statements")

_ON_HIVE = (
    # Hive 4.0 moves the files of an exported result into its cache, and the next export of the same rows is empty
    "SET hive.query.results.cache.enabled=false",
    # vectorized execution of Hive 4.0 fails on some windows by RANGE ("while processing vector batch"), on joins that compute a
    # DECIMAL of few digits ("Decimal64ColumnVector cannot be cast to DecimalColumnVector"), and on Parquet files without an
    # ARRAY column that was added to the table later; row by row is slower, but correct
    "SET hive.vectorized.execution.enabled=false",
    # equal parts of a SELECT are computed once and share their value; SORT_ARRAY sorts it in place, and the next reader of the
    # same ARRAY gets it sorted
    "SET hive.cache.expr.evaluation=false",
    # `x >= a AND x <= b` becomes a BETWEEN, which is NULL where one bound is NULL, also for an x that misses the other
    "SET hive.optimize.point.lookup=false",
    # UNIX_TIMESTAMP reads a TIMESTAMP in this zone; the server's own may skip or repeat an hour
    "SET hive.local.time.zone=UTC",
    # read INT96 as it was written, and write INT64; a server in another time zone would shift hours
    "SET hive.parquet.timestamp.skip.conversion=true",
    "SET hive.parquet.write.int64.timestamp=true",
    "SET hive.parquet.timestamp.time.unit=micros",
    # a text with ${env:HOME} in it is a text
    "SET hive.variable.substitute=false",
    # Hive 4 sorts NULL last; earlier versions, Spark and the rules sort it first
    "SET hive.default.nulls.last=false",
    # column statistics of a stage are never used, and a new metastore may lack the table for them
    "SET hive.stats.column.autogather=false",
    "SET hive.exec.dynamic.partition.mode=nonstrict",
    "SET hive.exec.max.dynamic.partitions=10000",
    "SET hive.exec.max.dynamic.partitions.pernode=10000",
)
_ON_SPARK = (
    # a server in another time zone would shift hours
    "SET spark.sql.session.timeZone=UTC",
    # a text with ${env:HOME} in it is a text
    "SET spark.sql.variable.substitute=false",
    # LOWER(UPPER(x)) becomes LOWER(x), which differs for some letters
    "SET spark.sql.optimizer.excludedRules=org.apache.spark.sql.catalyst.optimizer.SimplifyCaseConversionExpressions",
    # keep times before 1900 as they were written, without moving them between calendars
    "SET spark.sql.parquet.int96RebaseModeInRead=CORRECTED",
    "SET spark.sql.parquet.int96RebaseModeInWrite=CORRECTED",
    "SET spark.sql.parquet.datetimeRebaseModeInRead=CORRECTED",
    "SET spark.sql.parquet.datetimeRebaseModeInWrite=CORRECTED",
    "SET hive.exec.dynamic.partition.mode=nonstrict",
    "SET hive.exec.max.dynamic.partitions=10000",
)

_UNTESTED = ("scheme", "kerberos_service_name", "check_hostname", "ssl_cert")


class StatementRefused(QueryError):
    """The server refused a statement, or failed on it."""


@dataclass(frozen=True)
class HiveServer:
    """Address of a HiveServer2 and of its staging folder.

    Attributes:
        staging: folder that this machine and the server see under the same path; holds the rows of all tables.
        auth: NONE and LDAP are tested; other values are passed to PyHive, untested.
        grace: seconds for which files of replaced partitions are retained for readers that have begun.
        patience: seconds for which a lost connection is retried before an error is raised.
        more: further arguments of PyHive: scheme, kerberos_service_name, check_hostname, ssl_cert. Untested.
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
        """Read an address `hive://user@host:10000/database?staging=/shared/folder&auth=LDAP`.

        The database is informative: statements name the database of each table.

        Raises:
            NotAWarehouse: the address lacks a part, has an unknown option, or has a password, which would be shown and logged.
        """
        parts = urlsplit(url)
        if parts.scheme != "hive":
            raise NotAWarehouse(f"{parts.scheme}:// is not a warehouse; use a folder, or hive://user@host:10000/…")
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        known = ("staging", "auth", "grace", "patience", *_UNTESTED)
        if unknown := sorted(options.keys() - set(known)):
            raise NotAWarehouse(f"{unknown[0]} is not an option of hive://; the options are {', '.join(known)}")
        if parts.password is not None:
            raise NotAWarehouse("A password does not belong in an address, which is shown and logged; pass it separately")
        if not parts.hostname or "staging" not in options:
            missing = "staging" if parts.hostname else "a host"
            raise NotAWarehouse(f"The address lacks {missing}; use hive://user@host:10000/fintech?staging=/shared/folder")
        try:
            port = parts.port or 10000
        except ValueError:
            # the error may quote a part of a password
            raise NotAWarehouse("The address is not valid: the port is not a number from 0 to 65535") from None
        return cls(
            parts.hostname,
            Path(options["staging"]).absolute(),
            port,
            unquote(parts.username) if parts.username else None,
            password,
            options.get("auth", "LDAP" if password else "NONE").upper(),
            _seconds(options, "grace", cls.grace),
            _seconds(options, "patience", cls.patience),
            {name: options[name] for name in _UNTESTED if name in options},
        )


def _seconds(options: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(options.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise NotAWarehouse(f"The address is not valid: {name} is a number of seconds, found {options[name]!r}")
    return value


class HiveConnection:
    """One session of a HiveServer2, opened again when it is lost.

    Raises:
        NotAWarehouse: the server does not answer, refuses the user, or gives wrong answers.
    """

    def __init__(self, server: HiveServer) -> None:
        self._server = server
        self._lock = RLock()
        self._session: Any = None
        self._engine = ""
        self._local = False
        self._retried(lambda: self._once("SHOW DATABASES", fetch=True), patience=min(server.patience, 10.0))

    @property
    def engine(self) -> str:
        """Name that the server gives for itself: `HIVE` or another."""
        return self._engine

    def close(self) -> None:
        """Close the session; the next statement opens another."""
        with self._lock:
            if self._session is not None:
                session, self._session = self._session, None
                _close(session)

    def run(self, statement: str, has_run: Callable[[], bool] | None = None) -> None:
        """Run a statement that returns no rows.

        When the connection is lost, it is unknown whether the statement ran, so it is sent again.

        Args:
            has_run: tells whether the statement took effect; required for a statement that is not idempotent. It is asked
                before the statement is sent again.

        Raises:
            StatementRefused: the server refused it, or failed on it.
            NotAWarehouse: no answer within the server's patience.
        """
        sent = False

        def attempt() -> None:
            nonlocal sent
            if sent and has_run is not None and has_run():
                return
            sent = True
            self._once(statement, fetch=False)

        self._retried(attempt, self._server.patience)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and fetch its few rows. Raises as `run` does."""
        return self._retried(lambda: self._once(statement, fetch=True), self._server.patience)

    def _retried(self, attempt: Callable[[], T], patience: float) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type((TTransportException, OSError)),
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            before_sleep=lambda state: log.warning("Connection lost; starting attempt %s", state.attempt_number + 1),
            reraise=True,
        )
        where = f"The HiveServer2 at {self._server.host}:{self._server.port}"
        try:
            return retrying(attempt)
        except (TTransportException, OSError) as error:
            if "Bad status" in str(error):
                raise NotAWarehouse(
                    f"{where} refused the user {self._server.username!r} or the password; check both, and auth"
                ) from None
            raise NotAWarehouse(f"{where} does not answer ({error}); start it, or check the address") from None

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
                reason = _first_line(error)
                if "Invalid SessionHandle" in reason:  # the server was restarted behind a proxy, or closed an idle session
                    self.close()
                    raise TTransportException(message=reason) from None
                if self._local and "TezTask" in reason:
                    self._check_it_reads(self._session)
                raise StatementRefused(f"{self._server.host} refused the statement: {reason}") from None

    def _ask(self, session: Any, statement: str, fetch: bool) -> list[tuple[Any, ...]]:
        began = time.monotonic()
        with session.cursor() as cursor:
            cursor.execute(statement)
            # PyHive fails to fetch after DDL
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
            raise NotAWarehouse(
                f"PyHive cannot connect to {server.host} with auth={server.auth}: {error}; use NONE or LDAP"
            ) from None
        try:
            request = ttypes.TGetInfoReq(sessionHandle=session.sessionHandle, infoType=ttypes.TGetInfoType.CLI_DBMS_NAME)
            self._engine = session.client.GetInfo(request).infoValue.stringValue
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
        """Check for a fault of Hive 4.0 with Tez in local mode: after a failed task, the result of every query is empty."""
        ((total,),) = self._ask(session, "SELECT SUM(LENGTH(x)) FROM (SELECT CAST(RAND() AS STRING) x) t", fetch=True)
        if not total:
            raise NotAWarehouse(
                f"The HiveServer2 at {self._server.host}:{self._server.port} returns no rows for any query, as Hive does after "
                "a failed task when Tez runs in local mode; nothing was written from such results. Restart the server"
            )


def _close(session: Any) -> None:
    """Close a session whose server may be gone, and its socket, which PyHive 0.7 leaves open if closing fails."""
    with suppress(TTransportException, OSError):
        session.close()
    session._transport.close()


def _first_line(error: exc.Error) -> str:
    """First line of the server's own message, without the lines that Thrift wraps around it."""
    status = getattr(error.args[0], "status", None) if error.args else None
    return str(getattr(status, "errorMessage", None) or error).partition("\n")[0]
