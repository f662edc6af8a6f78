"""Numbers, nouns and tables as every sentence, terminal and document has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WORDS = "Words: docs/GLOSSARY.md."  # the end of every table's legend
USUAL = 224  # pixels a side, which is not said


def digits(value: float) -> str:
    """Four significant digits, and no exponent."""
    whole = len(str(int(value)))
    return f"{value:,.{max(0, 4 - whole) if value >= 1 else 4}f}"


def plural(count: int, one: str, more: str = "") -> str:
    """The noun as the count wants it: `one`, or `more` (`one` with an s)."""
    return one if count == 1 else more or f"{one}s"


def at_pixels(image: int) -> str:
    """The size of the images, ` at 160 pixels` behind a model's name; empty for the usual one."""
    return "" if image == USUAL else f" at {image} pixels"


def grid(*titles: str, text: int | Collection[str] = 2, wrapped: Collection[str] = (), gap: int = 1) -> Table:
    """An empty table without lines, `gap` spaces between its columns: the longest names still fit 80.

    `text`: how many of the first columns, or which, hold words and are set left; the others, numbers, are set right.
    Only `wrapped` columns are broken into lines.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for place, title in enumerate(titles):
        left = _is_text(place, title, text)
        table.add_column(title, justify="left" if left else "right", no_wrap=title not in wrapped)
    return table


def markdown_table(titles: Sequence[str], rows: Iterable[Iterable[str]], text: int | Collection[str] = 1) -> list[str]:
    """The lines of a Markdown table; `text` as `grid` has it."""
    rules = ["---" if _is_text(place, title, text) else "---:" for place, title in enumerate(titles)]
    head = "".join(f"| {title} " if title else "| " for title in titles) + "|"
    return [head, f"|{'|'.join(rules)}|", *(f"| {' | '.join(cells)} |" for cells in rows)]


def markdown_cell(text: str) -> str:
    """Text on one line, that is neither markup nor the end of a table's cell."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _is_text(place: int, title: str, text: int | Collection[str]) -> bool:
    return place < text if isinstance(text, int) else title in text
