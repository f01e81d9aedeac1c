"""The lock file: the version and status of each rule file. A rule that changed or vanished without it is found in review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from fraud_assets.detection.overrides import Overrides
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import read_rule
from fraud_assets.errors import RuleError
from fraud_assets.schemas.sources import API_TABLES, ApiTable
from fraud_assets.sql import bounded_yaml

LOCK = "rules.lock"
"""Name of the lock file, in the folder of its rules."""

_HEADER = "# Version and status of each rule file in this folder. After a reviewed change: `fraud rules lock`.\n"

Locked = Mapping[str, str]
"""`version status`, by rule."""


def locked_rules(folder: Path, apis: Mapping[str, ApiTable] = API_TABLES) -> dict[str, str]:
    """What a lock file of the folder's rule files says, whatever a rules file sets.

    Raises:
        RuleError: a rule file is not valid.
    """
    rules = [read_rule(path, Overrides(), apis) for path in sorted(folder.glob("*.sql"))]
    return {rule.name: entry_of(rule) for rule in rules}


def lock_text(rules: Locked) -> str:
    """The text of a lock file."""
    return _HEADER + "".join(f"{name}: {entry}\n" for name, entry in sorted(rules.items()))


def read_lock(folder: Path) -> dict[str, str]:
    """Read a lock file; empty if there is none.

    Raises:
        RuleError: it is not one.
    """
    path = folder / LOCK
    try:
        found = bounded_yaml.load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RuleError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(entry, str) for entry in found.values()):
        raise RuleError(f"{path}: expected a line `rule: version status` for each rule; write it again with `fraud rules lock`")
    return {str(name): entry for name, entry in found.items()}


def differences(locked: Locked, rules: Locked) -> list[str]:
    """A sentence for each rule that is not as locked."""
    return [*_differences(locked, rules)]


def _differences(locked: Locked, rules: Locked) -> Iterable[str]:
    for name in sorted({*locked, *rules}):
        if name not in rules:
            yield f"{name} is locked as {locked[name]}, and its file is gone"
        elif name not in locked:
            yield f"{name} is {rules[name]}, and not locked"
        elif locked[name] != rules[name]:
            yield f"{name} is locked as {locked[name]}, and is {rules[name]}"


def entry_of(rule: Rule) -> str:
    """`version status` of a rule."""
    return f"{rule.version} {rule.status}"
