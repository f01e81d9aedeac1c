"""Payments in messages of ISO 20022: pacs.008, credit transfers between banks, and camt.053, statements of accounts.

A row has the elements of a payment under their own names, in any version of the message. An element with attributes, such as an
amount, becomes an object of them and of its text, `value`; an element that is repeated becomes an array.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal
from xml.etree import ElementTree

from fraud_assets.errors import SourceError

Message = Literal["pacs.008", "camt.053"]

_ROOTS = {"pacs.008": "FIToFICstmrCdtTrf", "camt.053": "BkToCstmrStmt"}


def payments(stream: Any, message: Message) -> Iterator[dict[str, Any]]:
    """The payments of a message, in their order.

    For pacs.008, a row for each `CdtTrfTxInf`, with the header of the message as `GrpHdr`.

    For camt.053, a row for each `TxDtls` of an entry, or for an entry without details: the elements of the entry (`Ntry`) and,
    as `TxDtls`, of the details; `Stmt` has `Id` and `Acct` of the statement. `Amt` and `CdtDbtInd` are those of the details
    where these have their own. An entry of several payments without amounts of their own has none for each: their rows are
    rejected, and no sum is counted twice.

    Args:
        stream: bytes of an XML document, which may wrap the message in an envelope.

    Raises:
        SourceError: it is no XML, or not this message; names the line.
    """
    root, row_tag = _ROOTS[message], "CdtTrfTxInf" if message == "pacs.008" else "Ntry"
    path: list[str] = []
    found: list[str] = []
    context: dict[str, Any] = {}
    try:
        for event, element in ElementTree.iterparse(stream, ("start", "end")):
            name = _local(element.tag)
            if event == "start":
                path.append(name)
                if len(path) == 1 or path[-2] == "Document":
                    found.append(name)
                if name == "Stmt":
                    context = {}
                continue
            path.pop()
            parent = path[-1] if path else ""
            if parent == root and name == "GrpHdr" and message == "pacs.008":
                context = {"GrpHdr": _plain(element)}
            elif parent == "Stmt" and name in ("Id", "Acct"):
                context.setdefault("Stmt", {})[name] = _plain(element)
            elif name == row_tag and root in path:
                yield from _rows(element, message, context)
                # nothing is kept of what was read
                element.clear()
    except ElementTree.ParseError as error:
        raise SourceError(f"not well-formed XML: {error}") from None
    if root not in found:
        raise SourceError(f"expected a message {message} ({root}), found {' with '.join(found)}. Check `format`")


def _rows(element: ElementTree.Element, message: Message, context: dict[str, Any]) -> Iterator[dict[str, Any]]:
    plain = _plain(element)
    fields = dict(plain) if isinstance(plain, dict) else {}
    if message == "pacs.008":
        yield {**fields, **context}
        return
    fields.pop("NtryDtls", None)
    details = [_plain(each) for part in _children(element, "NtryDtls") for each in _children(part, "TxDtls")]
    for each in details or [{}]:
        each = each if isinstance(each, dict) else {}
        own = each.get("Amt") or _at(each, "AmtDtls", "TxAmt", "Amt") or (fields.get("Amt") if len(details) < 2 else None)
        direction = each.get("CdtDbtInd") or fields.get("CdtDbtInd")
        yield {**fields, **context, "Amt": own, "CdtDbtInd": direction, "TxDtls": each}


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if _local(child.tag) == name]


def _plain(element: ElementTree.Element) -> Any:
    """An element as text, or as an object of its children and attributes."""
    text = (element.text or "").strip()
    if not len(element) and not element.attrib:
        return text
    made: dict[str, Any] = {_local(name): value for name, value in element.attrib.items()}
    if text:
        made["value"] = text
    for child in element:
        name, value = _local(child.tag), _plain(child)
        if name not in made:
            made[name] = value
        elif isinstance(made[name], list):
            made[name].append(value)
        else:
            made[name] = [made[name], value]
    return made


def _local(tag: str) -> str:
    """A name without its namespace, which differs with the version of a message."""
    return tag.rpartition("}")[2]
