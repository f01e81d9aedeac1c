"""The public names of `mock_sources`."""

from __future__ import annotations

from tests.public_names import assert_public_names


def test_public_names_are_sorted_complete_and_documented() -> None:
    assert_public_names("mock_sources")
