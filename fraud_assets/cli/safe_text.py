"""Text from data, made harmless: for a terminal, JSON, CSV and a suggested shell command."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that change the direction of text, separators of lines, lone surrogates: what a
terminal obeys, or cannot show."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet may take for a formula."""


def visible(text: str) -> str:
    r"""The text with its control characters written out, such as `\x1b`."""
    return _CONTROL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str, bytes_below: int = 0x100) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < bytes_below else f"\\u{ord(character):04x}"


def shell_word(text: str) -> str:
    """The text as one word of a shell command, on one line; with control characters, as bash and zsh write them."""
    if visible(text) == text and "\n" not in text and "\t" not in text:
        return shlex.quote(text)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    # in a shell, \x stands for a byte
    return f"$'{_CONTROL.sub(lambda found: _escape(found[0], 0x80), quoted)}'"


def shell_command(words: Iterable[str]) -> str:
    """The words as a command to copy."""
    return " ".join(map(shell_word, words))


def json_text(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    r"""The value as JSON, readable, with control characters as `\u` escapes."""
    text = json.dumps(value, default=default, ensure_ascii=False, indent=2)
    # JSON has escaped those below 0x20; the others stand in strings only
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV. A list is written as JSON. An apostrophe precedes what a spreadsheet would take for a formula."""
    writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in columns})


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    return visible(f"'{value}" if value.startswith(_FORMULA) else value)


class SafeConsole(Console):
    """A console on which no text from data reaches the terminal as a control sequence.

    What prints data makes it `visible`, so that columns are as wide as they look. This is the net below.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or not _CONTROL.search(segment.text):
                yield segment
            else:
                yield Segment(_CONTROL.sub("\ufffd", segment.text), segment.style)
