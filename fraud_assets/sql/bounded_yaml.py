"""YAML that people write: a value that cannot be made, and all that grows without bound, is a `YAMLError` with a line.

PyYAML's own constructors fail with many exceptions: `2026-02-30` is a ValueError, `!!timestamp x` an AttributeError. A few
aliases of aliases make a value of gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

MOST_LEVELS = 50
"""Levels of lists and mappings within each other."""
MOST_VALUES = 100_000
"""Values of a document, those of aliases counted each time they are used."""

_SHOWN = 80


class BoundedLoader(yaml.SafeLoader):
    """A SafeLoader for `yaml.load` and `yaml.compose`."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._level = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        self._level += 1
        if self._level > MOST_LEVELS:
            raise yaml.composer.ComposerError(None, None, f"nested more than {MOST_LEVELS} levels deep", mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if isinstance(event, yaml.AliasEvent) and id(node) not in self._sizes:
            raise yaml.composer.ComposerError(None, None, f"*{event.anchor} is within what it names", mark)
        if not isinstance(event, yaml.AliasEvent):
            inner = node.value if isinstance(node, yaml.CollectionNode) else ()
            # the items of a mapping are pairs
            parts = (part for each in inner for part in (each if isinstance(each, tuple) else (each,)))
            self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in parts)
        if self._sizes[id(node)] > MOST_VALUES:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_VALUES:,} values", mark)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2].rpartition("!")[2]
            found = f", found {shown(node.value)}" if isinstance(node, yaml.ScalarNode) else ""
            raise yaml.constructor.ConstructorError(
                None, None, f"expected a valid {kind}{found}; quote what is a text", node.start_mark
            ) from error

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if any(mark == "\0" or "\ud800" <= mark <= "\udfff" for mark in text):
            raise yaml.constructor.ConstructorError(
                None, None, "a text cannot have NUL or half a character (\\ud800 to \\udfff)", node.start_mark
            )
        return text

    def get_single_node(self) -> Any:
        try:
            return super().get_single_node()
        except (ValueError, OverflowError) as error:  # the scanner calls `chr` for \\U00110000
            raise yaml.scanner.ScannerError(None, None, "an escape names no character", self.get_mark()) from error


def shown(value: Any, repr_of: Callable[[Any], str] = repr) -> str:
    """A value as it stands in a message, cut after 80 characters."""
    text = repr_of(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def load(text: str) -> Any:
    """The value of one document.

    Raises:
        yaml.YAMLError: it is no YAML, or has a value that cannot be made.
    """
    return yaml.load(text, Loader=BoundedLoader)


def compose(text: str) -> yaml.Node | None:
    """The nodes of one document, with their lines.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    node: yaml.Node | None = yaml.compose(text, Loader=BoundedLoader)
    return node


def problem(error: yaml.YAMLError) -> str:
    """What is wrong, on one line."""
    return " ".join(str(getattr(error, "problem", None) or error).split())
