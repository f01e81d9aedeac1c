"""The DAG files as text: content, stability, formatting. tests/airflow loads them in a real Airflow."""

from __future__ import annotations

import ast
import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_bridge.export.graph import Asset, AssetGraph, Check, Grain, Read, Retries, read_graph, tasks
from airflow_bridge.export.render import CLOSE_DAY, REFRESH_TODAY, VERSIONS, render
from fraud_assets.definitions import JOB, build_definitions
from fraud_assets.settings import read_settings

URL = "https://dagster.example.org"
FIRST_DAY = dt.date(2026, 1, 5)


def asset(name: str, *reads: Read, **more: Any) -> Asset:
    given: dict[str, Any] = {
        "key": f"db/{name}",
        "step": name,
        "group": "stage",
        "description": f"What {name} is.",
        "owners": ("team:data",),
        "tags": (),
        "kinds": (),
        "reads": reads,
        "outside": (),
        "checks": (),
        "retries": None,
        "freshness": None,
    }
    return Asset(**{**given, **more})


def files_of(*assets: Asset, version: str = "3", grain: Grain = Grain.STEP, url: str = URL) -> dict[str, str]:
    graph = AssetGraph("the_job", FIRST_DAY, {a.key: a for a in assets})
    return dict(render(graph, tasks(graph, grain), VERSIONS[version], url))


def calls(text: str) -> dict[str, dict[str, Any]]:
    """The arguments of each task's operator, by task id."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MaterializeAssets":
            arguments = {k.arg: k.value for k in node.keywords if k.arg}
            found[ast.literal_eval(arguments["task_id"])] = arguments
    return found


def values(text: str, task: str, *names: str) -> list[Any]:
    return [ast.literal_eval(calls(text)[task][name]) for name in names]


def doc(text: str, task: str) -> str:
    node = calls(text)[task]["doc_md"]
    assert isinstance(node, ast.Call)
    lines = str(ast.literal_eval(node.args[0])).split("\n")
    return " ".join(" ".join(lines).split())


def edges(text: str) -> set[tuple[str, str]]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
            right = node.right.elts if isinstance(node.right, ast.List) else [node.right]
            found |= {(ast.unparse(node.left), ast.unparse(name)) for name in right}
    return found


@pytest.fixture(scope="module", params=["3", "2"])
def pipeline(request: pytest.FixtureRequest) -> dict[str, str]:
    graph = read_graph(build_definitions(read_settings()), JOB)
    return dict(render(graph, tasks(graph, Grain.STEP), VERSIONS[request.param], URL))


# --- formatters, stability --------------------------------------------------------------------------------------------

ODD = [
    asset("plain"),
    asset(
        "class", Read("db/plain", 0, 0), description='Says "yes" and \'no\', costs 3 €, path C:\\new, and """three""" quotes.'
    ),
    asset("pendulum", Read("db/class", -1, 0), Read("db/plain", -3, -3), owners=(), group="a_much_longer_stage_name"),
    asset(
        "x" * 70,
        Read("db/pendulum", 0, 0),
        owners=tuple(f"team:{'y' * 12}_{n}" for n in range(6)),
        outside=("there",),
        group="a_much_longer_stage_name",
    ),
]


@pytest.mark.parametrize("width", [88, 128])
def test_formatters_leave_the_files_alone(pipeline: dict[str, str], tmp_path: Path, width: int) -> None:
    odd = {
        f"odd_{v}_{g.value}_{n}": t
        for v in VERSIONS
        for g in (Grain.STEP, Grain.STAGE)
        for n, t in files_of(*ODD, version=v, grain=g).items()
    }
    for name, text in {**pipeline, **odd}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    # in a folder of their own, as in a DAG repository, where airflow_bridge is sorted with the third-party imports
    for command in (["format", "--diff", "--line-length", str(width)], ["check", "--select", "E4,E7,E9,F,W,I,UP,B,SIM"]):
        ruff = [sys.executable, "-m", "ruff", command[0], "--isolated", *command[1:], "."]
        result = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[:2000]


def test_the_same_graph_gives_the_same_bytes_in_another_process(pipeline: dict[str, str]) -> None:
    code = (
        "import sys; from tests.airflow_bridge.export.test_render import *\n"
        "graph = read_graph(build_definitions(read_settings()), JOB)\n"
        "for v in VERSIONS.values(): sys.stdout.write(''.join(render(graph, tasks(graph, Grain.STEP), v, URL).values()))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            cwd=Path(__file__).parents[3],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert "".join(pipeline.values()) in outputs[0]


def test_airflow_finds_them_in_safe_mode(pipeline: dict[str, str]) -> None:
    for text in pipeline.values():
        assert "dag" in text.lower() and "airflow" in text.lower()


def test_imports_are_those_of_one_airflow_version(pipeline: dict[str, str]) -> None:
    for text in pipeline.values():
        imported = {n.module or "" for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)}
        ours = {"airflow_bridge.in_airflow.operators", "datetime", "inspect"}
        theirs = imported - ours
        assert ours <= imported
        assert theirs == {"airflow.sdk"} or all(
            name.split(".")[1] in {"datasets", "models", "timetables", "utils"} for name in theirs
        )


# --- the pipeline -----------------------------------------------------------------------------------------------------


def test_both_dags_have_every_task_and_every_edge(pipeline: dict[str, str]) -> None:
    assert sorted(pipeline) == [f"{CLOSE_DAY}.py", f"{REFRESH_TODAY}.py"]
    graph = read_graph(build_definitions(read_settings()), JOB)
    expected = {(before, task.name) for task in tasks(graph, Grain.STEP) for before in (*task.upstream, *task.after)}
    for text in pipeline.values():
        assert edges(text) == expected
        assert sorted(key for task in calls(text) for key in values(text, task, "asset_keys")[0]) == sorted(graph.assets)


def test_only_the_closing_dag_has_outlets(pipeline: dict[str, str]) -> None:
    outlet = ast.unparse(calls(pipeline[f"{CLOSE_DAY}.py"])["fraud_alerts"]["outlets"])
    assert outlet in (
        "[Asset('fintech.fraud_alerts', 'hive://fintech/fraud_alerts')]",
        "[Dataset('hive://fintech/fraud_alerts')]",
    )
    assert "outlets=" not in pipeline[f"{REFRESH_TODAY}.py"]


def test_a_task_with_a_lookback_waits_and_says_why(pipeline: dict[str, str]) -> None:
    for text in pipeline.values():
        assert values(text, "customer_profiles", "wait_for") == [[("fintech/customer_daily_activity", -1)]]
        assert "# reads fintech/customer_daily_activity of the 90 days before\n" in text
        assert "max_active_runs=1" in text


# --- details ----------------------------------------------------------------------------------------------------------


def test_schedules() -> None:
    three, two = files_of(asset("a")), files_of(asset("a"), version="2")
    close, refresh = three[f"{CLOSE_DAY}.py"], three[f"{REFRESH_TODAY}.py"]
    schedule = """schedule=CronPartitionTimetable(
        "0 0 * * *",
        timezone="UTC",
        run_offset=-1,
        key_format="%Y-%m-%d",
    )"""
    assert schedule in close
    assert "2026, 1, 6, tz" in close, "the first run starts when the first day has ended"
    assert '"30 * * * *"' in refresh and "run_offset" not in refresh and "2026, 1, 5, tz" in refresh
    assert 'schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC")' in two[f"{CLOSE_DAY}.py"]
    assert "2026, 1, 5, tz" in two[f"{CLOSE_DAY}.py"], "the first interval is the first day"
    assert 'schedule=CronTriggerTimetable("30 * * * *", timezone="UTC")' in two[f"{REFRESH_TODAY}.py"]


def test_a_task_documents_its_asset() -> None:
    table = asset(
        "table",
        Read("db/source", -7, -1),
        Read("db/other", 0, 0),
        description="What it is.",
        owners=("a@example.org", "team:data"),
        kinds=("sql",),
        tags=(("severity", "high"),),
        outside=("db/elsewhere",),
        checks=(Check("rows_exist", "There is a row.", True), Check("rows_are_many", "", False)),
        retries=Retries(3, dt.timedelta(seconds=90)),
        freshness="stale after a day",
    )
    text = files_of(asset("source"), asset("other"), table)[f"{CLOSE_DAY}.py"]
    assert values(text, "table", "owner", "retries") == ["a@example.org, data", 3]
    assert ast.unparse(calls(text)["table"]["retry_delay"]) == "timedelta(seconds=90)"
    assert doc(text, "table") == (
        "What it is. - Reads `db/source` (the 7 days before), `db/other` (same day), `db/elsewhere` (external). "
        "- Blocking check `rows_exist`: There is a row. - Check `rows_are_many`: no description. "
        "- Freshness: stale after a day. - Tags: sql, severity high. - [db/table in Dagster](https://dagster.example.org/assets/db/table)"
    )
    assert "retries" not in calls(text)["source"]


def test_a_description_is_not_changed() -> None:
    text = doc(files_of(*ODD)[f"{CLOSE_DAY}.py"], "class")
    assert text.startswith('Says "yes" and \'no\', costs 3 €, path C:\\new, and """three""" quotes. - Reads')


def test_a_task_of_several_assets_names_each() -> None:
    text = files_of(asset("good", step="both"), asset("bad", Read("db/good", -1, -1), step="both"))[f"{CLOSE_DAY}.py"]
    assert values(text, "both", "asset_keys", "wait_for") == [["db/good", "db/bad"], [("db/good", -1)]]
    assert doc(text, "both").startswith("**db/good** What good is. - [db/good in Dagster]")
    assert "# db/bad reads db/good of the day before\n" in text


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (0, 0, "same day"),
        (-1, -1, "the day before"),
        (-1, 0, "same day and the day before"),
        (-5, 0, "same day and the 5 days before"),
        (-9, -3, "9 to 3 days before"),
        (-2, -2, "2 days before"),
    ],
)
def test_days_in_words(first: int, last: int, words: str) -> None:
    text = files_of(asset("a"), asset("b", Read("db/a", first, last)))[f"{CLOSE_DAY}.py"]
    assert f"Reads `db/a` ({words})." in doc(text, "b")


def test_a_variable_is_neither_a_keyword_nor_an_imported_name() -> None:
    text = files_of(*ODD)[f"{CLOSE_DAY}.py"]
    assert edges(text) >= {("plain", "class_"), ("class_", "pendulum_")}
    assert set(calls(text)) == {"plain", "class", "pendulum", "x" * 70}


def test_a_link_does_not_depend_on_a_slash_at_the_end() -> None:
    assert files_of(asset("a"), url=URL + "/") == files_of(asset("a"), url=URL)
