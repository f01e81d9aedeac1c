"""`fraud airflow export`: any text as an option is refused, or gives DAG files that Python reads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_bridge.export.render import CLOSE_DAY
from fraud_assets.cli.airflow import export
from tests.airflow_bridge.export.test_render import asset, files_of

BASE_URL = next(option for option in export.params if option.name == "dagster_url")


def accepted(url: str) -> str | None:
    """The URL as the option takes it; None if it is refused."""
    try:
        return str(BASE_URL.process_value(click.Context(export), url))
    except click.BadParameter as error:
        assert error.message
        return None


PARTS = ["http", "https", "javascript", "://", ":", "/", "a.example", "[::1]", "[", "@", "user:s3cret@", '"""', "'", "\\"]
PARTS += ["\n", "\0", "{{ x }}", ")", "](x)", "?q=1", "#f", "%", "\ud800", "é", "99999", "3000", " "]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=8).map("".join))
@example("http://127.0.0.1:3000/")
@example("https://[::1]:3000/prod")
def test_a_url_is_refused_or_a_link_in_files_that_python_reads(url: str) -> None:
    taken = accepted(url)
    if taken is None:
        return
    text = files_of(asset("table"), url=taken)[f"{CLOSE_DAY}.py"]
    ast.parse(text)
    assert f"[db/table in Dagster]({taken.rstrip('/')}/assets/db/table)" in text
    assert "@" not in text.partition("in Dagster](")[2].partition(")")[0]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3000", "https://dagster.example.org/prod/", "http://[::1]:3000", "http://host"]
)
def test_base_urls_are_taken(url: str) -> None:
    assert accepted(url) == url


OTHERS = ["", "dagster", "javascript:alert(1)", "http://", "http://h:99999", "http://h:0", "http://h/?a=1", "http://h/#a"]


@pytest.mark.parametrize("url", [*OTHERS, "http://h/ x", "http://h/)"])
def test_other_texts_are_refused(url: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(export, ["--out", str(tmp_path / "dags"), "--dagster-url", url])
    assert result.exit_code == 2 and "http://127.0.0.1:3000" in result.output
    assert not (tmp_path / "dags").exists()


def test_a_password_in_the_url_is_refused_and_not_shown(tmp_path: Path) -> None:
    result = CliRunner().invoke(export, ["--out", str(tmp_path / "dags"), "--dagster-url", "https://user:s3cret/x@h"])
    assert result.exit_code == 2 and "password" in result.output and "s3cret" not in result.output


@pytest.mark.long
def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/dags \xff\n"
    command = [sys.executable.encode(), b"-m", b"fraud_assets", b"airflow", b"export", b"--out", folder]
    for _ in range(2):
        result = subprocess.run(command, capture_output=True, check=False)
        assert result.returncode == 0 and b"Traceback" not in result.stderr, result.stderr
    assert {path.suffix for path in Path(os.fsdecode(folder)).iterdir()} == {".py"}
