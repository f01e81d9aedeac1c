"""Messages of ISO 20022: what a row is made of, and files that are broken or something else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.own_data.connectors.files import FileLayout, FilesConnector
from fraud_assets.ingestion.own_data.connectors.iso20022 import Message, payments

PACS = "<FIToFICstmrCdtTrf><GrpHdr><MsgId>M</MsgId></GrpHdr>{}</FIToFICstmrCdtTrf>"
CAMT = "<BkToCstmrStmt><GrpHdr/>{}</BkToCstmrStmt>"


def rows(content: str, message: Message) -> list[dict[str, Any]]:
    return [*payments(io.BytesIO(f"<Document>{content}</Document>".encode()), message)]


def test_attributes_and_repeated_elements_are_kept() -> None:
    payment = '<CdtTrfTxInf><Amt Ccy="EUR"> 12.50 </Amt><Inf><U>a</U><U>b</U><U>c</U></Inf><Empty/></CdtTrfTxInf>'
    assert rows(PACS.format(payment), "pacs.008") == [
        {"Amt": {"Ccy": "EUR", "value": "12.50"}, "Inf": {"U": ["a", "b", "c"]}, "Empty": "", "GrpHdr": {"MsgId": "M"}}
    ]


def test_each_statement_has_its_own_account() -> None:
    statement = "<Stmt><Id>{0}</Id><Acct><Id><IBAN>A{0}</IBAN></Id></Acct><Ntry><Amt>{0}</Amt></Ntry></Stmt>"
    found = rows(CAMT.format(statement.format(1) + statement.format(2) + "<Stmt><Id>3</Id></Stmt>"), "camt.053")
    assert [(row["Amt"], row["Stmt"]["Acct"]["Id"]["IBAN"]) for row in found] == [("1", "A1"), ("2", "A2")]


def test_details_have_their_own_amount_and_direction() -> None:
    details = (
        "<NtryDtls><TxDtls><Amt>1</Amt><CdtDbtInd>CRDT</CdtDbtInd></TxDtls></NtryDtls>"
        "<NtryDtls><TxDtls><AmtDtls><TxAmt><Amt>2</Amt></TxAmt></AmtDtls></TxDtls></NtryDtls>"
    )
    entry = f"<Ntry><Amt>3</Amt><CdtDbtInd>DBIT</CdtDbtInd>{details}</Ntry>"
    found = rows(CAMT.format(f"<Stmt>{entry}</Stmt>"), "camt.053")
    assert [(row["Amt"], row["CdtDbtInd"]) for row in found] == [("1", "CRDT"), ("2", "DBIT")]


def test_a_message_in_an_envelope_with_a_header_is_found() -> None:
    document = f"<E><AppHdr><Id>x</Id></AppHdr><Document>{PACS.format('<CdtTrfTxInf><A>1</A></CdtTrfTxInf>')}</Document></E>"
    assert [row["A"] for row in payments(io.BytesIO(document.encode()), "pacs.008")] == ["1"]


def test_a_statement_without_entries_has_no_rows() -> None:
    assert rows(CAMT.format("<Stmt><Id>1</Id></Stmt>"), "camt.053") == []


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("<Document><FIToFICstmrCdtTrf><CdtTrfTxInf>\n<A>1</A></CdtTrfTxInf>\n<CdtTr", "not well-formed XML.*line 3"),
        (f"<Document>{CAMT.format('')}</Document>", r"expected a message pacs\.008.*found Document with BkToCstmrStmt.*format"),
        ("id,amount\n1,2\n", "not well-formed XML.*line 1"),
        ("<a><b/></a>", r"expected a message pacs\.008.*found a\."),
    ],
)
def test_a_broken_file_among_others_is_named(tmp_path: Path, content: str, part: str) -> None:
    good = f"<Document>{PACS.format('<CdtTrfTxInf><A>1</A></CdtTrfTxInf>')}</Document>"
    for name in ("a", "c"):
        (tmp_path / f"{name}.xml").write_text(good)
    (tmp_path / "b.xml").write_text(content)
    with pytest.raises(SourceError, match=rf"b\.xml: {part}"):
        [*FilesConnector(FileLayout(tmp_path / "*.xml", "pacs.008")).pages()]


def test_entities_are_not_expanded_without_end(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE d [<!ENTITY e0 "{"x" * 100}">{entities}]><Document><A>&e11;</A></Document>'
    (tmp_path / "a.xml").write_text(bomb)
    with pytest.raises(SourceError, match="not well-formed XML"):
        [*FilesConnector(FileLayout(tmp_path / "a.xml", "pacs.008")).pages()]


def test_paths_into_a_payment_are_json(tmp_path: Path) -> None:
    payment = '<CdtTrfTxInf><PmtId><TxId>T</TxId></PmtId><Amt Ccy="EUR">1</Amt></CdtTrfTxInf>'
    (tmp_path / "a.xml").write_text(f"<Document>{PACS.format(payment)}</Document>", encoding="utf-8")
    (page,) = FilesConnector(FileLayout(tmp_path / "a.xml", "pacs.008")).pages()
    (row,) = page.rows.to_pylist()
    assert (json.loads(row["PmtId"]), json.loads(row["Amt"]), row["_row"]) == ({"TxId": "T"}, {"Ccy": "EUR", "value": "1"}, 1)
