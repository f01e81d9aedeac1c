"""Python source in the layout of `ruff format` and black, stable at line lengths of 88 and more.

A call, list, tuple or dict takes one line if it fits, otherwise one line per entry with a trailing comma. A value is a Python
literal or one of the classes below.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 88


@dataclass(frozen=True)
class Call:
    """A call; if `exploded`, each argument takes a line even if all fit on one."""

    function: str
    arguments: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)
    exploded: bool = False


@dataclass(frozen=True)
class Code:
    """Python source, copied unchanged."""

    text: str


@dataclass(frozen=True)
class Block:
    """Text of several lines, written as a string that is indented like the surrounding code. Only in an exploded call."""

    text: str


@dataclass(frozen=True)
class Noted:
    """An argument with a comment above it. Only in an exploded call."""

    value: object
    comment: str


def layout(value: object, indent: int = 0, before: str = "", after: str = "") -> list[str]:
    """Lines of `before`, the value and `after`, each indented by `indent` spaces."""
    margin = " " * indent
    if isinstance(value, Noted):
        return [*_comment(value.comment, indent), *layout(value.value, indent, before, after)]
    if isinstance(value, Block):
        return [f'{margin}{before}cleandoc("""', *_wrapped(value.text, indent + 4), f'{margin}"""){after}']
    parts = _parts(value)
    if parts is None or not (isinstance(value, Call) and value.exploded):
        line = margin + before + _one_line(value) + after
        if parts is None or len(line) <= WIDTH:
            return [line]
    opening, entries, closing = parts
    lines = [margin + before + opening]
    for name, entry in entries:
        lines += layout(entry, indent + 4, name, ",")
    return [*lines, margin + closing + after]


def paragraph(text: str, indent: int = 0, continued: str = "") -> list[str]:
    """Wrap a line of prose; `continued` is the prefix of every line but the first."""
    return textwrap.wrap(text, WIDTH - indent, subsequent_indent=continued, break_long_words=False, break_on_hyphens=False) or [
        ""
    ]


def _comment(text: str, indent: int) -> list[str]:
    return [" " * indent + "# " + line for line in paragraph(text, indent + 2)]


def _wrapped(text: str, indent: int) -> list[str]:
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines: list[str] = []
    for line in escaped.split("\n"):
        lines += paragraph(line, indent, "  " if line.startswith("- ") else "")
    return [" " * indent + line if line else "" for line in lines]


def _parts(value: object) -> tuple[str, Sequence[tuple[str, object]], str] | None:
    """Opening, entries with their prefixes, and closing of a value that can span several lines; None for other values."""
    match value:
        case Call(function, arguments, keywords):
            named = [(f"{name}=", entry) for name, entry in keywords.items()]
            return f"{function}(", [*(("", entry) for entry in arguments), *named], ")"
        case list():
            return "[", [("", entry) for entry in value], "]"
        case tuple():
            return "(", [("", entry) for entry in value], ")"
        case dict():
            return "{", [(f"{_one_line(name)}: ", entry) for name, entry in value.items()], "}"
    return None


def _one_line(value: object) -> str:
    parts = _parts(value)
    if parts is not None:
        opening, entries, closing = parts
        return opening + ", ".join(name + _one_line(entry) for name, entry in entries) + closing
    match value:
        case Code(text):
            return text
        case str():
            return _string(value)
        case bool() | int() | float() | None:
            return repr(value)
    raise TypeError(f"A value of type {type(value).__name__} cannot be written as Python source")


def _string(text: str) -> str:
    """A literal in double quotes, or in single quotes if that needs fewer escapes."""
    literal = repr(text)
    if literal.startswith('"') or '"' in text:
        return literal
    return f'"{literal[1:-1]}"'
