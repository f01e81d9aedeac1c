"""Boundaries of params: a transaction that just hits, one that just misses, and the effect of a small change of the param."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fraud_assets.detection.rule import Rule, RuleFrontMatter
from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook
from fraud_assets.engine.engine import Engine
from fraud_assets.sql.files import read_file
from hive_io import EmbeddedWarehouse
from tests.fraud_fixtures import SPAN, fill

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Boundary:
    """Transactions on either side of a param's value.

    Attributes:
        rule, param: the param whose boundary is tested.
        values: a slightly looser value, the value in question, and a slightly tighter one.
        tables: rows of the tables that the rule reads. The transaction `at` hits with the first two values, the transaction
            `miss` only with the first.
        others: values of the rule's other params, by default those of its file.
    """

    rule: str
    param: str
    values: tuple[object, object, object]
    tables: Mapping[str, Rows]
    others: Mapping[str, object] = field(default_factory=dict)

    def found(self, lake: EmbeddedWarehouse) -> list[set[str]]:
        """The hits among `at` and `miss`, for each of the values."""
        engines = [self._engine(value) for value in self.values]
        reads = engines[0].reads(self.rule)
        assert self.tables.keys() <= reads.keys()
        assert {row["transaction_id"] for row in self.tables["transactions"]} >= {"at", "miss"}
        for name in reads:
            lake.ensure_table(engines[0].tables[name])
            fill(lake, name, self.tables.get(name, []))
        hits = [lake.query(engine.query(self.rule, SPAN)).column("transaction_id").to_pylist() for engine in engines]
        return [{"at", "miss"} & {*found} for found in hits]

    def _engine(self, value: object) -> Engine:
        file = read_file(RULES_FOLDER / f"{self.rule}.sql", RuleFrontMatter)
        meta, params = file.meta, {**self.others, self.param: value}
        file = file.with_values({name: meta.params[name].read(given) for name, given in params.items()})
        return Engine(RuleBook({self.rule: Rule(file, meta.severity, meta.status, meta.weight)}, {}))


MOVES = [{"at", "miss"}, {"at"}, set()]
"""What `Boundary.found` returns if the boundary is at the value in question."""
