"""Metrics of `fraud watch`: read over HTTP from a real process, compared with the tables, and named in the documents."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fraud_assets.checkout import CHECKOUT
from fraud_assets.live.metrics import BUCKETS, LatencyHistogram, WatchMetrics
from fraud_assets.live.service import CHECKPOINT_FILE
from hive_io import EmbeddedWarehouse
from mock_sources import Faults, running
from tests.services.processes import Process, free_port, wait_until
from tests.services.watching import loaded, today

HANGS = 300
OF_PROCESS = re.compile("process_|python_")


def samples(port: int) -> dict[tuple[str, str], float]:
    """Values by name and by the values of the labels; empty if nothing answers."""
    try:
        response = httpx.get(f"http://127.0.0.1:{port}/metrics")
    except httpx.TransportError:
        return {}
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    return {(each.name, ",".join(each.labels.values())): each.value for family in families for each in family.samples}


def watch(lake: Path, url: str, log: Path, *options: str) -> Process:
    """`fraud watch` as a process."""
    env = {**os.environ, "FRAUD_WAREHOUSE": str(lake), "FRAUD_SOURCE_URL": url, "FRAUD_FIRST_DAY": str(today())}
    return Process([sys.executable, "-m", "fraud_assets", "watch", *options], log, env, Path.cwd())


def test_a_latency_counts_in_the_first_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = LatencyHistogram()
    histogram.add(pa.array([0.0, BUCKETS[0], BUCKETS[0] + 0.01, BUCKETS[-1], 2 * BUCKETS[-1]]))
    histogram.add(pa.array([BUCKETS[1]]))
    (family,) = histogram.collect()
    values = {each.labels.get("le", each.name.rpartition("_")[2]): each.value for each in family.samples}
    assert [values[str(bound)] for bound in BUCKETS] == [2, *[4] * (len(BUCKETS) - 2), 5]
    assert values["+Inf"] == values["count"] == 6
    assert values["sum"] == pytest.approx(2 * BUCKETS[0] + 0.01 + 3 * BUCKETS[-1] + BUCKETS[1])


@pytest.mark.slow
def test_a_watch_serves_what_it_did(tmp_path: Path) -> None:
    """A source that serves half of its snapshots' rows malformed, and ends while it is watched."""
    port = free_port()
    lake, log = tmp_path / "lake", tmp_path / "log"
    faults = Faults(malformed=0.1, malformed_others=0.5)
    with running(loaded(dt.datetime.now(dt.UTC), 10, faults)) as url:
        process = watch(lake, url, log, "--metrics", str(port), "--reconcile", "5")
        try:
            failed = ("fraud_watch_reconciliation_seconds_count", "failed")
            wait_until("a reconciliation run", lambda: process.ended or samples(port).get(failed), HANGS)
            found = samples(port)
            # every interface is not listened on, or this address would answer
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.2", port)) != 0
            second = watch(tmp_path / "other", url, tmp_path / "second", "--metrics", str(port))
            wait_until("the end of a watch whose port is in use", lambda: second.ended, HANGS)
            assert second.code == 1 and f"Port {port} of 127.0.0.1 cannot be used for metrics" in second.output()
            assert "Traceback" not in second.output()
        except BaseException:
            process.end(signal.SIGKILL)
            raise
    try:
        wait_until("a failed poll", lambda: samples(port)["fraud_watch_failures_total", "polling the source"], HANGS)
        last = samples(port)
    finally:
        process.end()
    assert process.code == 0, process.output()
    assert "Traceback" not in process.output()

    for table in ("credit_scores", "customers"):
        assert found["fraud_watch_missing_snapshots", table] == 1, table
        assert found["fraud_watch_refused_snapshots_total", table] >= 1, table
    assert found["fraud_incidents_open", "snapshots"] >= 2 and found["fraud_incidents_open", "source"] == 0
    assert found["fraud_watch_reconciliation_seconds_sum", "failed"] > 0
    assert found["fraud_watch_reconciliation_seconds_count", "succeeded"] == 0
    tables = EmbeddedWarehouse(lake)
    judged = sum(tables.partitions("fintech.transactions").values())
    rejected = sum(tables.partitions("fintech.transactions_rejected").values())
    assert judged > 0 and rejected > 0
    assert last["fraud_watch_rows_served_total", ""] == judged + rejected
    assert last["fraud_watch_rows_rejected_total", ""] == rejected
    assert last["fraud_watch_latency_seconds_count", ""] == last["fraud_watch_latency_seconds_bucket", "+Inf"] == judged
    cursor = json.loads((lake / CHECKPOINT_FILE).read_text())
    assert last["fraud_watch_reopened_days", ""] == len(cursor["reopened"])
    began, polled = last["process_start_time_seconds", ""], last["fraud_watch_last_poll_timestamp_seconds", ""]
    assert began < polled <= dt.datetime.now(dt.UTC).timestamp()
    assert not [name for name, _ in last if name.endswith("_created")]
    assert set(re.findall(r"`((?:fraud|process)_\w+)`", section("Metrics"))) >= {
        family(name) for name, _ in last if not OF_PROCESS.match(name)
    }, "docs/operate.md has a row for each metric"


def section(title: str) -> str:
    """A section of docs/operate.md."""
    text = (CHECKOUT / "docs" / "operate.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def family(sample: str) -> str:
    """The metric that a sample belongs to, as documents name it."""
    return re.sub("_(bucket|count|sum)$", "", sample)


def test_the_alert_rules_name_metrics_that_exist() -> None:
    text = (CHECKOUT / "examples" / "prometheus" / "fraud.rules.yml").read_text(encoding="utf-8")
    (group,) = yaml.safe_load(text)["groups"]
    documented = set(re.findall(r"`(fraud_\w+)`", section("Metrics")))
    metrics = {each.name for each in WatchMetrics().registry.collect()}
    assert "fraud_watch_latency_seconds" in metrics & documented
    assert len(group["rules"]) == 3
    for rule in group["rules"]:
        assert {"alert", "expr", "for", "labels", "annotations"} == rule.keys()
        named = {family(name) for name in re.findall(r"\bfraud_\w+", re.sub('"[^"]*"', "", rule["expr"]))}
        assert named and named <= documented, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
