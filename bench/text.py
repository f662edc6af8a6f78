"""Numbers and columns as every table and sentence has them."""

from __future__ import annotations

from rich.table import Table


def digits(value: float) -> str:
    """Four significant digits, and no exponent."""
    whole = len(str(int(value)))
    return f"{value:,.{max(0, 4 - whole) if value >= 1 else 4}f}"


def plural(count: int, one: str, more: str = "") -> str:
    """The noun as the count wants it: `one`, or `more` (`one` with an s)."""
    return one if count == 1 else more or f"{one}s"


def grid(*titles: str, text: int = 2) -> Table:
    """An empty table without lines: the first `text` columns set left, the others right, none wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < text else "right", no_wrap=True)
    return table
