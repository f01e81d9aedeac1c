"""Records on a terminal: a line of fields, and texts below it. Unlike a table, it cuts no field on a narrow terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from fraud_assets.cli.safe_text import visible

_GAP = "  "


def print_record(console: Console, fields: Sequence[str | None], texts: Iterable[str]) -> None:
    """Print the fields, whole, on as many lines as they need; then each text, wrapped and indented."""
    for number, line in enumerate(_lines([visible(field or "-").replace("\n", "\\n") for field in fields], console.width)):
        # a field that is wider than the terminal is not cut either: the terminal wraps it
        console.print(Text(line if number == 0 else f"  {line}", style="bold"), highlight=False, soft_wrap=True)
    for text in texts:
        wrapped = Text(visible(text)).wrap(console, max(console.width - 4, 1))
        for number, part in enumerate(wrapped):
            part.rstrip()
            console.print(Text("    " if number else "  ").append(part), highlight=False, soft_wrap=True)


def _lines(fields: Sequence[str], width: int) -> Iterator[str]:
    """The fields on lines of at most this width; lines after the first are narrower, since they are indented."""
    line, first = "", width
    for field in fields:
        if line and cell_len(line) + len(_GAP) + cell_len(field) > width:
            yield line
            line, width = field, first - 2
        else:
            line = f"{line}{_GAP}{field}" if line else field
    if line:
        yield line
