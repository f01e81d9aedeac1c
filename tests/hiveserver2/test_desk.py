"""`fraud desk` beside a HiveServer2: its alerts become cases, the page reads the customer there, and decisions go back."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from fraud_assets.desk.people import Accounts, Role
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from hive_io import HiveServer, HiveServer2Warehouse, Span
from tests.fraud_assets.cli.test_desk import served
from tests.fraud_assets.desk.site import PASSWORD, Person, fill_tables
from tests.fraud_fixtures import compute
from tests.services.processes import wait_until


def test_alerts_become_cases_and_a_decision_becomes_labels(
    tmp_path: Path, server: HiveServer, pytestconfig: pytest.Config
) -> None:
    accounts = Accounts(tmp_path / "users.json")
    accounts.put("ines", Role.INVESTIGATOR, PASSWORD)
    token = {"Authorization": f"Bearer {accounts.add_token('tickets', Role.INVESTIGATOR)}"}
    (tmp_path / "dagster").mkdir()
    env = {"DAGSTER_HOME": str(tmp_path / "dagster"), "FRAUD_DESK_USERS": str(accounts.file)}
    with closing(HiveServer2Warehouse(server)) as remote:
        fill_tables(remote)
        with served("--warehouse", pytestconfig.getoption("--hiveserver2"), **env) as (url, _):

            def opened() -> list[str]:
                answer = httpx.get(f"{url}/api/cases", params={"customer": "c1"}, headers=token, timeout=60)
                return [case["case_id"] for case in answer.raise_for_status().json()["cases"]]

            [case] = wait_until("a case of the alerts on the server", opened, 300)
            ines = Person(url)
            ines.sign_in("ines")

            def usual() -> str:
                # a page waits four seconds for the warehouse; the answer is there for the next
                page = ines.get(f"/cases/{case}").text
                return page if "Half of the payments in EUR are below 20.00 EUR" in page else ""

            page = wait_until("what the customer usually does", usual, 300)
            assert "Lyon" in page and "c8" in page and "same device" in page
            ines.post(f"/cases/{case}/decide", decision="fraud", reason_fraud="mule", **{"except:t2": "honest"})
            wait_until("decisions on the server", lambda: "2 decisions written" in ines.get("/day").text, 300)
            assert not re.search(r"failing since", ines.get("/day").text)
            ines.http.close()
        rows = remote.read("fintech.decisions").to_pylist()
        assert {(row["transaction_id"], row["decision"], row["decided_by"]) for row in rows} == {
            ("t1", "fraud", "ines"),
            ("t2", "honest", "ines"),
        }
        today = dt.date.fromisoformat(rows[0]["ds"])
        labels = compute(Engine(read_rule_book()), remote, "labels", Span.days(today, today))
    assert {(row["transaction_id"], row["is_fraud"], row["origin"]) for row in labels} == {
        ("t1", True, "decision"),
        ("t2", False, "decision"),
    }
