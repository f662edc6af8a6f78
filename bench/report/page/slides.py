"""A chart under its title and its source, as one SVG: a slide, or a picture for a document, light or dark.

A chart is drawn at the sizes of the page and scaled as a whole, so that its text can be read from where it is shown.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import dataclass
from html import escape
from math import ceil
from textwrap import wrap

from bench.report.page import look
from bench.report.page.document import shown
from bench.report.page.encoding import Spec

WIDE = {"bold": 0.58, "normal": 0.52}  # of a letter, in parts of its size: what few fonts exceed on average
LEAST, MOST = 90, 1200  # pixels that a panel may get


@dataclass(frozen=True)
class Frame:
    """Where a picture is shown: its pixels (height 0: as many as it takes), those of its text, and its colours."""

    name: str
    width: int
    height: int
    scale: float  # of the chart, whose text has 11 pixels
    title: int
    small: int
    margin: int
    mode: int
    dense: float  # pixels of a PNG for each

    def wrapped(self, text: str, size: int, weight: str) -> list[str]:
        """Return a text as lines that fit beside the margins, none much shorter than the others."""
        room = (self.width - 2 * self.margin) / (WIDE[weight] * size)
        lines = ceil(len(text) / room)
        return wrap(text, min(int(room), ceil(1.1 * len(text) / lines) + 4)) if text else []

    def written(self, text: str, size: int, y: float, weight: str = "normal") -> tuple[str, float]:
        """Return the SVG of a text from a height on, and where it ends."""
        fill = look.COLOURS["ink" if weight == "bold" else "soft"][self.mode]
        font = f'font-family="{look.STILL_FONT}" font-size="{size}px" font-weight="{weight}" fill="{fill}"'
        pieces = []
        for line in self.wrapped(shown(text), size, weight):
            y += 1.25 * size
            pieces.append(f'<text x="{self.margin}" y="{y:.1f}" {font}>{escape(line)}</text>')
        return "".join(pieces), y + 0.3 * size


SLIDE = Frame("slide", 1280, 720, 1.85, 34, 20, 44, look.LIGHT, 1.5)
FRAMES = (
    SLIDE,
    Frame("light", 800, 0, 1.1, 17, 12, 14, look.LIGHT, 2.0),
    Frame("dark", 800, 0, 1.1, 17, 12, 14, look.DARK, 2.0),
)


def framed(spec: Spec, title: str, source: str, legend: str, frame: Frame) -> str:
    """Return the SVG of a chart that fills a frame under its title and source, and over what its marks mean."""
    head, y = frame.written(title.rstrip("."), frame.title, frame.margin / 2, "bold")
    of, top = frame.written(source, frame.small, y)
    _, foot = frame.written(legend, frame.small, 0)
    top += frame.small / 2
    room = frame.width - 2 * frame.margin
    high = (frame.height - top - foot - frame.margin / 2) / frame.scale if frame.height else 0.0
    drawing, width, height = fitted(spec, room / frame.scale, high, frame.mode)
    scale = min(frame.scale, room / width, *([high * frame.scale / height] if high else []))
    bottom = frame.height - foot - frame.margin / 2 if frame.height else top + height * scale
    below, end = frame.written(legend, frame.small, bottom)
    whole = frame.height or ceil(end + frame.margin / 2)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width}" height="{whole}" '
        f'viewBox="0 0 {frame.width} {whole}"><title>{escape(shown(title))}</title>'
        f'<rect width="{frame.width}" height="{whole}" fill="{look.COLOURS["paper"][frame.mode]}"/>{head}{of}{below}'
        f'<svg x="{frame.margin}" y="{top:.1f}" width="{width * scale:.1f}" height="{height * scale:.1f}" '
        f'viewBox="0 0 {width:g} {height:g}">{drawing}</svg></svg>\n'
    )


def fitted(spec: Spec, width: float, height: float, mode: int) -> tuple[str, float, float]:
    """Return what stands inside the SVG of a chart whose panels grow to a width and, unless 0, a height; its size."""
    still = look.with_colours(deepcopy(spec), mode)
    still["config"]["font"] = look.STILL_FONT
    view = still.get("spec", still)
    count = still.get("usermeta", {}).get("panels", 1)
    columns = min(count, still.get("columns", 1))
    svg, wide, high = _drawn(still)
    for _ in range(2):  # the second time, as an axis may have other labels in another size
        view["width"] = _grown(view["width"], (width - wide) / columns)
        if height and isinstance(view["height"], dict):
            view["height"]["step"] *= max(1.0, min(2.0, height / high))
        elif height:
            view["height"] = _grown(view["height"], (height - high) / ceil(count / columns))
        svg, wide, high = _drawn(still)
    return svg, wide, high


def _grown(pixels: int, by: float) -> int:
    return int(max(LEAST, min(MOST, pixels + by)))


def _drawn(still: Spec) -> tuple[str, float, float]:
    import vl_convert

    svg = vl_convert.vegalite_to_svg(json.dumps(shown(still)), show_warnings=False)
    head = re.match(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>(?:<rect width[^>]*/>)?', svg)
    assert head, svg[:200]
    return svg[head.end() :].removesuffix("</svg>"), float(head[1]), float(head[2])
