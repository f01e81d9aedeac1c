"""The file that FRAUD_RULES_FILE names: what it says of each rule, and where. What is wrong in it is said with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fraud_assets.errors import RuleError
from fraud_assets.sql.files import line_of_key
from fraud_assets.sql.params import Param

Severity = Literal["low", "medium", "high", "critical"]


class RuleOverride(BaseModel):
    """What a rules file may say about a rule or a feature."""

    model_config = ConfigDict(extra="forbid")

    params: dict[str, Any] = {}
    status: Literal["active", "shadow", "retired"] | None = None
    weight: Annotated[float, Field(gt=0, lt=1)] | None = None
    severity: Severity | None = None


@dataclass(frozen=True)
class Overrides:
    """What a rules file says.

    Attributes:
        said: of each rule or feature, what can be used.
        wrong: what cannot, each with file and line.
    """

    path: Path | None = None
    text: str = ""
    said: Mapping[str, RuleOverride] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()

    def of(self, name: str) -> RuleOverride:
        return self.said.get(name, RuleOverride())

    def params(self, name: str, stated: Mapping[str, Param]) -> dict[str, Any]:
        """The params that it sets for a rule or feature, read.

        Raises:
            RuleError: all that are none of the stated ones, or have a value that cannot be used; with file and line.
        """
        values: dict[str, Any] = {}
        wrong = []
        for param, value in self.of(name).params.items():
            if param not in stated:
                known = ", ".join(sorted(stated)) or "none"
                wrong.append(self.message(f"is none of its params ({known})", name, "params", param))
                continue
            try:
                values[param] = stated[param].read(value)
            except ValueError as error:
                wrong.append(self.message(str(error), name, "params", param))
        if wrong:
            raise RuleError("\n".join(wrong))
        return values

    def message(self, said: str, *keys: str) -> str:
        """`rules.yaml:3: night.weight: …`."""
        return _message(self.path, self.text, said, keys)


def read_overrides(path: Path) -> Overrides:
    """Read a rules file: `{high_value: {params: {…}, status: shadow}}`.

    Raises:
        RuleError: it is no such file, and says nothing that can be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.safe_load(text) or {}
    except OSError as error:
        raise RuleError(f"{path}: the rules file cannot be read ({error.strerror}); FRAUD_RULES_FILE names it") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RuleError(f"{path}:{line}: is not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or error
        raise RuleError(f"{path}:{mark.line + 1 if mark else 1}: is not YAML: {said}") from None
    if not isinstance(data, dict):
        raise RuleError(f"{path}:1: says nothing about rules; it looks like `high_value: {{params: {{…}}}}`")
    said_of: dict[str, RuleOverride] = {}
    wrong: list[str] = []
    for key, said in data.items():
        name = str(key)
        said_of[name] = RuleOverride()
        if not isinstance(said, dict):
            takes = "takes params, status, weight and severity, like {status: shadow}"
            wrong.append(_message(path, text, takes, (name,)))
            continue
        try:
            said_of[name] = RuleOverride.model_validate(said)
        except ValidationError as error:
            wrong += [_message(path, text, e["msg"], (name, *map(str, e["loc"]))) for e in error.errors()]
    return Overrides(path, text, said_of, tuple(wrong))


def _message(path: Path | None, text: str, said: str, keys: Iterable[str]) -> str:
    keys = tuple(keys)
    return f"{path}:{line_of_key(text, keys)}: {'.'.join(keys)}: {said}"
