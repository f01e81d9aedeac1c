"""The file of users and tokens."""

from __future__ import annotations

import stat
from pathlib import Path
from threading import Thread

import pytest

from fraud_assets.desk.people import LONGEST_PASSWORD, SHORTEST_PASSWORD, AccountError, Accounts, Role

GOOD = "a" * SHORTEST_PASSWORD


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "made" / "users.json")


def test_a_password_lets_in_and_stands_nowhere(accounts: Accounts) -> None:
    accounts.put("ines", Role.INVESTIGATOR, "correct horse battery")
    person = accounts.sign_in("ines", "correct horse battery")
    assert person is not None and person.role is Role.INVESTIGATOR
    assert "correct horse" not in accounts.file.read_text()
    for name, password in (("ines", "correct horse batter"), ("ines", ""), ("INES", "correct horse battery"), ("igor", GOOD)):
        assert accounts.sign_in(name, password) is None


def test_a_user_of_a_proxy_has_no_password_to_sign_in_with(accounts: Accounts) -> None:
    accounts.put("ines", Role.VIEWER, None)
    assert accounts.sign_in("ines", "") is None and accounts.sign_in("ines", "None") is None


def test_the_file_is_its_owners_only(accounts: Accounts) -> None:
    accounts.put("ines", Role.VIEWER, GOOD)
    accounts.put("igor", Role.VIEWER, GOOD)
    assert stat.S_IMODE(accounts.file.stat().st_mode) == 0o600


def test_a_change_by_another_process_counts_at_once(accounts: Accounts) -> None:
    other = Accounts(accounts.file)
    accounts.put("ines", Role.VIEWER, GOOD)
    assert other.sign_in("ines", GOOD) is not None
    accounts.remove("ines")
    assert other.person("ines") is None and other.people == []


def test_a_new_password_or_sign_out_ends_sessions(accounts: Accounts) -> None:
    stamps = set()
    for change in (lambda: accounts.put("ines", Role.LEAD, GOOD), lambda: accounts.put("ines", Role.LEAD, GOOD),
                   lambda: accounts.end_sessions("ines")):  # fmt: skip
        change()
        person = accounts.person("ines")
        assert person is not None
        stamps.add(person.stamp)
    assert len(stamps) == 3


def test_changes_at_once_lose_nobody(accounts: Accounts) -> None:
    threads = [Thread(target=Accounts(accounts.file).put, args=(f"user{number}", Role.VIEWER, None)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accounts.people) == 12


def test_the_secret_is_made_once(accounts: Accounts) -> None:
    secret = accounts.secret
    assert len(secret) == 64 and Accounts(accounts.file).secret == secret
    accounts.put("ines", Role.VIEWER, GOOD)
    assert accounts.secret == secret


def test_a_token_is_kept_as_a_hash_only(accounts: Accounts) -> None:
    token = accounts.add_token("tickets", Role.INVESTIGATOR)
    found = accounts.bearer(token)
    assert found is not None and (found.name, found.role) == ("tickets", Role.INVESTIGATOR)
    assert token not in accounts.file.read_text()
    assert accounts.bearer(token + "x") is None and accounts.bearer("") is None and accounts.bearer(found.digest) is None
    with pytest.raises(AccountError, match="tickets already"):
        accounts.add_token("tickets", Role.LEAD)
    accounts.remove_token("tickets")
    assert accounts.bearer(token) is None


@pytest.mark.parametrize("password", ["", GOOD[1:], "a" * (LONGEST_PASSWORD + 1)])
def test_a_password_has_a_length(password: str, accounts: Accounts) -> None:
    with pytest.raises(AccountError, match=f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD}"):
        accounts.put("ines", Role.VIEWER, password)
    assert not accounts.file.exists()


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a/b", "<b>", "x" * 65, "a\n", "system:x"])
def test_a_name_that_cannot_be_used(name: str, accounts: Accounts) -> None:
    with pytest.raises(AccountError, match="not a valid name"):
        accounts.put(name, Role.VIEWER, GOOD)


def test_nobody_takes_the_name_of_the_desk_itself(accounts: Accounts) -> None:
    for name in ("system", "System"):
        with pytest.raises(AccountError, match="system"):
            accounts.put(name, Role.LEAD, GOOD)
        with pytest.raises(AccountError, match="system"):
            accounts.add_token(name, Role.LEAD)


def test_names_that_are_not_there(accounts: Accounts) -> None:
    accounts.put("ines", Role.VIEWER, GOOD)
    with pytest.raises(AccountError, match="no user igor; the users are ines"):
        accounts.remove("igor")
    with pytest.raises(AccountError, match="no token x; the tokens are none"):
        accounts.remove_token("x")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"people": {}}', '{"secret": "s", "people": {"x": {"name": "x", "role": "king"}}}']
)
def test_a_damaged_file_is_an_error_and_stays(content: str, accounts: Accounts) -> None:
    accounts.file.parent.mkdir()
    accounts.file.write_text(content)
    with pytest.raises(AccountError, match=r"users\.json is not a file of users"):
        accounts.put("ines", Role.VIEWER, GOOD)
    assert accounts.file.read_text() == content
