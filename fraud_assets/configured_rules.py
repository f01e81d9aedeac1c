"""The rules in force by the settings: rule files, the rules file that overrides them, and the columns of the source file."""

from __future__ import annotations

from pathlib import Path

from fraud_assets.detection.rule_book import RULES_FOLDER, RuleBook, read_rule_book
from fraud_assets.ingestion.own_data.source_file import read_source_file
from fraud_assets.schemas.sources import API_TABLES
from fraud_assets.settings import Settings


def rule_book(settings: Settings, rules: Path = RULES_FOLDER) -> RuleBook:
    """Read and check every rule and feature.

    Args:
        rules: folder of the rule files.

    Raises:
        RuleError: all problems found, each with file and line.
        SourceFileError: the source file has mistakes.
        SettingsError: the scorecard has.
    """
    apis = read_source_file(settings.source).apis_with_extra_columns if settings.source else API_TABLES
    return read_rule_book(rules, overrides=settings.rules_file, apis=apis, scorecard=settings.scorecard)
