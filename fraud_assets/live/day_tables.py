"""The tables that a day needs besides transactions, fetched in the background so that a slow one does not stop detection."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from sqlglot import exp

from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import Batch, QueriedBatch
from fraud_assets.ingestion.load import RejectedShareTooHigh, Source, fetch, write
from fraud_assets.live.pending import MissingTable
from fraud_assets.schemas.sources import API_TABLES, TRANSACTIONS, ApiTable
from fraud_assets.sql.windows import hiveql, table_node
from hive_io import PARTITION, Span, Table, Warehouse
from hive_io.dialect import literal

log = logging.getLogger("fraud_assets.live")


class DayTables:
    """Loads the snapshots of a day, and the events of the day before.

    Args:
        rejected_limit: largest share of rejected rows, as for `audit`.
        patience: seconds for which `begin` waits for the source.
        clock: the time of the loads.

    Attributes:
        refused: how often each table was refused because too many of its rows were rejected.
    """

    def __init__(
        self, source: Source, warehouse: Warehouse, rejected_limit: float, patience: float, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._source = source
        self._warehouse = warehouse
        self._rejected_limit = rejected_limit
        self._patience = patience
        self._clock = clock
        self._executor = ThreadPoolExecutor(len(API_TABLES), thread_name_prefix="day tables")
        self.refused: Counter[str] = Counter()
        self._fetching: dict[str, tuple[Span, Future[Batch | QueriedBatch]]] = {}

    def begin(self, spans: Mapping[str, Span]) -> dict[str, str]:
        """Load tables for a day that begins; return the tables that could not be loaded, each with the reason.

        Raises:
            HiveIOError: call it again.
        """
        self.request(spans)
        wait([future for _, future in self._fetching.values()], timeout=self._patience)
        problems = {table: self.commit(table) for table in spans}
        return {table: problem for table, problem in problems.items() if problem}

    def request(self, spans: Mapping[str, Span]) -> None:
        """Fetch tables in the background; those of other spans are forgotten."""
        for table, span in spans.items():
            if table not in self._fetching or self._fetching[table][0] != span:
                self._fetching[table] = (
                    span,
                    self._executor.submit(fetch, API_TABLES[table], self._source, span, self._warehouse, self._clock),
                )

    def is_fetched(self, table: str) -> bool:
        """True if `commit` has a result of a request."""
        return table in self._fetching and self._fetching[table][1].done()

    def commit(self, table: str) -> str:
        """Write a table that was requested; return why it could not be loaded, or an empty text.

        Raises:
            HiveIOError: the table is unchanged.
        """
        span, future = self._fetching[table]
        if not future.done():
            return f"late: the source has not answered within {self._patience:.0f} s"
        del self._fetching[table]
        api = API_TABLES[table]
        try:
            batch = future.result()
        except SourceError as error:
            return f"not available: {error}"
        except Exception as error:
            # a defect in reading one table must not stop detection; it is visible in the log and in the incident
            log.exception("%s could not be read", api.table.full_name)
            return f"not readable: {type(error).__name__}: {error}"
        try:
            write(api, self._warehouse, batch, span, self._rejected_limit)
        except RejectedShareTooHigh as error:
            self.refused[table] += 1
            return f"refused: {error}"
        return ""

    def latest(self, table: str, day: dt.date) -> dt.date | None:
        """The latest day, up to `day`, of which a table has a snapshot; None for a table of events."""
        api = API_TABLES[table]
        if api.day_column:
            return None
        days = {ds for each in _tables_of(api) for ds, rows in self._partitions(each).items() if rows and ds <= day.isoformat()}
        return dt.date.fromisoformat(max(days)) if days else None

    def carry(self, missing: MissingTable) -> None:
        """Write the snapshot that is used instead as that of the day."""
        if missing.instead is None:
            return
        for table in _tables_of(API_TABLES[missing.table]):
            columns = [name for name in table.arrow_schema.names if name != PARTITION]
            rows = exp.select(*columns, literal(missing.day.isoformat()).as_(PARTITION))
            rows = rows.from_(table_node(table))
            query = hiveql(rows.where(exp.column(PARTITION).eq(literal(missing.instead.isoformat()))))
            self._warehouse.replace(table, query, Span.days(missing.day, missing.day))

    def _partitions(self, table: Table) -> dict[str, int]:
        self._warehouse.ensure_table(table)
        return self._warehouse.partitions(table.full_name)

    def close(self) -> None:
        """Forget what is being fetched. The thread ends with its request."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _tables_of(api: ApiTable) -> list[Table]:
    """The table, and the one that records its loads, if any."""
    return [api.table, api.loads] if api.loads else [api.table]


def description(missing: MissingTable, problem: str) -> str:
    """What is missing, why, and what is used instead, for people."""
    if API_TABLES[missing.table].day_column:
        what, used = f"rows until {missing.day}", "with the rows loaded before"
    else:
        what = f"snapshot of {missing.day}"
        used = f"with the snapshot of {missing.instead}" if missing.instead else "without a snapshot"
    return f"{what} {problem}. Transactions are judged {used}, and again when it is loaded."


def spans_of_day(day: Span, yesterday: Span | None) -> dict[str, Span]:
    """The span that a day needs of each table but transactions; without a day before, events are not needed."""
    spans = {name: yesterday if api.day_column else day for name, api in API_TABLES.items() if api is not TRANSACTIONS}
    return {name: span for name, span in spans.items() if span is not None}
