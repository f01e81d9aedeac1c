"""The source files in `examples/`, each on a few rows of the shape that its data have."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.ingestion.own_data.connectors.base import Context
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_check import TableReport, check_table
from fraud_assets.ingestion.own_data.source_file import read_source_file
from tests.services.kafka import PASSWORD, USER, Kafka

EXAMPLES = Path(__file__).parents[1] / "examples"
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def paysim(folder: Path) -> None:
    (folder / "PS_20174392719_1491204439457_log.csv").write_text(
        "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,isFlaggedFraud\n"
        "17,PAYMENT,38398.68,C1491813860,495340.53,456941.84,M1947091889,0.0,0.0,0.0,0.0\n"
        "8,CASH_OUT,65207.09,C105432010,11354.0,0.0,C1055477365,0.0,65207.09,1,0\n"
        "25,CASH_IN,1.5,C2,0.0,0.0,C3,0.0,0.0,1.0,0.0\n"
    )


def sparkov(folder: Path) -> None:
    (folder / "fraudTest.csv").write_text(
        ",trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,street,city,state,zip,lat,long,city_pop,job,dob,"
        "trans_num,unix_time,merch_lat,merch_long,is_fraud\n"
        '0,2020-06-21 12:14:25,4503101193493052864,"fraud_Swaniawski, Nitzsche and Welch",misc_net,2.86,Ann,Lee,F,1 A St,'
        'Cary,NC,00501,33.9,-80.9,333497,"Engineer, civil",1968-03-19,2da9,1371816865,33.986391,-81.2,1\n'
    )


def handbook(folder: Path) -> None:
    table = {
        "transaction_id": pa.array([0, 1], pa.int32()),
        "tx_datetime": pa.array([dt.datetime(2018, 4, 1, 0, 0, 31), dt.datetime(2018, 4, 1, 0, 2, 10)], pa.timestamp("ns")),
        "customer_id": pa.array([596, 4961], pa.int32()),
        "terminal_id": pa.array([3156, 3412], pa.int32()),
        "tx_amount": [57.16, 81.51],
        "tx_fraud": pa.array([0, 1], pa.int32()),
        "tx_fraud_scenario": pa.array([0, 2], pa.int32()),
    }
    pq.write_table(pa.table(table), folder / "handbook_transactions.parquet")


def bank(folder: Path) -> None:
    (folder / "export").mkdir()
    header = "Referenz;Buchungszeit;Betrag;Währung;Empfänger;Empfänger-IBAN;Konto;Buchungstext;Verwendungszweck"
    rows = [
        "R1;31.01.2026 13:45;-1.234,50;EUR;Müller & Söhne;DE02120300000000202051;DE89370400440532013000;KARTENZAHLUNG;Miete",
        "R2;01.07.2026 00:30;2.500,00;EUR;Arbeitgeber;DE02500105170137075030;DE89370400440532013000;GUTSCHRIFT;Gehalt",
        "R3;29.03.2026 02:30;-5,00;EUR;Kiosk;DE02100500000054540402;DE89370400440532013000;KARTENZAHLUNG;",
    ]
    (folder / "export" / "2026.csv").write_bytes("\r\n".join([header, *rows, ""]).encode("cp1252"))


def processor(folder: Path) -> None:
    (folder / "authorisations").mkdir()
    rows = [
        {
            "id": 12345678901234567890123,
            "created": 1767607200,
            "amount": {"value": 1250, "currency": currency},
            "merchant": {"id": "m1", "name": "Café", "mcc": "5812", "city": "Lyon", "country": "FR"},
            "card": {"token": "tok_1"},
            "cardholder": "c1",
            "kind": "sale",
            "entry": "chip",
            "result": result,
        }
        for currency, result in (("eur", "00"), ("jpy", "51"))
    ]
    rows[1]["id"] = "b"
    with gzip.open(folder / "authorisations" / "2026-01-05.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def ieee(folder: Path) -> None:
    (folder / "train_transaction.csv").write_text(
        "TransactionID,isFraud,TransactionDT,TransactionAmt,ProductCD,card1,card2,card3,card4,card5,card6,addr1,addr2,dist1,dist2,"
        "P_emaildomain,R_emaildomain,C1,D1,M1,V1\n"
        "2987000,0,86400,68.5,W,13926,,150,discover,142,credit,315,87,19,,,,1,14,T,1\n"
        "2987001,1,86401,29.125,C,2755,404,150,mastercard,102,credit,,,,,gmail.com,,1,0,,\n"
    )


def pacs(folder: Path) -> None:
    (folder / "pacs008").mkdir()
    payment = """
    <CdtTrfTxInf>
      <PmtId><InstrId>I{n}</InstrId><EndToEndId>E2E-{n}</EndToEndId><TxId>TX-{n}</TxId>{uetr}</PmtId>
      <IntrBkSttlmAmt Ccy="EUR">{amount}</IntrBkSttlmAmt><IntrBkSttlmDt>2026-01-05</IntrBkSttlmDt>{accepted}
      <ChrgBr>SHAR</ChrgBr>
      <Dbtr><Nm>Ann Lee</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>
      <DbtrAgt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></DbtrAgt>
      <CdtrAgt><FinInstnId><BICFI>BNPAFRPPXXX</BICFI></FinInstnId></CdtrAgt>
      <Cdtr><Nm>Caf\u00e9 &amp; Co</Nm></Cdtr><CdtrAcct><Id>{creditor}</Id></CdtrAcct>
      <Purp><Cd>SUPP</Cd></Purp><RmtInf><Ustrd>Invoice 1</Ustrd><Ustrd>and 2</Ustrd></RmtInf>
    </CdtTrfTxInf>"""
    first = payment.format(
        n=1,
        uetr="<UETR>eb6305c9-1f7f-49de-aed0-16487c27b42d</UETR>",
        amount="1234.50",
        accepted="<AccptncDtTm>2026-01-05T10:00:00+01:00</AccptncDtTm>",
        creditor="<IBAN>FR1420041010050500013M02606</IBAN>",
    )
    second = payment.format(n=2, uetr="", amount="7", accepted="", creditor="<Othr><Id>4711</Id></Othr>")
    (folder / "pacs008" / "2026-01-05.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08">'
        "<FIToFICstmrCdtTrf><GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-01-05T12:30:00</CreDtTm><NbOfTxs>2</NbOfTxs></GrpHdr>"
        f"{first}{second}</FIToFICstmrCdtTrf></Document>",
        encoding="utf-8",
    )


def camt(folder: Path) -> None:
    (folder / "camt053").mkdir()
    parties = (
        "<RltdPties><Dbtr><Pty><Nm>Ann Lee</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>"
        "<Cdtr><Pty><Nm>Shop</Nm></Pty></Cdtr><CdtrAcct><Id><IBAN>DE02100500000054540402</IBAN></Id></CdtrAcct></RltdPties>"
    )

    def entry(n: int, amount: str, kind: str, booked: str, details: str, status: str = "<Cd>BOOK</Cd>", more: str = "") -> str:
        return (
            f'<Ntry><NtryRef>{n}</NtryRef><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{kind}</CdtDbtInd>{more}<Sts>{status}</Sts>'
            f"<BookgDt>{booked}</BookgDt><ValDt><Dt>2026-01-05</Dt></ValDt><AcctSvcrRef>B{n}</AcctSvcrRef>"
            "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
            f"{details}</Ntry>"
        )

    def detail(reference: str, amount: str = "") -> str:
        own = f'<Amt Ccy="EUR">{amount}</Amt>' if amount else ""
        return f"<TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs>{own}{parties}</TxDtls>"

    day, moment = "<Dt>2026-01-05</Dt>", "<DtTm>2026-01-05T23:30:00+01:00</DtTm>"
    entries = [
        entry(1, "12.50", "DBIT", moment, f"<NtryDtls>{detail('one')}</NtryDtls>"),
        # a batch: each payment has its own amount
        entry(2, "30.00", "CRDT", day, f"<NtryDtls>{detail('a', '10.00')}{detail('b', '20.00')}</NtryDtls>", "BOOK"),
        # a batch that does not say what each payment was
        entry(3, "99.00", "DBIT", day, f"<NtryDtls>{detail('c')}{detail('d')}</NtryDtls>"),
        entry(4, "5.00", "DBIT", day, "", "<Cd>PDNG</Cd>"),
        entry(5, "6.00", "CRDT", day, "", more="<RvslInd>true</RvslInd>"),
    ]
    (folder / "camt053" / "statement.xml").write_text(
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>'
        "<Stmt><Id>S1</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>"
        f"{''.join(entries)}</Stmt></BkToCstmrStmt></Document>",
        encoding="utf-8",
    )


Expected = Mapping[str, Any]
CASES: dict[str, tuple[Callable[[Path], None], list[Expected], int]] = {
    "paysim": (
        paysim,
        [
            {"transaction_id": "PS_20174392719_1491204439457_log.csv:1", "event_time": dt.datetime(2026, 1, 1, 17)},
            {"transaction_type": "transfer_out", "counterparty_id": "C1055477365", "balance_before": Decimal("11354.00")},
            {"transaction_type": "transfer_in", "ds": "2026-01-02", "currency": None},
        ],
        2,
    ),
    "sparkov": (
        sparkov,
        [{"customer_id": "4503101193493052864", "merchant_id": "Swaniawski, Nitzsche and Welch", "channel": "online"}],
        1,
    ),
    "handbook": (
        handbook,
        [
            {"transaction_id": "0", "event_time": dt.datetime(2018, 4, 1, 0, 0, 31), "amount": Decimal("57.16")},
            {"customer_id": "4961", "merchant_id": "3412", "currency": None, "status": None},
        ],
        1,
    ),
    "european-bank": (
        bank,
        [
            {
                "amount": Decimal("1234.50"),
                "event_time": dt.datetime(2026, 1, 31, 12, 45),
                "transaction_type": "purchase",
                "merchant_name": "Müller & Söhne",
            },
            {"amount": Decimal("2500.00"), "event_time": dt.datetime(2026, 6, 30, 22, 30), "transaction_type": "transfer_in"},
        ],
        0,
    ),
    "card-processor": (
        processor,
        [
            {
                "transaction_id": "12345678901234567890123",
                "event_time": dt.datetime(2026, 1, 5, 10),
                "amount": Decimal("12.50"),
                "currency": "EUR",
                "merchant_city": "Lyon",
                "channel": "pos",
                "status": "approved",
                "decline_reason": None,
            },
            {"amount": Decimal("1250.00"), "currency": "JPY", "status": "declined", "decline_reason": "51"},
        ],
        0,
    ),
    "pacs-008": (
        pacs,
        [
            {
                "transaction_id": "eb6305c9-1f7f-49de-aed0-16487c27b42d",
                "event_time": dt.datetime(2026, 1, 5, 9),
                "amount": Decimal("1234.50"),
                "currency": "EUR",
                "merchant_country": "FR",
                "transaction_type": "transfer_out",
                "purpose": "SUPP",
                "creditor_bank": "BNPAFRPPXXX",
            },
            # without a time of its own, that of the message, in local time
            {"transaction_id": "TX-2", "event_time": dt.datetime(2026, 1, 5, 11, 30), "amount": Decimal("7.00")},
        ],
        0,
    ),
    "camt-053": (
        camt,
        [
            {
                "transaction_id": "B1/one",
                "event_time": dt.datetime(2026, 1, 5, 22, 30),
                "amount": Decimal("12.50"),
                "transaction_type": "transfer_out",
                "bank_code": "PMNT-ICDT-ESCT",
            },
            {"transaction_id": "B2/a", "event_time": dt.datetime(2026, 1, 4, 23), "amount": Decimal("10.00")},
            {"transaction_id": "B2/b", "amount": Decimal("20.00"), "currency": "EUR", "transaction_type": "transfer_in"},
        ],
        0,
    ),
    "ieee-cis": (
        ieee,
        [
            {"transaction_id": "2987000", "event_time": dt.datetime(2017, 12, 1), "customer_id": "13926-315"},
            {"customer_id": "2755-gmail.com", "amount": Decimal("29.13"), "merchant_id": "C"},
        ],
        1,
    ),
}


REFUSED = {
    # its third row is at a time that the clocks skip
    "european-bank": [("event_time_is_readable", 1)],
    # two payments whose amounts are not told
    "camt-053": [("amount_is_given", 2)],
}


def reports(folder: Path, name: str) -> dict[str, TableReport]:
    make, _, _ = CASES[name]
    make(folder)
    (folder / "source.yaml").write_text((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with MappedSource(read_source_file(folder / "source.yaml"), "key of a test") as source:
        return {table: check_table(source, table, 1_000, NOW) for table in source.file.tables}


@pytest.mark.parametrize("name", CASES)
def test_an_example_reads_data_of_its_shape(tmp_path: Path, name: str) -> None:
    _, expected, frauds = CASES[name]
    found = reports(tmp_path, name)
    rows = found["transactions"].rows
    assert rows is not None
    assert [{key: row[key] for key in want} for row, want in zip(rows.to_pylist(), expected, strict=True)] == expected
    assert all(report.unmapped == [] for report in found.values())
    labelled = found.get("fraud_reports")
    assert (labelled.valid if labelled else 0) == frauds
    refused = [(r.claim, r.rows) for r in found["transactions"].refusals]
    assert refused == REFUSED.get(name, [])


@pytest.mark.parametrize("name", ["european-bank", "pacs-008", "camt-053"])
def test_account_numbers_and_names_are_in_no_table(tmp_path: Path, name: str) -> None:
    report = reports(tmp_path, name)["transactions"]
    assert report.rows is not None
    shown = str([report.rows.to_pylist(), report.refusals])
    assert "DE89370400440532013000" not in shown and "Ann Lee" not in shown
    assert len(set(report.rows.column("customer_id").to_pylist())) == 1


def test_every_example_is_tested_and_listed() -> None:
    names = {file.stem for file in EXAMPLES.glob("*.yaml")}
    assert names == {*CASES, "kafka"}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name}.yaml)" in listed for name in names)


@pytest.mark.kafka
def test_the_example_of_kafka_reads_a_topic_of_its_shape(broker: Kafka, tmp_path: Path) -> None:
    at = 1767607200000
    row = {"event": "authorisation", "id": 7, "at": at, "amount": {"value": 1250, "currency": "EUR"}, "result": "NOK"}
    row["merchant"] = {"id": "m1", "name": "Caf\u00e9", "country": "FR"}
    broker.create("card-authorisations", partitions=2, retention_ms="-1")
    messages = [{"value": json.dumps(each), "key": "c1", "timestamp": at + 5} for each in (row, {"event": "settlement"})]
    broker.produce("card-authorisations", messages)
    text = (EXAMPLES / "kafka.yaml").read_text(encoding="utf-8")
    text = text.replace("broker1.example.com:9093,broker2.example.com:9093", broker.with_password)
    text = text.replace("SASL_SSL", "SASL_PLAINTEXT").replace("SCRAM-SHA-512", "PLAIN")
    text = text.replace("username: fraud", f"username: {USER}")
    (tmp_path / "source.yaml").write_text(text, encoding="utf-8")
    context = Context({"KAFKA_PASSWORD": PASSWORD}.get)
    with MappedSource(read_source_file(tmp_path / "source.yaml"), "key of a test", context=context) as source:
        report = check_table(source, "transactions", 1_000, NOW)
    assert report.rows is not None
    ((found,), left_out) = report.rows.to_pylist(), report.left_out
    assert (found["transaction_id"], found["amount"], found["status"], left_out) == ("7", Decimal("12.50"), "declined", 1)
    assert found["ingested_at"] - found["event_time"] == dt.timedelta(milliseconds=5)
    assert (report.unmapped, report.refusals) == ([], [])
