"""`fraud airflow export`: which files it writes, keeps and deletes, and its comparison with the graph."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from airflow_bridge.export.files import difference, write
from airflow_bridge.export.render import MARK
from fraud_assets.cli.main import main

FILES = {"one.py": f'"""{MARK}"""\n', "two.py": f"# {MARK}\nx = 1\n"}


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["airflow", "export", *map(str, arguments)])


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_unchanged_files_are_not_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dags"
    assert write(folder, FILES) == [folder / "one.py", folder / "two.py"]
    assert contents(folder) == FILES
    assert write(folder, FILES) == []


def test_only_obsolete_files_of_an_earlier_export_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text(f'"""{MARK}"""\n')
    (tmp_path / "theirs.py").write_text("from airflow.sdk import DAG\n")
    (tmp_path / "notes.txt").write_text(MARK)
    assert write(tmp_path, FILES)[-1] == tmp_path / "gone.py"
    assert set(contents(tmp_path)) == {*FILES, "theirs.py", "notes.txt"}


def test_the_difference_is_a_unified_diff(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    assert difference(tmp_path, FILES) == ""
    (tmp_path / "two.py").write_text(f"# {MARK}\nx = 2")
    (tmp_path / "one.py").unlink()
    (tmp_path / "gone.py").write_text(f"# {MARK}\n")
    assert difference(tmp_path, FILES).splitlines() == [
        f"--- {tmp_path}/gone.py",
        "+++ /dev/null",
        "@@ -1 +0,0 @@",
        f"-# {MARK}",
        "--- /dev/null",
        f"+++ {tmp_path}/one.py",
        "@@ -0,0 +1 @@",
        f'+"""{MARK}"""',
        f"--- {tmp_path}/two.py",
        f"+++ {tmp_path}/two.py",
        "@@ -1,2 +1,2 @@",
        f" # {MARK}",
        "-x = 2",
        "\\ No newline at end of file",
        "+x = 1",
    ]


def test_other_line_endings_are_a_difference(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "two.py").write_bytes(FILES["two.py"].replace("\n", "\r\n").encode())
    assert difference(tmp_path, FILES)
    assert write(tmp_path, FILES) == [tmp_path / "two.py"]


@pytest.mark.parametrize("version", ["3", "2"])
def test_the_command_writes_both_dags_and_checks_them(tmp_path: Path, version: str) -> None:
    assert export("--out", tmp_path, "--airflow", version).exit_code == 0
    assert set(contents(tmp_path)) == {"fraud_close_day.py", "fraud_refresh_today.py"}
    checked = export("--check", "--out", tmp_path, "--airflow", version)
    assert (checked.exit_code, checked.stdout) == (0, "")
    assert "up to date" in export("--out", tmp_path, "--airflow", version).output


def test_check_reports_a_changed_graph_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export("--out", tmp_path)
    before = contents(tmp_path)
    monkeypatch.setenv("FRAUD_FIRST_DAY", "2026-02-03")
    checked = export("--check", "--out", tmp_path)
    assert checked.exit_code == 1
    assert '+    start_date=pendulum.datetime(2026, 2, 4, tz="UTC"),' in checked.stdout
    assert contents(tmp_path) == before


def test_check_reports_files_for_the_other_airflow(tmp_path: Path) -> None:
    export("--out", tmp_path, "--airflow", "2")
    checked = export("--check", "--out", tmp_path)
    assert checked.exit_code == 1 and "+from airflow.sdk import DAG, Asset, CronPartitionTimetable, TaskGroup" in checked.stdout


def test_check_reports_a_missing_folder_and_does_not_create_it(tmp_path: Path) -> None:
    checked = export("--check", "--out", tmp_path / "none")
    assert checked.exit_code == 1 and "+++ " in checked.stdout
    assert not (tmp_path / "none").exists()


def test_the_link_to_dagster_is_an_option(tmp_path: Path) -> None:
    export("--out", tmp_path, "--dagster-url", "https://dagster.example.org/prod/")
    text = contents(tmp_path)["fraud_close_day.py"]
    assert "https://dagster.example.org/prod/assets/fintech/fraud_alerts" in text
    assert "127.0.0.1" not in text


def test_a_folder_that_cannot_be_created_is_an_error_without_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = export("--out", tmp_path / "file" / "dags")
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert str(tmp_path / "file" / "dags") in result.output and "Not a directory" in result.output
