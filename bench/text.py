"""Numbers, nouns and tables as all sentences, terminal output and documents have them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

WORDS = "Words: docs/GLOSSARY.md."  # the end of every table's legend
VERDICT_MARKS = {"winner": "★", "tie": "≈", "unknown": "?"}  # of what may be the fastest, wherever rows are shown
USUAL = 224  # pixels a side, which are left out
# Characters that act on a terminal or hide text: controls but tab and line feed, bidirectional and zero-width ones,
# line separators, tags, halves of surrogate pairs
UNSEEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

# Where a name or a sentence may go on in the next line of a cell: behind a space, and at what joins the parts of names
JOINT = re.compile(r"(?<=\s)(?=\S)|(?<=\w-)(?=[a-z])|(?<=\w[/:_,])(?=[a-z]\w)|(?<=\w)(?=\+[a-z])")


def digits(value: float) -> str:
    """Format a number with four significant digits; with an exponent only where a table has no room else."""
    if abs(value) >= 1e15 or 0 < abs(value) < 5e-5:
        return f"{value:.3e}"
    whole = len(str(int(value)))
    return f"{value:,.{max(0, 4 - whole) if value >= 1 else 4}f}"


def percent_change(ratio: float, places: int = 1) -> str:
    """Return a ratio as a change in percent, `+3.1`, with no more digits than can mean something: `>+1000`."""
    percent = 100 * (ratio - 1)
    if percent > 1000 or percent < -99:
        return ">+1000" if percent > 0 else "<-99"
    places = places if abs(percent) < 100 else 0
    return f"{round(percent, places) + 0.0:+.{places}f}"  # never -0.0


def percent_interval(low: float, high: float) -> str:
    """Return an interval of a ratio as changes in percent, `-1.2 to +3.4`; one that is wide has no decimals."""
    places = 1 if high - low < 1 else 0
    return f"{percent_change(low, places)} to {percent_change(high, places)}"


def half_width_percent(half_width: float, places: int = 1) -> str:
    """Return half a relative interval in percent, without a sign; `>100` where it says no more than that."""
    return f"{100 * half_width:.{places}f}" if half_width <= 1 else ">100"


def plus_minus(half_width: float | None) -> str:
    """Return half a relative interval as `±3%`, to a tenth below one percent; nothing where it is not known."""
    if half_width is None:
        return ""
    return f"±{half_width_percent(half_width, 1 if half_width < 0.00995 else 0)}%"


def plural(count: int, one: str, more: str = "") -> str:
    """Return a noun in singular or plural: `one` for 1, else `more`, or `one` with an s."""
    return one if count == 1 else more or f"{one}s"


def did_you_mean(word: str, words: Collection[str]) -> str:
    """Return ` (did you mean NAME?)` with the nearest of `words`; empty if none is near."""
    near = get_close_matches(word[:200], words, n=1)  # the search for one in a megabyte takes minutes
    return f" (did you mean {near[0]}?)" if near else ""


def visible(text: str) -> str:
    """Return text as it may be printed: a character of UNSEEN is shown as Python writes it, `\\x1b`."""
    return UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


def at_pixels(image: int) -> str:
    """Return the image size to put behind a model's name, ` at 160 pixels`; empty for the usual one."""
    return "" if image == USUAL else f" at {image} pixels"


def grid(*titles: str, text: int | Collection[str] = 2, wrapped: Collection[str] = (), gap: int = 1) -> Table:
    """Return an empty table without lines and with `gap` spaces between columns: the longest names fit 80.

    `text` is the number of first columns, or the titles of the columns, that hold words and are aligned left; numbers
    are aligned right. Only `wrapped` columns are broken into lines.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for place, title in enumerate(titles):
        left = _is_text(place, title, text)
        whole = title not in wrapped
        overflow: Any = "ellipsis" if whole else "fold"  # a name without spaces is broken, and not cut
        table.add_column(title, justify="left" if left else "right", no_wrap=whole, overflow=overflow)
    return table


def joints(line: str) -> list[str]:
    """Return the pieces of a line that stay whole where it is broken; together they are the line."""
    return JOINT.split(line)


def width(text: str) -> int:
    """Return the columns of a terminal that text takes."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def least_width(text: str) -> int:
    """Return the columns that text takes at least, broken at its joints."""
    return max(width(piece.rstrip()) for line in text.split("\n") for piece in joints(line))


def markdown_table(titles: Sequence[str], rows: Iterable[Iterable[str]], text: int | Collection[str] = 1) -> list[str]:
    """Return the lines of a Markdown table; `text` is as in `grid`."""
    rules = ["---" if _is_text(place, title, text) else "---:" for place, title in enumerate(titles)]
    head = "".join(f"| {title} " if title else "| " for title in titles) + "|"
    return [head, f"|{'|'.join(rules)}|", *(f"| {' | '.join(map(markdown_cell, cells))} |" for cells in rows)]


def markdown_cell(text: str) -> str:
    """Return text on one line, with HTML and the end of a table's cell escaped; what is escaped stays as it is."""
    one_line = visible(" ".join(text.split())).replace("<", "&lt;")
    return re.sub(r"(?<!\\)((?:\\\\)*)\|", r"\1\\|", one_line)


def _is_text(place: int, title: str, text: int | Collection[str]) -> bool:
    return place < text if isinstance(text, int) else title in text
