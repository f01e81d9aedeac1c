"""Addresses of HiveServer2s, and what is said when one cannot be used. Connections are in `tests/hiveserver2`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from hive_io import HiveServer, HiveServer2Warehouse, NotAWarehouse
from tests.services.processes import free_port


def test_an_address_is_read() -> None:
    server = HiveServer.of("hive://ann%40bank@hive.bank:10001/fintech?staging=/lake&grace=60&patience=5")
    assert server == HiveServer("hive.bank", Path("/lake"), 10001, "ann@bank", auth="NONE", grace=60.0, patience=5.0)


def test_defaults_of_an_address() -> None:
    assert HiveServer.of("hive://hive.bank?staging=/lake") == HiveServer("hive.bank", Path("/lake"))
    assert (HiveServer.of("hive://hive.bank?staging=/lake").port, HiveServer("h", Path("/l")).grace) == (10000, 3600.0)


def test_a_password_means_ldap_unless_the_address_says_otherwise() -> None:
    password = SecretStr("open-sesame")
    assert HiveServer.of("hive://ann@bank?staging=/lake", password).auth == "LDAP"
    assert HiveServer.of("hive://ann@bank?staging=/lake&auth=custom", password).auth == "CUSTOM"
    assert "sesame" not in repr(HiveServer.of("hive://ann@bank?staging=/lake", password))


def test_what_only_pyhive_knows_is_passed_on() -> None:
    server = HiveServer.of("hive://bank?staging=/lake&auth=KERBEROS&kerberos_service_name=hive")
    assert (server.auth, server.more) == ("KERBEROS", {"kerberos_service_name": "hive"})


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket/lake", "s3:// is not a warehouse; name a folder, or hive://user@host:10000/…"),
        ("hive://bank/fintech", "A HiveServer2 is named like hive://user@host:10000/fintech?staging="),
        ("hive:///fintech?staging=/lake", "A HiveServer2 is named like"),
        ("hive://bank?staging=/lake&stagin=x", "stagin is no option of hive://; there are staging, auth, grace, patience"),
        ("hive://ann:open-sesame@bank?staging=/lake", "A password does not belong into an address"),
        ("hive://ann:@bank?staging=/lake", "A password does not belong into an address"),
        ("hive://bank:ten?staging=/lake", "The address of the HiveServer2 cannot be read"),
        ("hive://bank?staging=/lake&grace=long", "The address of the HiveServer2 cannot be read"),
    ],
)
def test_an_address_that_cannot_be_used(address: str, said: str) -> None:
    with pytest.raises(NotAWarehouse, match=re.escape(said)) as error:
        HiveServer.of(address)
    assert "sesame" not in str(error.value)


def test_nobody_there_is_said_within_the_patience(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(NotAWarehouse, match=f"The HiveServer2 at 127.0.0.1:{port} does not answer .*is it running"):
        HiveServer2Warehouse(HiveServer("127.0.0.1", tmp_path, port, patience=0.5))


def test_an_authentication_that_pyhive_does_not_have(tmp_path: Path) -> None:
    server = HiveServer.of(f"hive://ann@127.0.0.1:{free_port()}?staging={tmp_path}&auth=PAM&patience=0.1")
    with pytest.raises(NotAWarehouse, match="cannot be asked with auth=PAM"):
        HiveServer2Warehouse(server)


def test_a_staging_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotAWarehouse, match="cannot be used for staged files"):
        HiveServer2Warehouse(HiveServer("127.0.0.1", tmp_path / "file" / "staged"))
