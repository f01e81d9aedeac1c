"""Parts of a query in messages, with functions as the author wrote them."""

from __future__ import annotations

from sqlglot import exp

from hive_io.hiveql.calls import WRITTEN, call_of

_LONGEST = 80


def written(node: exp.Expr) -> str:
    """The text of a part of a query, cut if it is long."""
    copy = node.copy()
    for part in reversed(list(copy.walk())):
        if WRITTEN in part.meta and not isinstance(part, (exp.Mod, exp.DPipe, exp.RegexpLike)):
            call = call_of(part)
            if call is not None and not any(isinstance(arg, exp.Distinct) for arg in call.args):
                said = exp.Anonymous(this=part.meta[WRITTEN], expressions=[arg.copy() for arg in call.args])
                if part is copy:
                    copy = said
                else:
                    part.replace(said)
    text = copy.sql("hive", normalize_functions=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
