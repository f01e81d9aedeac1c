"""The normal form in which names of merchants and places are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pyarrow as pa


def normal(text: str) -> str:
    """A text in Unicode NFC, case-folded, with one blank for each run of white space and none at the ends."""
    # caseless matching as Unicode defines it (D145) folds decomposed text
    folded = unicodedata.normalize("NFD", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def normal_form(parts: Sequence[pa.ChunkedArray]) -> pa.Array:
    """The normal forms of the parts of each row, joined by commas.

    NULL where the last part is NULL or blank; other parts that are NULL or blank are left out.
    """
    columns = [_normal_values(part) for part in parts]
    return pa.array([", ".join(filter(None, row)) if row[-1] else None for row in zip(*columns, strict=True)], pa.string())


def _normal_values(column: pa.ChunkedArray) -> list[str | None]:
    # a value occurs many times, and is computed once
    encoded = column.combine_chunks().dictionary_encode()
    values = [normal(value) for value in encoded.dictionary.to_pylist()]
    return [None if index is None else values[index] for index in encoded.indices.to_pylist()]
