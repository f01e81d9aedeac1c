"""Evidence of a case for an auditor: alerts as they were, rows behind them with table versions, decisions, hashes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import deltalake
import jinja2
from sqlglot import exp

from fraud_assets.cases.model import Alert
from fraud_assets.cases.store import CaseStore
from fraud_assets.errors import CaseError
from fraud_assets.explain.tolerant_reader import TolerantReader
from fraud_assets.schemas.detection import FRAUD_ALERTS, TRANSACTION_SCORES
from fraud_assets.schemas.evaluation import LABELS
from fraud_assets.schemas.features import TRANSACTION_FEATURES
from fraud_assets.schemas.names import DATABASE
from fraud_assets.schemas.sources import TRANSACTIONS
from fraud_assets.sql.windows import table_node
from hive_io import PARTITION, EmbeddedWarehouse, Table, Warehouse
from hive_io.dialect import literal

FORMAT = "fraud case evidence 1"
SECTIONS = ("case", "alerts", "history", "decisions", "tables", "rows")
"""What the hashes cover, each by the SHA-256 of its JSON with sorted keys and no blanks."""

_ATTEMPTS = 5
"""How often rows are read again because a table changed meanwhile."""


def evidence(
    store: CaseStore, case_id: str, warehouse: Warehouse, tables: Mapping[str, Table], now: dt.datetime
) -> dict[str, Any]:
    """The evidence of a case, as plain values for JSON.

    Args:
        tables: every table by name, as `Engine.tables`. Columns with personal data are left out.

    Raises:
        CaseNotFound: there is no such case.
        CaseError: the tables changed again and again while they were read.
    """
    case, alerts = store.case(case_id), store.alerts(case_id)
    read = _rows_behind(alerts, warehouse, tables)
    found: dict[str, Any] = {
        "case": asdict(case),
        "alerts": [asdict(alert) for alert in alerts],
        "history": [asdict(event) for event in store.history(case_id)],
        "decisions": [asdict(row) for row in store.decisions_of(case_id)],
        "tables": read[0],
        "rows": read[1],
    }
    plain = {name: _plain(found[name]) for name in SECTIONS}
    hashes = {name: digest(plain[name]) for name in SECTIONS}
    return {"format": FORMAT, "written_at": _plain(now), **plain, "sha256": {**hashes, "all": digest(hashes)}}


def digest(value: object) -> str:
    """SHA-256 of a value as JSON with sorted keys and no blanks, in UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def wrong_hashes(data: Mapping[str, Any]) -> list[str]:
    """Sections of an evidence whose content is not that of their hash."""
    hashes = data["sha256"]
    wrong = [name for name in SECTIONS if digest(data[name]) != hashes[name]]
    return wrong if digest({name: hashes[name] for name in SECTIONS}) == hashes["all"] else [*wrong, "all"]


def as_html(data: Mapping[str, Any]) -> str:
    """The evidence as a page without scripts, with its JSON inside."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(autoescape=True, loader=loader).get_template("evidence.html")
    # in a script element, nothing but its end tag is markup
    inside = json.dumps(data, indent=1, ensure_ascii=True).replace("<", "\\u003c")
    return template.render(data=data, inside=inside)


def _rows_behind(
    alerts: Sequence[Alert], warehouse: Warehouse, tables: Mapping[str, Table]
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Versions of the tables, and their rows of the alerts' transactions."""
    rules = sorted({rule for alert in alerts for rule in alert.rules} & tables.keys())
    names = [
        TRANSACTIONS.table.name,
        TRANSACTION_FEATURES.name,
        TRANSACTION_SCORES.name,
        FRAUD_ALERTS.name,
        *rules,
        LABELS.name,
    ]
    for _ in range(_ATTEMPTS):
        before = _versions(warehouse, names)
        reader = TolerantReader(warehouse, tables)
        rows = {name: _rows(reader, tables[name], alerts) for name in names}
        if _versions(warehouse, names) == before:
            return before, rows
    raise CaseError("The tables were written while they were read, five times in a row; export the case again")


def _rows(reader: TolerantReader, table: Table, alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    query = exp.select("*").from_(table_node(table))
    query = query.where(exp.column("transaction_id").isin(*(literal(alert.transaction_id) for alert in alerts)))
    if table.time_column is not None:
        days = sorted({alert.event_time.date().isoformat() for alert in alerts})
        query = query.where(exp.column(PARTITION).isin(*map(literal, days)))
    personal = {column.name for column in table.columns if column.personal}
    rows = [{name: value for name, value in row.items() if name not in personal} for row in reader.rows(query)]
    return sorted(rows, key=lambda row: (row[PARTITION], row["transaction_id"], str(row)))


def _versions(warehouse: Warehouse, names: Iterable[str]) -> dict[str, Any]:
    """The Delta version of each table that exists; None in a warehouse without versions."""
    existing = set(warehouse.tables(DATABASE))
    if not isinstance(warehouse, EmbeddedWarehouse):
        return {name: {"version": None} for name in names if name in existing}
    folder = warehouse.root / f"{DATABASE}.db"
    return {name: {"version": deltalake.DeltaTable(str(folder / name)).version()} for name in names if name in existing}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
