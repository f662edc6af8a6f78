"""Numbers for JSON: finite, and no longer than a chart can show."""

from __future__ import annotations

from math import isfinite
from typing import Any

DIGITS = 5  # significant ones


def rounded(value: Any) -> Any:
    """Return a float, or a list of floats, with DIGITS significant digits; None in place of a NaN or an infinity."""
    if isinstance(value, list):
        return [rounded(element) for element in value]
    if type(value) is not float:
        return value
    return float(f"{value:.{DIGITS}g}") if isfinite(value) else None
