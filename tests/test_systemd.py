"""The units in `examples/systemd`: valid for systemd, and their commands exist with these options."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fraud_assets.cli.main import main
from fraud_assets.settings import PREFIX, Settings

FOLDER = Path(__file__).parents[1] / "examples" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
INSTALLED = "/opt/fraud/.venv/bin"
PROGRAMS = Path(sys.executable).parent


def command_of(unit: Path) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return shlex.split(parser["Service"]["ExecStart"])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    for other in UNITS:
        (tmp_path / other.name).write_text(other.read_text().replace(INSTALLED, str(PROGRAMS)))
    words = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)]
    done = subprocess.run(words, capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if line.startswith("fraud-") or str(tmp_path) in line]
    assert complaints == [] and done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_command_exists_with_these_options(unit: Path) -> None:
    program, *arguments = command_of(unit)
    assert program.startswith(INSTALLED + "/")
    if program.endswith("/fraud"):
        command = main.get_command(click.Context(main), arguments[0])
        assert command is not None
        command.make_context(arguments[0], arguments[1:])  # raises for an unknown option or a value that is refused
    else:
        words = [str(PROGRAMS / Path(program).name), *[word for word in arguments if not word.startswith("-")][:1], "--help"]
        if Path(program).name == "dagster-webserver":
            words = [words[0], "--help"]
        said = subprocess.run(words, capture_output=True, text=True).stdout
        assert [option for option in arguments if option.startswith("-") and option + "," not in said] == []


def test_the_environment_names_settings_that_exist() -> None:
    names = {line.lstrip("#").partition("=")[0] for line in (FOLDER / "fraud.env").read_text().splitlines() if "=" in line}
    assert "FRAUD_WAREHOUSE" in names
    assert names <= {PREFIX + name.upper() for name in Settings.model_fields} | {"DAGSTER_HOME"}
    assert {(unit.name, "EnvironmentFile=/etc/fraud/fraud.env" in unit.read_text()) for unit in UNITS} == {
        (f"fraud-{name}.service", True) for name in ("watch", "desk", "dagster-daemon", "dagster-webserver")
    }
