"""Addresses of HiveServer2s, and the errors for those that cannot be used. Real connections are in `tests/hiveserver2`."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from hive_io import HiveServer, HiveServer2Warehouse, NotAWarehouse
from tests.services.processes import free_port


def test_an_address_is_parsed() -> None:
    server = HiveServer.of("hive://ann%40bank@hive.bank:10001/fintech?staging=/lake&grace=60&patience=5")
    assert server == HiveServer("hive.bank", Path("/lake"), 10001, "ann@bank", auth="NONE", grace=60.0, patience=5.0)


def test_defaults_of_an_address() -> None:
    assert HiveServer.of("hive://hive.bank?staging=/lake") == HiveServer("hive.bank", Path("/lake"))
    assert (HiveServer.of("hive://hive.bank?staging=/lake").port, HiveServer("h", Path("/l")).grace) == (10000, 3600.0)


def test_a_password_implies_ldap_unless_the_address_has_auth() -> None:
    password = SecretStr("open-sesame")
    assert HiveServer.of("hive://ann@bank?staging=/lake", password).auth == "LDAP"
    assert HiveServer.of("hive://ann@bank?staging=/lake&auth=custom", password).auth == "CUSTOM"
    assert "sesame" not in repr(HiveServer.of("hive://ann@bank?staging=/lake", password))


def test_further_options_are_passed_to_pyhive() -> None:
    server = HiveServer.of("hive://bank?staging=/lake&auth=KERBEROS&kerberos_service_name=hive")
    assert (server.auth, server.more) == ("KERBEROS", {"kerberos_service_name": "hive"})


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("s3://bucket/lake", ["s3://", "not a warehouse", "folder", "hive://user@host:10000/"]),
        ("hive://bank/fintech", ["lacks staging", "hive://user@host:10000/fintech?staging="]),
        ("hive:///fintech?staging=/lake", ["lacks a host", "hive://user@host:10000/fintech?staging="]),
        ("hive://bank?staging=/lake&stagin=x", ["stagin ", "not an option", "staging, auth, grace, patience"]),
        ("hive://ann:open-sesame@bank?staging=/lake", ["password does not belong", "separately"]),
        ("hive://ann:@bank?staging=/lake", ["password does not belong", "separately"]),
        ("hive://bank:ten?staging=/lake", ["not valid", "port", "number"]),
        ("hive://bank:70000?staging=/lake", ["not valid", "port", "65535"]),
        ("hive://bank?staging=/lake&grace=long", ["not valid", "grace", "'long'", "number"]),
        ("hive://bank?staging=/lake&patience=nan", ["not valid", "patience", "'nan'", "number"]),
        ("hive://bank?staging=/lake&grace=-5", ["not valid", "grace", "'-5'", "number"]),
    ],
)
def test_an_address_that_cannot_be_used_is_rejected_with_the_reason(address: str, facts: list[str]) -> None:
    with pytest.raises(NotAWarehouse) as error:
        HiveServer.of(address)
    assert [fact for fact in facts if fact not in str(error.value)] == []
    assert "sesame" not in str(error.value)


def test_a_server_that_is_not_there_is_reported_within_the_patience(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(NotAWarehouse, match=f"127.0.0.1:{port} does not answer .*start it"):
        HiveServer2Warehouse(HiveServer("127.0.0.1", tmp_path, port, patience=0.5))


def test_an_authentication_that_pyhive_lacks_is_named(tmp_path: Path) -> None:
    server = HiveServer.of(f"hive://ann@127.0.0.1:{free_port()}?staging={tmp_path}&auth=PAM&patience=0.1")
    with pytest.raises(NotAWarehouse, match=r"auth=PAM.*LDAP"):
        HiveServer2Warehouse(server)


def test_a_staging_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotAWarehouse, match=f"{tmp_path}/file/staged .*Not a directory"):
        HiveServer2Warehouse(HiveServer("127.0.0.1", tmp_path / "file" / "staged"))


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "100%25", "a#b", "a?b", "[a]", "{a,b}", "back\\slash", "*"])
def test_a_staging_folder_that_servers_misread_is_refused(tmp_path: Path, name: str) -> None:
    for staging in (tmp_path / name, tmp_path / "link"):
        if not (tmp_path / "link").is_symlink():
            (tmp_path / "link").symlink_to(tmp_path / name, target_is_directory=True)
        with pytest.raises(NotAWarehouse, match=r"in its path.*use another folder"):
            HiveServer2Warehouse(HiveServer("127.0.0.1", staging, port=free_port()))
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
