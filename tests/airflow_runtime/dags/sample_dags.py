"""DAGs with one task over the sample assets, one DAG for each outcome of a task."""

import datetime as dt

from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_bridge.in_airflow.compat import AIRFLOW_3
from airflow_bridge.in_airflow.operators import MaterializeAssets

if AIRFLOW_3:
    from airflow.sdk import DAG
else:
    from airflow.models.dag import DAG

DAGS = {}
FAILURES = {}
"""Exception of the last failed task of a DAG, by DAG id."""


def dag(dag_id, *asset_keys, **arguments):
    with DAG(
        dag_id,
        start_date=dt.datetime(2025, 12, 1, tzinfo=dt.UTC),
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        catchup=False,
    ) as DAGS[dag_id]:
        MaterializeAssets(
            task_id="task",
            asset_keys=[f"sample/{key}" for key in asset_keys],
            job_name="sample_job",
            on_failure_callback=lambda context: FAILURES.__setitem__(dag_id, context["exception"]),
            retry_delay=dt.timedelta(seconds=1),
            **arguments,
        )


for word, deferrable in (("deferred", True), ("waiting", False)):
    how = {"deferrable": deferrable, "defer_after": 0}
    dag(f"plain_{word}", "plain", "other", **how)
    dag(f"raising_{word}", "raising", **how)
    dag(f"checked_{word}", "checked", "behind_checked", **how)
    dag(f"unknown_{word}", "no_such_asset", retries=2, **how)
    dag(f"ten_seconds_{word}", "ten_seconds", **how)
    dag(f"retried_{word}", "ten_seconds", retries=20, **how)
    dag(f"slow_{word}", "slow", execution_timeout=dt.timedelta(seconds=15), **how)
    dag(f"killed_{word}", "slow", **how)
    dag(f"after_{word}", "other", wait_for=[("sample/plain", -1)], **how)
    dag(f"too_early_{word}", "other", wait_for=[("sample/plain", -1)], execution_timeout=dt.timedelta(seconds=10), **how)

dag("given_day", "plain", partition_key="{{ dag_run.conf['day'] }}")
dag("retried", "raising", retries=1)
dag("plain_local", "plain", "other", mode="local")
dag("checked_local", "checked", "behind_checked", mode="local")
dag("raising_local", "raising", mode="local")
dag("killed_local", "slow", mode="local")
dag("slow_local", "slow", mode="local", execution_timeout=dt.timedelta(seconds=40))
dag("after_local", "other", mode="local", wait_for=[("sample/plain", -1)])
