"""Literal patterns: of dates, of LIKE and of regular expressions, read as Hive (Java) reads them, written for DuckDB (RE2)."""

from __future__ import annotations

import re

_DATE_LETTERS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_ENDS = "\\n\\r\\x{85}\\x{2028}\\x{2029}"
_SAFE_ESCAPES = "dDwWstnr.\\+*?()[]{}|^$/-_:;,@#%&=!<>~'\"` "


class PatternError(ValueError):
    """A pattern that engines read differently; the message says why, and what to write."""


def strftime(pattern: str) -> str:
    """A pattern of `date_format` for DuckDB.

    Raises:
        PatternError: letters other than yyyy, MM, dd, HH, mm and ss, or a quote.
    """
    out = []
    for letters in re.findall(r"y+|M+|d+|H+|m+|s+|[A-Za-z]|[^A-Za-z]", pattern):
        if letters in _DATE_LETTERS:
            out.append(_DATE_LETTERS[letters])
        elif letters.isascii() and letters in " -/:.,_":
            out.append(letters)
        else:
            raise PatternError(
                f"{letters!r} in the pattern {pattern!r}: engines read it differently; "
                "use yyyy, MM, dd, HH, mm, ss and the signs - / : . , _ and blank, and CONCAT for other text"
            )
    return "".join(out)


def check_like(pattern: str) -> None:
    """Raises PatternError for a backslash that escapes neither `%` nor `_`."""
    if re.search(r"\\(?![%_])", pattern):
        raise PatternError(r"in a LIKE pattern a backslash stands before % or _ only; use INSTR(x, '\\') to look for one")


def re2(pattern: str) -> str:
    """A Java regular expression for RE2, where both can mean the same.

    Raises:
        PatternError: a construct that only one of them has, or that they read differently.
    """
    out: list[str] = []
    position, in_class, depth = 0, False, 0
    while position < len(pattern):
        char = pattern[position]
        rest = pattern[position:]
        step = 1
        if char == "\\":
            escaped = rest[1:2]
            if re.match(r"\\x[0-9a-fA-F]{2}", rest):
                out.append(rest[:4])
                position += 4
                continue
            if not escaped or escaped not in _SAFE_ESCAPES:
                raise PatternError(
                    f"'\\{escaped}' in a regular expression is read differently; use \\d, \\w, \\s or a class like [0-9]"
                )
            out.append(r"[\t\n\v\f\r ]" if escaped == "s" and not in_class else r"\t\n\v\f\r " if escaped == "s" else rest[:2])
            if escaped in "/-_:;,@#%&=!<>~'\"` ":
                out[-1] = escaped if not in_class or escaped != "-" else "\\-"
            step = 2
        elif in_class:
            if char == "[" or rest.startswith("&&"):
                raise PatternError("a class within a class of a regular expression is read differently; write one class")
            if char == "]":
                in_class = False
            out.append(char)
        elif char == "[":
            in_class = True
            step = 3 if rest.startswith("[^]") else 2 if rest.startswith(("[^", "[]")) else 1
            if rest.startswith(("[]", "[^]")):
                raise PatternError("a class of a regular expression starts with ]; write \\]")
            out.append(rest[:step])
        elif char == "(":
            if rest.startswith("(?:"):
                step = 3
            elif rest.startswith("(?"):
                raise PatternError(
                    "'(?' in a regular expression (flags, look-around, named groups) is read differently; "
                    "use LOWER(x) for any letter case, and ( ) or (?: ) for groups"
                )
            depth += 1
            out.append(rest[:step])
        elif char in "*+?}" and rest[1:2] == "+":
            raise PatternError("possessive quantifiers are Java's alone; leave out the second +")
        elif char == ".":
            out.append(f"[^{_ENDS}]")
        elif char == "$":
            if position != len(pattern) - 1:
                raise PatternError("$ stands only at the end of a regular expression")
            out.append(r"\z")
        else:
            out.append(char)
        position += step
    try:
        re.compile(pattern)
    except re.error as error:
        raise PatternError(f"{pattern!r} is not a regular expression: {error}") from None
    return "".join(out)


def groups(pattern: str) -> int:
    """The number of groups of a regular expression."""
    return re.compile(pattern).groups


def java(pattern: str) -> str:
    """The pattern for Hive and Spark: `$` is the end, not also what stands before a last line break."""
    return pattern[:-1] + r"\z" if pattern.endswith("$") and not re.search(r"(?<!\\)(\\\\)*\\\$$", pattern) else pattern


def replacement(text: str, count: int) -> str:
    """The replacement of `regexp_replace` for RE2: `$1` is its `\\1`.

    Raises:
        PatternError: a group that the pattern does not have, or a sign that stands for nothing.
    """
    out, position = [], 0
    while position < len(text):
        char, following = text[position], text[position + 1 : position + 2]
        if char == "$":
            if not following.isdigit() or int(following) > count or text[position + 2 : position + 3].isdigit():
                raise PatternError(f"${following} in the replacement names no group of the pattern; write \\$ for the sign")
            out.append(f"\\{following}")
            position += 2
        elif char == "\\":
            if following not in ("$", "\\"):
                raise PatternError("a backslash in the replacement stands before $ or \\ only")
            out.append("\\\\" if following == "\\" else "$")
            position += 2
        else:
            out.append(char)
            position += 1
    return "".join(out)


def matches_nothing(pattern: str) -> bool:
    """True if a regular expression matches the empty text."""
    return re.compile(pattern).match("") is not None
