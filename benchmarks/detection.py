"""What each rule finds in synthetic worlds, and how many honest customers it hits.

`python benchmarks/detection.py --seeds 101 102 103`. Each world is served over HTTP and loaded into every asset; the labels of
its source are read only afterwards. The last days are evaluated; the days before give the rules their history.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.evaluation.protocol import evaluate_ranking
from fraud_assets.ingestion.http_source import SourceClient
from fraud_assets.runs.batch import run_days
from fraud_assets.runs.source_process import source_process
from fraud_assets.settings import read_settings
from hive_io import EmbeddedWarehouse, Span

LAST = dt.date(2026, 3, 29)
DAY = dt.timedelta(days=1)

OWN = {
    "blacklisted_merchants": {"compromised_merchant"},
    "card_testing": {"card_testing"},
    "dormant_account": {"dormant_account"},
    "high_risk_activity": {"bust_out"},
    "high_value": {"mule_pass_through", "structuring"},
    "impossible_travel": {"stolen_card_abroad"},
    "new_account_activity": {"new_account"},
    "pass_through": {"mule_pass_through"},
    "rapid_follow_up": {"account_takeover", "cash_out", "stolen_card_abroad"},
    "repeated_anomalies": {"account_takeover", "bust_out", "cash_out"},
    "risky_merchant": {"compromised_merchant"},
    "structuring": {"structuring"},
    "suspicious_locations": {"compromised_merchant", "stolen_card_abroad"},
    "unusual_transaction": {"account_takeover", "card_testing", "stolen_card_abroad"},
    "velocity": {"card_testing", "cash_out"},
}
"""The kinds of fraud that each rule is designed to find."""


class Fraud(NamedTuple):
    kind: str
    incident: str


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def evaluate(seed: int, customers: int, merchants: int, rate: float, days: int, judged: int) -> None:
    """Print the table of one world."""
    span = Span.days(LAST - (days - 1) * DAY, LAST)
    tail = Span.days(LAST - (judged - 1) * DAY, LAST)
    world = ["serve", "--seed", str(seed), "--customers", str(customers), "--merchants", str(merchants)]
    with tempfile.TemporaryDirectory() as folder, source_process([*world, "--fraud-rate", str(rate)]) as url:
        settings = read_settings(warehouse=str(Path(folder) / "lake"), source_url=url, first_day=span.first_day)
        run_days(settings, span)
        with SourceClient(url) as client:
            labels = {row["transaction_id"]: Fraud(row["kind"], row["incident"]) for row in client.labels(tail)}
        lake = EmbeddedWarehouse(settings.warehouse)
        rows = lake.read("fintech.transactions", ["transaction_id", "customer_id"], tail)
        customer_of = dict(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True))
        labels = {t: fraud for t, fraud in labels.items() if t in customer_of}
        honest = set(customer_of.values()) - {customer_of[t] for t in labels}
        incidents: dict[str, set[str]] = defaultdict(set)
        for fraud in labels.values():
            incidents[fraud.kind].add(fraud.incident)
        alerts = set(lake.read("fintech.fraud_alerts", ["transaction_id"], tail).column(0).to_pylist())
        ranked = evaluate_ranking(lake, labels.keys(), tail, [100]).average_precision
        print(
            f"\nSeed {seed}: {len(customer_of):,} transactions of {judged} days, {share(len(labels), len(customer_of))} fraud"
        )
        print(", ".join(f"{len(found)} {kind}" for kind, found in sorted(incidents.items())))
        print(f"average precision {ranked or 0:.3f}\n")
        print(
            "| rule | hits | of all transactions | precision | own incidents found | incidents found | honest customers hit |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name in [*(rule.name for rule in read_rule_book().alerting), "fraud_alerts"]:
            hits = set(lake.read(f"fintech.{name}", ["transaction_id"], tail).column(0).to_pylist())
            own = OWN.get(name, set(incidents))
            found = {labels[t].incident for t in hits & labels.keys()}
            own_incidents = set[str]().union(*(incidents[kind] for kind in own))
            honest_hit = {customer_of[t] for t in hits} & honest
            cells = [
                f"{len(hits):,}",
                share(len(hits), len(customer_of)),
                share(len(hits & labels.keys()), len(hits)),
                f"{len(found & own_incidents)} of {len(own_incidents)}",
                f"{len(found)} of {sum(map(len, incidents.values()))}",
                share(len(honest_hit), len(honest)),
            ]
            print(f"| {'all rules' if name == 'fraud_alerts' else name} | {' | '.join(cells)} |", flush=True)
        found_by_kind = {
            kind: len({labels[t].incident for t in alerts & labels.keys() if labels[t].kind == kind}) for kind in incidents
        }
        print(
            "\nfound by any rule: "
            + ", ".join(f"{kind} {found_by_kind[kind]} of {len(incidents[kind])}" for kind in sorted(incidents))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--merchants", type=int, default=600)
    parser.add_argument("--fraud-rate", type=float, default=0.004)
    parser.add_argument("--days", type=int, default=42)
    parser.add_argument("--judged", type=int, default=14)
    args = parser.parse_args()
    for seed in args.seeds:
        evaluate(seed, args.customers, args.merchants, args.fraud_rate, args.days, args.judged)


if __name__ == "__main__":
    main()
