"""The rules in force by the settings: rule files, the rules file that overrides them, and the columns of the source file."""

from __future__ import annotations

from pathlib import Path

from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.errors import RuleError
from fraud_assets.ingestion.own_data.source_file import read_source_file
from fraud_assets.schemas.sources import API_TABLES
from fraud_assets.settings import Settings


def rule_book(settings: Settings, rules: Path | None = None) -> RuleBook:
    """Read and check every rule and feature.

    Args:
        rules: folder of the rule files; by default those of the settings.

    Raises:
        RuleError: all problems found, each with file and line.
        SourceFileError: the source file has mistakes.
        SettingsError: the scorecard has.
    """
    apis = read_source_file(settings.source).apis_with_extra_columns if settings.source else API_TABLES
    folders = rule_folders(settings) if rules is None else [rules]
    return read_rule_book(
        folders,
        overrides=settings.rules_file,
        apis=apis,
        scorecard=settings.scorecard,
        alert_score=settings.alert_score,
        alerts_a_day=settings.alerts_a_day,
    )


def rule_folders(settings: Settings) -> list[Path]:
    """The folders that rules are read from: that of this package unless it is switched off, and the company's own.

    Raises:
        RuleError: the company's folder does not exist.
    """
    own = settings.rules_folder
    if own is not None and not own.is_dir():
        raise RuleError(f"FRAUD_RULES_FOLDER: expected a folder with rule files, found {own}")
    return [*([RULES_FOLDER] if settings.shipped_rules == "on" else []), *([own] if own else [])]
