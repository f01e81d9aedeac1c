"""Check results by day.

A run over a range of days is one step. Dagster plans every check once for each day of the range, and a result that belongs to
no day would leave these plans open for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from hive_io.dagster.layers import AssetCheckEvaluationTargetMaterializationData as Target


class DailyResult(dg.AssetCheckResult):
    """The result of a check on the days of a run: it fails on some of them, on all, or on none.

    Attributes:
        failed_days: the days (`2026-01-31`) on which the check fails.
    """

    failed_days: frozenset[str]

    def __new__(cls, *, failed_days: Collection[str] = (), **more: Any) -> DailyResult:
        """`more` are the arguments of `dg.AssetCheckResult` except `passed`, which is true if the check fails on no day."""
        result = super().__new__(cls, passed=not failed_days, **more)
        result.failed_days = frozenset(failed_days)
        return result


class DailyRecorder:
    """Turns results into what a step yields, and records an evaluation for each day of its run.

    Args:
        context: of the step that yields them.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._days = list(context.partition_keys)
        self._targets: dict[dg.AssetKey, Mapping[str, Target]] = {}

    def __call__(self, result: DailyResult) -> Iterator[object]:
        """The evaluations of the days, to be yielded by the step.

        The asset must have been written before, since an evaluation names the materialization that it is about. Days that
        passed, except the last, are recorded at once: Dagster takes 4 ms for an evaluation that a step yields, and half a
        millisecond for one of many.
        """
        evaluations = list(self._evaluations(result))
        yielded = [each for each in evaluations[:-1] if not each.passed] + evaluations[-1:]
        self._record([each for each in evaluations[:-1] if each.passed])
        # what Dagster makes of an AssetCheckResult, except that its evaluation would belong to no day
        check = yielded[0].asset_check_key
        yield dg.Output(None, self._context.assets_def.get_output_name_for_asset_check_key(check))
        yield from yielded

    def _evaluations(self, result: DailyResult) -> Iterator[dg.AssetCheckEvaluation]:
        assert result.asset_key is not None and result.check_name is not None
        spec = self._context.assets_def.get_spec_for_check_key(dg.AssetCheckKey(result.asset_key, result.check_name))
        targets = self._targets_of(result.asset_key)
        for day in self._days:
            failed = day in result.failed_days
            # what a failed result says is not true of the days that passed
            told = failed or result.passed
            yield dg.AssetCheckEvaluation(
                result.asset_key,
                result.check_name,
                passed=not failed,
                metadata=result.metadata if told else {},
                description=result.description if told else None,
                severity=result.severity,
                blocking=spec.blocking,
                partition=day,
                target_materialization_data=targets.get(day),
            )

    def _record(self, evaluations: Sequence[dg.AssetCheckEvaluation]) -> None:
        step, run = self._context.get_step_execution_context(), self._context.run
        entries = [
            dg.EventLogEntry(  # type: ignore[no-untyped-call]
                error_info=None,
                level=logging.DEBUG,
                user_message="",
                run_id=run.run_id,
                timestamp=time.time(),
                step_key=step.step.key,
                job_name=run.job_name,
                dagster_event=dg.DagsterEvent(
                    dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                    job_name=run.job_name,
                    step_handle=step.step.handle,
                    node_handle=step.step.node_handle,
                    step_kind_value=step.step.kind.value,
                    logging_tags=step.event_tags,
                    event_specific_data=each,
                    message=f"Asset check '{each.check_name}' passed on {each.partition}.",
                ),
            )
            for each in evaluations
        ]
        if entries:
            self._context.instance.event_log_storage.store_event_batch(entries)

    def _targets_of(self, asset: dg.AssetKey) -> Mapping[str, Target]:
        """The latest materialization of each day; read once for all checks of an asset."""
        if asset not in self._targets:
            instance, materialized = self._context.instance, dg.DagsterEventType.ASSET_MATERIALIZATION
            latest = instance.get_latest_storage_id_by_partition(asset, materialized, set(self._days))
            found = dg.AssetRecordsFilter(asset, storage_ids=[*latest.values()])
            records = instance.fetch_materializations(found, limit=len(latest)).records if latest else []
            self._targets[asset] = {
                str(each.partition_key): Target(storage_id=each.storage_id, run_id=each.run_id, timestamp=each.timestamp)
                for each in records
            }
        return self._targets[asset]
