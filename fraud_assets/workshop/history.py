"""The history of rules: who put which version into force, when and why, and whether the version in force has passed.

`fraud rules lock` records versions of rule files in `rules.history`, beside `rules.lock`. `fraud rules promote` records what it
writes into a rules file, with the figures of its gate, in a file beside it: `rules.yaml.history`. Both have a line of JSON for
each version, and lines are only added.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fraud_assets.atomic_write import write_atomically
from fraud_assets.detection.overrides import Status
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_facts import written
from fraud_assets.errors import RuleError
from fraud_assets.sql.files import validation_message
from fraud_assets.workshop.gate import Finding
from fraud_assets.workshop.lock import LOCK, entry_of, read_lock

HISTORY = "rules.history"
"""Name of the history of a folder's rule files."""


class Recorded(BaseModel):
    """A version that was put into force.

    Attributes:
        params: as written in a rules file.
        at: aware, UTC.
        findings: what the gate found; empty for a rule file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    version: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    status: Status
    params: dict[str, str] = {}
    at: dt.datetime
    by: str
    why: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """Whether the version of a rule in force passed.

    Attributes:
        said: what was found, and what to do if it did not pass.
        record: of the version in force; None if it is not recorded.
        held: False if there is no record to compare the version with; it has passed then.
    """

    passed: bool
    said: str
    record: Recorded | None = None
    held: bool = True


def history_of_folder(folder: Path) -> Path:
    """The file with the history of a folder's rule files."""
    return folder / HISTORY


def history_of_file(rules_file: Path) -> Path:
    """The file with the history of a rules file."""
    return rules_file.with_name(f"{rules_file.name}.history")


def record_of(rule: Rule, at: dt.datetime, by: str, why: str, findings: Iterable[Finding] = ()) -> Recorded:
    """A record of a rule with its params and status."""
    params = {name: written(value) for name, value in rule.file.values.items()}
    status: Status = rule.status  # type: ignore[assignment]  # read_rule gives it
    said = tuple(finding.said for finding in findings)
    return Recorded(rule=rule.name, version=rule.version, status=status, params=params, at=at, by=by, why=why, findings=said)


def read_history(path: Path) -> list[Recorded]:
    """The records of a file, in their order; none if there is no file.

    Raises:
        RuleError: a line is no record; with file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(f"{path}: cannot be read: {error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Recorded.model_validate_json(line))
        except ValidationError as error:
            raise RuleError(f"{path}:{number}: expected a record of a rule: {validation_message(error.errors()[0])}") from None
    return found


def add_to_history(path: Path, records: Sequence[Recorded]) -> None:
    """Add records to a file; there is one after this, even without records."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_atomically(path, before + "".join(f"{record.model_dump_json()}\n" for record in records))


def standing(rule: Rule, rules_file: Path | None) -> Standing:
    """Whether the version of a rule in force is one that was locked, or promoted through the gate.

    The rule file must be as `rules.lock` says. What a rules file sets must be as the last record of the rule in its history
    says. A folder without a lock file, and a rules file without a history, are not held against anything.

    Raises:
        RuleError: a lock file or a history is not valid.
    """
    return standing_of(rule, read_lock(rule.file.path.parent), _records(rules_file))


def standing_of(rule: Rule, locked: Mapping[str, str], records: Sequence[Recorded] | None) -> Standing:
    """`standing`, by what was read.

    Args:
        locked: contents of the lock file; empty if there is none.
        records: of the rules file; None if it has no history.
    """
    file, stated = rule.file.path, rule.as_written
    if locked and locked.get(rule.name) != entry_of(stated):
        was = f"locked as {locked[rule.name]}" if rule.name in locked else "not locked"
        return Standing(
            False,
            f"{file} is {entry_of(stated)}, and {was} in {file.with_name(LOCK)}: the rule was changed without the gate. Try it "
            f"with `fraud rules try {rule.name}`, review it, then run `fraud rules lock`",
        )
    if entry_of(rule) == entry_of(stated):
        return Standing(True, f"as in {file.with_name(LOCK)}") if locked else Standing(True, not_held(file.parent), held=False)
    if records is None:
        return Standing(True, "set by a rules file that has no history: nothing was promoted yet")
    last = next((record for record in reversed(records) if record.rule == rule.name), None)
    if last is None or (last.version, last.status) != (rule.version, rule.status):
        was = f"{last.version} {last.status}, by {last.by}" if last else "none"
        return Standing(
            False,
            f"the rules file makes it {entry_of(rule)}; promoted was {was}: the params were changed without the gate. Take the "
            f"change back and run `fraud rules promote {rule.name} --set …`, or run `fraud rules lock --why …`",
            last,
        )
    return Standing(True, f"promoted by {last.by} on {last.at:%Y-%m-%d}: {last.why}", last)


def not_held(folder: Path) -> str:
    """What to do about a folder of rules without a lock file."""
    return (
        f"{folder} has no {LOCK}: a changed rule raises alerts at once, without a record of the change. Review its "
        "rules, then run `fraud rules lock --why …`; commit what it writes"
    )


def unrecorded(rules: Iterable[Rule], rules_file: Path) -> list[Rule]:
    """Rules that a rules file changes, and whose version in force its history does not have as the last."""
    latest = {record.rule: (record.version, record.status) for record in read_history(history_of_file(rules_file))}
    return [
        rule
        for rule in rules
        if entry_of(rule) != entry_of(rule.as_written) and latest.get(rule.name) != (rule.version, rule.status)
    ]


def records_of(rule: Rule, rules_file: Path | None) -> list[Recorded]:
    """All records of a rule, of its file and of the rules file, in order of time."""
    found = [*read_history(history_of_folder(rule.file.path.parent)), *(_records(rules_file) or [])]
    return sorted((each for each in found if each.rule == rule.name), key=lambda each: each.at)


def _records(rules_file: Path | None) -> list[Recorded] | None:
    path = history_of_file(rules_file) if rules_file else None
    return read_history(path) if path and path.exists() else None


def params_text(rule: Rule) -> str:
    """The params of a rule as JSON."""
    return json.dumps({name: written(value) for name, value in rule.file.values.items()}, ensure_ascii=False, sort_keys=True)
