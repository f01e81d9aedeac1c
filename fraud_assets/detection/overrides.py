"""The rules file that FRAUD_RULES_FILE names: params, status, weight and severity that replace those of rule files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fraud_assets.errors import RuleError
from fraud_assets.sql import bounded_yaml
from fraud_assets.sql.files import line_of_key, validation_message
from fraud_assets.sql.params import Param

Severity = Literal["low", "medium", "high", "critical"]
Status = Literal["draft", "shadow", "active", "retired"]
"""Statuses in the order of a rule's life. Shadow and active rules are evaluated, and only active ones alert."""


class RuleOverride(BaseModel):
    """Values that a rules file sets for one rule or feature."""

    model_config = ConfigDict(extra="forbid")

    params: dict[str, Any] = {}
    status: Status | None = None
    weight: Annotated[float, Field(gt=0, lt=1)] | None = None
    severity: Severity | None = None


@dataclass(frozen=True)
class Overrides:
    """The contents of a rules file.

    Attributes:
        entries: the valid overrides, by rule or feature. An invalid entry is empty here.
        problems: a message with file and line for each invalid entry.
    """

    path: Path | None = None
    text: str = ""
    entries: Mapping[str, RuleOverride] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def of(self, name: str) -> RuleOverride:
        """The override of a rule or feature; empty if the file has none."""
        return self.entries.get(name, RuleOverride())

    def params(self, name: str, declared: Mapping[str, Param]) -> dict[str, Any]:
        """The params that the file sets for a rule or feature, converted to their types.

        Raises:
            RuleError: params that are not declared, or have invalid values; with file and line, one line of text for each.
        """
        values: dict[str, Any] = {}
        problems = []
        for param, value in self.of(name).params.items():
            if param not in declared:
                known = ", ".join(sorted(declared)) or "none"
                problems.append(self.message(f"unknown param; known params: {known}", name, "params", param))
                continue
            try:
                values[param] = declared[param].read(value)
            except ValueError as error:
                problems.append(self.message(str(error), name, "params", param))
        if problems:
            raise RuleError("\n".join(problems))
        return values

    def message(self, text: str, *keys: str) -> str:
        """A message with file, line and keys: `rules.yaml:3: night.weight: …`."""
        return _message(self.path, self.text, text, keys)


def read_overrides(path: Path) -> Overrides:
    """Read a rules file: `{high_value: {params: {…}, status: shadow}}`.

    Raises:
        RuleError: the file cannot be read, or is not a YAML mapping. Invalid entries are in `Overrides.problems` instead.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = bounded_yaml.load(text) or {}
    except FileNotFoundError:
        raise RuleError(f"{path}: FRAUD_RULES_FILE names a file that does not exist; create it, an empty one will do") from None
    except OSError as error:
        raise RuleError(f"{path}: cannot read the rules file named by FRAUD_RULES_FILE: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RuleError(f"{path}:{line}: the file is not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RuleError(
            f"{path}:{mark.line + 1 if mark else 1}: the file is not valid YAML: {bounded_yaml.problem(error)}"
        ) from None
    if not isinstance(data, dict):
        expected = "expected a mapping of rules, for example `high_value: {params: {…}}`"
        raise RuleError(f"{path}:1: {expected}, found {type(data).__name__}")
    entries: dict[str, RuleOverride] = {}
    problems: list[str] = []
    for key, value in data.items():
        name = str(key)
        entries[name] = RuleOverride()
        if not isinstance(value, dict):
            expected = "expected params, status, weight or severity, for example {status: shadow}"
            problems.append(_message(path, text, f"{expected}, found {bounded_yaml.shown(value)}", (name,)))
            continue
        try:
            entries[name] = RuleOverride.model_validate(value)
        except ValidationError as error:
            problems += [_message(path, text, validation_message(e), (name, *map(str, e["loc"]))) for e in error.errors()]
    return Overrides(path, text, entries, tuple(problems))


def _message(path: Path | None, text: str, message: str, keys: Iterable[str]) -> str:
    keys = tuple(keys)
    return f"{path}:{line_of_key(text, keys)}: {'.'.join(keys)}: {message}"
