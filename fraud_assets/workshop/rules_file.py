"""Writing a change into the rules file that FRAUD_RULES_FILE names. Everything else in it stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from fraud_assets.errors import RuleError
from fraud_assets.sql import bounded_yaml

_WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Writes decimals as they are."""


def _number(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    kind = "int" if value == value.to_integral_value() else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", f"{value:f}")


_Dumper.add_representer(Decimal, _number)


def with_entry(text: str, name: str, changes: Mapping[str, Any], comment: str) -> str:
    """The text of a rules file, with values that it sets for a rule or feature.

    Args:
        text: of the file; empty for a new one.
        changes: `status`, `params` …; the params are added to those that the file sets already.
        comment: a line above the entry.

    Raises:
        RuleError: the file is no YAML, or not a mapping in block style.
    """
    try:
        root, data = bounded_yaml.compose(text), bounded_yaml.load(text) or {}
    except yaml.YAMLError as error:
        raise RuleError(f"the rules file is not valid YAML: {bounded_yaml.problem(error)}") from None
    if isinstance(root, yaml.MappingNode) and not root.value:  # {}
        text, root = text[: root.start_mark.index] + text[root.end_mark.index :], None
    if root is not None and (not isinstance(root, yaml.MappingNode) or root.flow_style):
        raise RuleError("the rules file must have each rule on a line of its own: `high_value: {params: {…}}`")
    before: Mapping[str, Any] = data.get(name) or {}
    merged = {**before, **changes}
    if "params" in changes:
        merged["params"] = {**before.get("params", {}), **changes["params"]}
    remark = "".join(f"# {line}\n" for line in comment.splitlines())
    entry = remark + yaml.dump({name: merged}, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = next(((key, value) for key, value in pairs if key.value == name), None)
    if found is None:
        return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{entry}"
    start, end = found[0].start_mark.index, found[1].end_mark.index
    # a block ends where the next key begins, with the comments of that key
    own = text[start:end].rstrip()
    lines = own.splitlines()
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    end = start + len("\n".join(lines))
    kept = "".join(f"{line.strip()}\n" for line in lines if line.lstrip().startswith("#"))
    rest = text[end:]
    return text[:start] + kept + entry.rstrip("\n") + (rest if rest else "\n")
