"""The client against a real Dagster webserver, in some tests through a proxy that simulates network faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_bridge.errors import (
    AccessDenied,
    BadConnection,
    CheckFailed,
    DagsterUnreachable,
    LaunchRefused,
    NoPartition,
    RunCanceled,
    RunFailed,
    UnexpectedAnswer,
    UnknownAsset,
)
from airflow_bridge.in_airflow.dagster_graphql import Address, DagsterClient, PartitionState, Run
from tests.airflow_runtime.faulty_proxy import FaultyProxy
from tests.airflow_runtime.webserver import Webserver, free_port

pytestmark = pytest.mark.slow

JOB = "sample_job"


@pytest.fixture
def proxy(webserver: Webserver) -> Iterator[FaultyProxy]:
    with FaultyProxy(webserver.url).running() as proxy:
        yield proxy


def ended(client: DagsterClient, run: Run, seconds: float = 120) -> Run:
    until = time.monotonic() + seconds
    while not run.ended:
        assert time.monotonic() < until, f"{run.run_id} is {run.status} after {seconds} s"
        time.sleep(0.2)
        run = client.run(run.run_id)
    return run


def launch(client: DagsterClient, *assets: str, day: str | None = "2026-01-05", job: str | None = JOB) -> Run:
    return client.launch([f"sample/{asset}" for asset in assets], job=job, partition=day, tags={"a": "b"})


@pytest.mark.parametrize("job", [JOB, None])
def test_a_run_materializes_only_the_requested_assets(client: DagsterClient, job: str | None) -> None:
    day = "2026-01-02" if job else "2026-01-03"
    run = ended(client, launch(client, "plain", "other", day=day, job=job))
    assert run.status == "SUCCESS"
    assert run.assets == {"sample/plain", "sample/other"}
    assert {"a": "b", "dagster/partition": day}.items() <= run.tags.items()
    assert client.partition_state("sample/plain", day) == PartitionState(materialized=True, before_first=False)
    assert client.partition_state("sample/ten_seconds", day) == PartitionState(materialized=False, before_first=False)


def test_a_partition_before_the_first_is_recognized(client: DagsterClient) -> None:
    assert client.partition_state("sample/plain", "2025-12-31") == PartitionState(materialized=False, before_first=True)
    with pytest.raises(NoPartition, match=r"sample/unpartitioned has no partitions .*2026-01-01"):
        client.partition_state("sample/unpartitioned", "2026-01-01")


def test_runs_are_found_by_all_their_tags(client: DagsterClient) -> None:
    first = client.launch(["sample/plain"], job=JOB, partition="2026-01-06", tags={"x": "1", "y": "1"})
    second = client.launch(["sample/plain"], job=JOB, partition="2026-01-06", tags={"x": "1", "y": "2"})
    assert [run.run_id for run in client.find_runs({"x": "1"})] == [second.run_id, first.run_id]
    assert [run.run_id for run in client.find_runs({"x": "1", "y": "1"})] == [first.run_id]
    assert client.find_runs({"x": "2"}) == []


def test_a_failed_step_is_named_with_its_cause(client: DagsterClient) -> None:
    run = ended(client, launch(client, "raising"))
    error = client.failure(run)
    assert type(error) is RunFailed
    assert str(error) == (
        f"Run {run.run_id}: step sample__raising failed: ValueError: the source gave 3 rows: too few. "
        f"{client.address.url}/runs/{run.run_id}"
    )


def test_a_failed_blocking_check_is_named_with_its_metadata(client: DagsterClient) -> None:
    run = ended(client, launch(client, "checked", "behind_checked", day="2026-01-07"))
    error = client.failure(run)
    assert type(error) is CheckFailed
    message = str(error)
    assert "check rows_are_enough of sample/checked failed: Fewer rows than on any day of the last month" in message
    for value in ("rows: 3", "share: 0.25", "broken claims: amount > 0, 7"):
        assert value in message
    assert client.partition_state("sample/checked", "2026-01-07").materialized
    assert not client.partition_state("sample/behind_checked", "2026-01-07").materialized


def test_a_failed_step_takes_precedence_over_a_failed_check(client: DagsterClient) -> None:
    run = ended(client, launch(client, "checked", "raising", day="2026-01-08"))
    error = client.failure(run)
    assert type(error) is RunFailed
    assert "step sample__raising failed" in str(error)
    assert "check rows_are_enough" in str(error)


def test_a_run_is_stopped(client: DagsterClient) -> None:
    run = launch(client, "slow")
    while client.run(run.run_id).status != "STARTED":
        time.sleep(0.2)
    client.terminate(run.run_id)
    run = ended(client, run)
    assert run.status == "CANCELED"
    assert type(client.failure(run)) is RunCanceled
    client.terminate(run.run_id)
    assert client.run(run.run_id).status == "CANCELED"


def test_a_run_that_is_starting_is_stopped_and_stays_stopped(client: DagsterClient) -> None:
    run = launch(client, "slow")
    client.terminate(run.run_id)
    assert ended(client, run).status == "CANCELED"
    time.sleep(5)
    assert client.run(run.run_id).status == "CANCELED"


def test_a_run_that_was_created_and_never_launched_is_canceled(webserver: Webserver, client: DagsterClient) -> None:
    run_id = webserver.create_run_without_launching_it()
    client.terminate(run_id, within=1)
    assert client.run(run_id).status == "CANCELED"


@pytest.mark.parametrize(
    ("assets", "day", "job", "error", "message"),
    [
        (["no_such_asset"], "2026-01-05", JOB, UnknownAsset, "has no asset sample/no_such_asset; export the DAGs again"),
        (["plain"], "2026-01-05", "no_such_job", UnknownAsset, "no job no_such_job in sample_assets.py; its jobs: sample_job"),
        (["plain"], "2026-02-01", JOB, NoPartition, "it has 2026-01-01 to 2026-01-31"),
        (["plain"], "2025-12-31", JOB, NoPartition, "sample/plain has no partition 2025-12-31"),
        (["plain"], "yesterday", JOB, NoPartition, "sample/plain has no partition yesterday"),
        (["unpartitioned"], "2026-01-05", None, NoPartition, "it has no partitions"),
    ],
)
def test_a_launch_that_cannot_succeed_is_refused(
    client: DagsterClient, assets: list[str], day: str | None, job: str | None, error: type[Exception], message: str
) -> None:
    before = [run.run_id for run in client.find_runs({"a": "b"})]
    with pytest.raises(error, match=message):
        launch(client, *assets, day=day, job=job)
    assert [run.run_id for run in client.find_runs({"a": "b"})] == before


def test_a_deleted_run_is_an_error(client: DagsterClient) -> None:
    with pytest.raises(RunFailed, match="Dagster has no run 00000000-0000-0000-0000-000000000000"):
        client.run("00000000-0000-0000-0000-000000000000")


def test_the_code_location_can_be_named(client: DagsterClient) -> None:
    named = replace(client.address, location="sample_assets.py", repository="__repository__")
    with DagsterClient(named) as other:
        assert ended(other, launch(other, "plain")).status == "SUCCESS"
    for wrong in (replace(named, location="another"), replace(named, repository="another")):
        with DagsterClient(wrong) as other, pytest.raises(BadConnection, match="code location"):
            launch(other, "plain")


def test_a_code_location_that_does_not_load_is_reported_as_such(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('the rule files cannot be read')\n", encoding="utf-8")
    server = Webserver(tmp_path / "home", module=broken)
    server.start()
    try:
        with DagsterClient(Address(server.url)) as client:
            for request in (lambda: launch(client, "plain"), lambda: client.partition_state("sample/plain", "2026-01-05")):
                with pytest.raises(LaunchRefused, match=r"cannot load the code location broken\.py: .*rule files"):
                    request()
    finally:
        server.stop()


def test_a_read_only_webserver_is_an_error(webserver: Webserver) -> None:
    server = Webserver(webserver.home, more=["--read-only"])
    server.start()
    try:
        with DagsterClient(Address(server.url)) as client, pytest.raises(AccessDenied, match="--read-only"):
            launch(client, "plain")
    finally:
        server.stop()


def test_the_run_of_a_launch_is_found_if_the_answer_is_lost(proxy: FaultyProxy, client: DagsterClient) -> None:
    proxy.lost_answers = 1
    with DagsterClient(Address(proxy.url)) as far:
        run = far.launch(["sample/plain"], job=JOB, partition="2026-01-09", tags={"lost": "1"})
    assert [found.run_id for found in client.find_runs({"lost": "1"})] == [run.run_id]
    assert proxy.launches == 1


def test_the_run_of_a_launch_is_found_if_the_answer_is_late(proxy: FaultyProxy, client: DagsterClient) -> None:
    proxy.answer_delay = 20
    with DagsterClient(Address(proxy.url, launch_timeout=10)) as far:
        run = far.launch(["sample/plain"], job=JOB, partition="2026-01-09", tags={"late": "1"})
    assert [found.run_id for found in client.find_runs({"late": "1"})] == [run.run_id]
    assert proxy.launches == 1


def test_a_temporary_status_of_a_gateway_is_retried(proxy: FaultyProxy) -> None:
    proxy.statuses = [503, 502, 504, 429]
    with DagsterClient(Address(proxy.url)) as far:
        assert far.find_runs({"no": "run"}) == []
    assert proxy.statuses == []
    proxy.statuses = [503] * 50
    with DagsterClient(Address(proxy.url, patience=2)) as far, pytest.raises(DagsterUnreachable, match="status 503"):
        far.find_runs({"no": "run"})


def test_the_client_waits_for_a_webserver_that_restarts(tmp_path: Path) -> None:
    server = Webserver(tmp_path)
    server.start()
    try:
        with DagsterClient(Address(server.url)) as client:
            server.kill_only_itself()
            began = time.monotonic()
            with DagsterClient(Address(server.url), patience=0) as hasty, pytest.raises(DagsterUnreachable) as raised:
                hasty.find_runs({})
            assert raised.value.sent is False
            assert time.monotonic() - began < 5
            server.start()
            assert ended(client, launch(client, "plain")).status == "SUCCESS"
    finally:
        server.stop()


def test_an_unreachable_webserver_is_an_error_within_the_patience() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with DagsterClient(Address(url, patience=2)) as client, pytest.raises(DagsterUnreachable, match="Connection refused"):
        launch(client, "plain")
    assert 1 < time.monotonic() - began < 30


def test_credentials_are_sent_and_wrong_ones_are_an_error(proxy: FaultyProxy) -> None:
    proxy.login = ("airflow", "s3cret")
    with DagsterClient(Address(proxy.url, auth=("airflow", "s3cret"))) as far:
        assert far.find_runs({"no": "run"}) == []
    with DagsterClient(Address(proxy.url, auth=("airflow", "wr0ng"))) as far:
        with pytest.raises(AccessDenied, match="401") as raised:
            far.find_runs({"no": "run"})
        assert "wr0ng" not in str(raised.value)


@pytest.mark.parametrize(("status", "error"), [(302, AccessDenied), (403, AccessDenied), (200, UnexpectedAnswer)])
def test_a_login_page_is_not_mistaken_for_dagster(proxy: FaultyProxy, status: int, error: type[Exception]) -> None:
    proxy.statuses = [status]
    with DagsterClient(Address(proxy.url)) as far, pytest.raises(error):
        far.find_runs({"no": "run"})


def test_the_repr_of_an_address_hides_credentials() -> None:
    address = Address("http://127.0.0.1:1", headers={"Dagster-Token": "t0ken"}, auth=("airflow", "s3cret"))
    assert "t0ken" not in repr(address)
    assert "s3cret" not in repr(address)
