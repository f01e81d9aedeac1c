"""JSON files with the state of notifications. A damaged file is moved aside, and monitoring goes on without it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
DAMAGED = ".damaged"
"""End of the name of a damaged file that was moved aside."""

log = logging.getLogger(__name__)


def read_state(file: Path, shape: TypeAdapter[T], effect: str) -> T | None:
    """Read a file; None if there is none, or if it is damaged. A damaged file is moved to `<name>.damaged`, with a warning.

    Args:
        shape: the type of what the file holds.
        effect: what a damaged file leads to, as the end of a sentence, for the warning.
    """
    try:
        # a surrogate without its other half is JSON, but no text
        text = json.dumps(json.loads(file.read_bytes()), ensure_ascii=False).encode(errors="replace")
        return shape.validate_json(text, strict=True)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        # not the error itself, which shows what the file holds
        reason = error.errors(include_input=False, include_url=False)[0]["msg"]
    except (ValueError, RecursionError):
        reason = "it is not JSON"
    except IsADirectoryError:
        reason = "it is a folder"
    aside = _free_name(file)
    try:
        file.rename(aside)
    except FileNotFoundError:  # another process was faster
        return None
    log.warning("%s is damaged (%s) and was moved to %s; %s", file, reason, aside.name, effect)
    return None


def _free_name(file: Path) -> Path:
    aside, number = file.with_name(file.name + DAMAGED), 1
    while aside.exists():
        number += 1
        aside = file.with_name(f"{file.name}.{number}{DAMAGED}")
    return aside
