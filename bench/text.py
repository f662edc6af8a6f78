"""Numbers as people read them."""

from __future__ import annotations


def digits(value: float) -> str:
    """Four significant digits, and no exponent."""
    whole = len(str(int(value)))
    return f"{value:,.{max(0, 4 - whole) if value >= 1 else 4}f}"
