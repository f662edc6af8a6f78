"""What a room has to say to a person, for a command to print: rooms make lines, and only the command line prints."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import RenderableType


class Line(NamedTuple):
    """A sentence, a table, or an empty line.

    `markup`: whether square brackets in it are rich's markup. `whole`: no width breaks it, so that a path or a command
    in it can be copied.
    """

    content: RenderableType = ""
    style: str | None = None
    markup: bool = True
    whole: bool = False


def plain(text: str, style: str | None = None) -> Line:
    """A sentence that no width breaks, taken as it is."""
    return Line(text, style, markup=False, whole=True)
