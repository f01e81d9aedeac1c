"""All rules over ten million transactions, as multiples of a bare scan: `python benchmarks/rules.py`.

The lake is filled without a source; features are computed by the engine's queries. Measured in one run: a scan of the columns
of `transactions` that any rule reads; each rule, computed as in the step `rules` (its hits, and how many transactions it could
judge); the whole step, which also writes and checks the hits; and the step for the last day alone, in this lake and in one with
a tenth of the history. Ratios are of wall time and of processor time, which depends less on other load of the machine.
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import duckdb
from bulk_lake import BulkWorld, fill
from sqlglot import exp

from fraud_assets.definitions import build_definitions
from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.engine.engine import Engine
from fraud_assets.runs.instance import dagster_instance
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, HiveQL, Span
from hive_io.table import DAY

LAST = dt.date(2026, 1, 30)


@dataclass
class Cost:
    """Wall time and processor time, in seconds."""

    wall: float
    processor: float

    def row(self, name: str, scan: Cost, more: str = "") -> str:
        """A row of the table, with the ratios to a scan."""
        ratios = f"{self.wall / scan.wall:.1f} | {self.processor / scan.processor:.1f}"
        return f"| {name} | {self.wall:.2f} | {self.processor:.2f} | {ratios} | {more} |"


def measure(work: Callable[[], object], times: int = 1) -> Cost:
    """The lowest cost of some repetitions."""
    costs = []
    for _ in range(times):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        costs.append(Cost(time.perf_counter() - wall, time.process_time() - processor))
    return Cost(min(cost.wall for cost in costs), min(cost.processor for cost in costs))


def scan(lake: EmbeddedWarehouse, columns: list[str], span: Span) -> None:
    """Decode and read every value of the columns."""
    days = exp.column("ds").between(span.first_ds, span.last_ds)
    largest = [exp.func("MAX", exp.column(name)).as_(name) for name in columns]
    lake.query(HiveQL.of(exp.select(*largest).from_(exp.table_("transactions", db="fintech")).where(days)))


def read_columns(engine: Engine) -> list[str]:
    """The columns of `transactions` that any rule names."""
    names = {column.name for rule in engine.book.evaluated for column in rule.file.tree().find_all(exp.Column)}
    return [column.name for column in engine.tables["transactions"].columns if column.name in names]


@contextmanager
def step(lake: Path) -> Iterator[Callable[[Span], None]]:
    """A function that runs the step `rules` of Dagster over a lake for a span: queries, writes, checks and records."""
    settings = read_settings(warehouse=str(lake), first_day=LAST - 400 * DAY)
    definitions = build_definitions(settings)
    rules = [dg.AssetKey(["fintech", rule.name]) for rule in read_rule_book().evaluated]
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(rules))
    with dagster_instance(settings) as instance:

        def run(span: Span) -> None:
            tags = {"dagster/asset_partition_range_start": span.first_ds, "dagster/asset_partition_range_end": span.last_ds}
            quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
            result = job.execute_in_process(instance=instance, tags=tags, run_config=quiet)
            failed = [each.check_name for each in result.get_asset_check_evaluations() if not each.passed and each.blocking]
            if failed:
                raise SystemExit(f"{span}: {failed}")

        yield run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--merchants", type=int, default=5_000)
    parser.add_argument("--lake", type=Path, help="a folder with the two lakes; they are created if missing")
    args = parser.parse_args()

    engine = Engine(read_rule_book())
    world = BulkWorld(args.customers, args.merchants, -(-args.rows // args.days))
    span, last = Span.days(LAST - (args.days - 1) * DAY, LAST), Span.days(LAST, LAST)
    with tempfile.TemporaryDirectory() as folder:
        home = args.lake or Path(folder)
        # the same last day, with a tenth of the days before it
        spans = {"whole": span, "tenth": Span.days(LAST + (1 - args.days) // 10 * DAY, LAST)}
        for name, days in spans.items():
            if not (home / name).exists():
                fill(EmbeddedWarehouse(home / name), world, engine, days)
        lake = EmbeddedWarehouse(home / "whole")
        rows = sum(lake.partitions("fintech.transactions").values())
        columns = read_columns(engine)
        bare = measure(lambda: scan(lake, columns, span), 3)
        print(f"{rows:,} transactions of {args.days} days, DuckDB {duckdb.__version__}; a scan reads {', '.join(columns)}\n")
        print("| | seconds | of processors | times the scan | of processors | hits, judged |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        print(bare.row("bare scan", bare))
        for rule in engine.book.evaluated:
            query = engine.counted_hits(rule.name, span)
            hits: list[int] = []
            cost = measure(lambda query=query, hits=hits: hits.append(lake.query(query).num_rows))  # type: ignore[misc]
            print(cost.row(rule.name, bare, f"{hits[-1]:,} of {sum(query.counted.values()):,}"), flush=True)
        lake.close()
        with step(home / "whole") as run:
            run(last)  # warm-up: imports and opens what any run needs
            print(measure(lambda: run(span)).row("the step, all rules", bare))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
            with step(home / "tenth") as run_shorter:
                run_shorter(last)
                long, short = measure(lambda: run(last), 3), measure(lambda: run_shorter(last), 3)
        tenth_rows = sum(EmbeddedWarehouse(home / "tenth").partitions("fintech.transactions").values())
        print(long.row(f"the step, the last day, of {rows:,}", bare))
        print(short.row(f"the step, the last day, of {tenth_rows:,}", bare))
        print(f"\na day with ten times the history: {long.wall / short.wall:.2f}, {long.processor / short.processor:.2f} times")
        print(f"peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
