"""Rows as columns, as the page holds them: thousands of rows repeat the names of their fields, and many of their words.

`pack` and the page's `unpack` are each other's inverse, but for fields that are None, which a row then lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def pack(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as `n`, their number, and `of`, a column for each field."""
    fields = dict.fromkeys(field for row in rows for field in row)
    return {"n": len(rows), "of": {field: pack_column([row.get(field) for row in rows]) for field in fields}}


def pack_column(values: list[Any]) -> Any:
    """Return values as they are, or words that are repeated as `words` and the place of each, from 1; 0 is none."""
    words = list(dict.fromkeys(value for value in values if type(value) in (str, bool)))
    if not words or 2 * len(words) > len(values) or any(type(v) not in (str, bool, type(None)) for v in values):
        return values
    places = {word: place for place, word in enumerate(words, 1)}
    return {"words": words, "at": [0 if value is None else places[value] for value in values]}
