"""Lines of output: rooms return them, and only `bench.cli` prints."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import RenderableType


class Line(NamedTuple):
    """A sentence, a table, or an empty line.

    `markup`: square brackets are rich's markup. `whole`: it is never wrapped, so that a path or command can be copied.
    """

    content: RenderableType = ""
    style: str | None = None
    markup: bool = True
    whole: bool = False


def verbatim(text: str, style: str | None = None) -> Line:
    """Return a line that is neither wrapped nor read as markup."""
    return Line(text, style, markup=False, whole=True)
