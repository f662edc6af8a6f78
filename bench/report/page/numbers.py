"""Numbers for JSON: finite, and no longer than a chart can show."""

from __future__ import annotations

from math import isfinite, log10
from typing import Any

DIGITS = 5  # significant ones


def number(value: Any) -> float | None:
    """A number, or None for what is none: an `unreadable:` in its place."""
    return float(value) if type(value) in (int, float) and isfinite(value) else None


def over(one: Any, other: Any) -> float | None:
    """A ratio of two such, where there is one."""
    above, below = number(one), number(other)
    return above / below if above is not None and below else None


def short(value: Any) -> Any:
    """Floats, in lists too, of DIGITS significant digits; None for one that JSON does not have."""
    if isinstance(value, list):
        return [short(one) for one in value]
    if type(value) is not float:
        return value
    if not isfinite(value):
        return None
    return round(value, DIGITS - 1 - int(log10(abs(value)) // 1)) if value else 0.0
