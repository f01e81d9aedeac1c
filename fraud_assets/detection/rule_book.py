"""Reads all rule and feature files into a rule book, and checks them.

A rule's SELECT returns `transaction_id`, `customer_id`, `event_time`, and the values that the rule used as evidence, each
under its own name. It returns `hit` if it yields every transaction that it could judge, not only the hits, and `weight` if
the weight of a hit depends on its values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from pathlib import Path
from typing import Protocol, TypeVar

from fraud_assets.detection.overrides import Overrides, RuleOverride, read_overrides
from fraud_assets.detection.rule import ANY_DAY, FeatureFrontMatter, Rule, RuleFrontMatter, readable
from fraud_assets.detection.rule_check import check_rule
from fraud_assets.errors import RuleError
from fraud_assets.schemas.catalog import FEATURE_TABLES, fixed_tables
from fraud_assets.schemas.sources import API_TABLES, ApiTable
from fraud_assets.scoring.card import Card, read_card
from fraud_assets.sql.files import SqlFile, read_file
from fraud_assets.sql.windows import hiveql, window_query
from hive_io import QueryError, Table
from hive_io.dry_run import result_schema

RULES_FOLDER = Path(__file__).parents[1] / "rules"
FEATURES_FOLDER = Path(__file__).parents[1] / "features"

T_co = TypeVar("T_co", covariant=True)

_MOST_KEPT = 200
"""Files of each kind whose checked form a process keeps."""

ALERT_SCORE = 0.2
"""Default score from which a transaction is an alert although no rule hit it."""


@dataclass(frozen=True)
class RuleBook:
    """All rules and features in force.

    Attributes:
        apis: the source tables, with the columns that a source file adds.
        scorecard: the card that is in force instead of learned ones; None in most banks.
        alert_score: score from which a transaction is an alert although no rule hit it; 1 for none.
        alerts_a_day: budget of alerts, from which each day has a score of its own instead of `alert_score`; None for no budget.
    """

    rules: Mapping[str, Rule]
    features: Mapping[str, SqlFile[FeatureFrontMatter]]
    apis: Mapping[str, ApiTable] = field(default_factory=lambda: API_TABLES, repr=False)
    scorecard: Card | None = None
    alert_score: float = ALERT_SCORE
    alerts_a_day: int | None = None

    @property
    def evaluated(self) -> list[Rule]:
        """Active and shadow rules, by name."""
        return [rule for rule in self.rules.values() if rule.status in ("active", "shadow")]

    @property
    def alerting(self) -> list[Rule]:
        """Active rules, by name: the ones whose hits raise alerts."""
        return [rule for rule in self.rules.values() if rule.status == "active"]

    def in_force(self, name: str) -> Rule | None:
        """A rule of those evaluated, by its name; None if it is not among them."""
        return next((rule for rule in self.evaluated if rule.name == name), None)

    def tables(self) -> dict[str, Table]:
        """All tables of the warehouse, by name."""
        return {**fixed_tables(self.apis), **{rule.name: rule.table for rule in self.evaluated}}


def read_rule_book(
    rules: Path | Sequence[Path] = RULES_FOLDER,
    features: Path = FEATURES_FOLDER,
    overrides: Path | None = None,
    apis: Mapping[str, ApiTable] = API_TABLES,
    scorecard: Path | None = None,
    alert_score: float = ALERT_SCORE,
    alerts_a_day: int | None = None,
) -> RuleBook:
    """Read and check every file.

    Args:
        rules: folder of the rule files, or several.
        overrides: path of a rules file, YAML: `{high_value: {params: {…}, status: shadow}}`.
        apis: the source tables, with the columns that a source file adds.
        scorecard: a file with a card that is in force instead of learned ones.
        alert_score: score from which a transaction is an alert although no rule hit it; 1 for none.
        alerts_a_day: as in `RuleBook`.

    Raises:
        SettingsError: the scorecard is not valid.
        RuleError: all problems found, each on a line of its own with file and line.
    """
    rules_file = read_overrides(overrides) if overrides else Overrides()
    problems = [*rules_file.problems]
    rules_read: dict[str, Rule] = {}
    folders = [rules] if isinstance(rules, Path) else [*rules]
    for path in sorted((path for folder in folders for path in folder.glob("*.sql")), key=lambda path: path.stem):
        if path.stem in rules_read:
            problems.append(f"{path}:1: {rules_read[path.stem].file.path} is a rule of this name, too; rename one")
            continue
        try:
            rules_read[path.stem] = read_rule(path, rules_file, apis)
        except RuleError as error:
            problems.append(str(error))
    features_read: dict[str, SqlFile[FeatureFrontMatter]] = {}
    for path in sorted(features.glob("*.sql")):
        try:
            features_read[path.stem] = _read_feature(path, rules_file, apis)
        except RuleError as error:
            problems.append(str(error))
    problems += [f"{features}: {name}.sql is missing" for name in FEATURE_TABLES if not (features / f"{name}.sql").exists()]
    known = {path.stem for folder in (*folders, features) for path in folder.glob("*.sql")}
    unknown = [name for name in rules_file.entries if name not in known]
    problems += [rules_file.message("no rule or feature has this name", name) for name in unknown]
    if problems:
        raise RuleError("\n".join(problems))
    return RuleBook(rules_read, features_read, apis, read_card(scorecard) if scorecard else None, alert_score, alerts_a_day)


class _Reader(Protocol[T_co]):
    def __call__(self, path: Path, rules_file: Overrides, apis: Mapping[str, ApiTable] = API_TABLES) -> T_co: ...


def _once(read: _Reader[T_co]) -> _Reader[T_co]:
    """Let a process that reads a file again check it only if it has changed, as long as nothing overrides it."""

    @lru_cache(maxsize=_MOST_KEPT)
    def as_written(path: Path, content: bytes) -> T_co:
        return read(path, Overrides())

    @wraps(read)
    def reading(path: Path, rules_file: Overrides, apis: Mapping[str, ApiTable] = API_TABLES) -> T_co:
        if apis is API_TABLES and rules_file.of(path.stem) == RuleOverride():
            return as_written(path, path.read_bytes())
        return read(path, rules_file, apis)

    return reading


@_once
def read_rule(path: Path, rules_file: Overrides, apis: Mapping[str, ApiTable] = API_TABLES) -> Rule:
    """Read and check one rule file, with what the rules file sets for it.

    Raises:
        RuleError: the first problem, with file and line.
    """
    file = read_file(path, RuleFrontMatter)
    file = file.with_values(rules_file.params(file.name, file.meta.params))
    meta, over = file.meta, rules_file.of(file.name)
    rule = Rule(file, over.severity or meta.severity, over.status or meta.status, over.weight or meta.weight, apis)
    check_rule(rule, readable(fixed_tables(apis)))
    return rule


@_once
def _read_feature(path: Path, rules_file: Overrides, apis: Mapping[str, ApiTable] = API_TABLES) -> SqlFile[FeatureFrontMatter]:
    tables = fixed_tables(apis)
    feature = read_file(path, FeatureFrontMatter)
    over = rules_file.of(feature.name)
    if not_params := [key for key in ("status", "weight", "severity") if getattr(over, key) is not None]:
        raise RuleError(rules_file.message("a rules file can set only the params of a feature", feature.name, not_params[0]))
    feature = feature.with_values(rules_file.params(feature.name, feature.meta.params))
    if feature.name not in FEATURE_TABLES:
        raise feature.error("no table has this name; describe it in FEATURE_TABLES of fraud_assets/schemas/catalog.py")
    feature.check(tables)
    try:
        schema = result_schema(
            hiveql(window_query(feature, tables, ANY_DAY, feature.meta.history)),
            {t.full_name: t for t in tables.values()},
        )
    except QueryError as error:
        raise feature.error(str(error), error.line or feature.select_line) from None
    table = FEATURE_TABLES[feature.name]
    if missing := [name for name in table.arrow_schema.names if name not in schema.names]:
        returned = ", ".join(schema.names)
        raise feature.error(f"the SELECT must return {', '.join(missing)}; it returns {returned}", feature.select_line)
    return feature
