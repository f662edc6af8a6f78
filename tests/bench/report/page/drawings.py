"""SVG pictures, read: where each text stands, and what was drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

LETTER = 0.62  # of a letter, in parts of its size: wider than it is on average


class Text(NamedTuple):
    words: str
    x: float
    y: float
    size: float
    anchor: str
    upright: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        width = LETTER * self.size * len(self.words)
        if self.upright:
            return self.x - self.size, self.y - width / 2, self.x, self.y + width / 2
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return left, self.y - 0.8 * self.size, left + width, self.y + 0.2 * self.size


def texts(svg: str) -> list[Text]:
    """Every text that is not empty, where it stands in the whole picture and how large it is there."""
    return [text for text in _texts(ElementTree.fromstring(svg), 0, 0, 1) if text.words]


def _texts(element: ElementTree.Element, x: float, y: float, scale: float) -> Iterator[Text]:
    if element.get("opacity") == "0" or element.get("display") == "none":
        return
    if moved := re.match(r"translate\(([-\d.e]+),\s*([-\d.e]+)\)(?:\s*rotate)?", element.get("transform", "")):
        x, y = x + scale * float(moved[1]), y + scale * float(moved[2])
    if element.tag.endswith("}svg") and element.get("x"):  # a chart in its frame
        x, y = x + scale * float(element.get("x", "0")), y + scale * float(element.get("y", "0"))
        scale *= float(element.get("width", "1")) / float(element.get("viewBox", "0 0 1 1").split()[2])
    if element.tag.endswith("}text"):
        size = float(re.sub("px$", "", element.get("font-size", "11px")))
        x, y = x + scale * float(element.get("x", "0")), y + scale * float(element.get("y", "0"))
        upright = "rotate(-90)" in element.get("transform", "")
        yield Text("".join(element.itertext()), x, y, scale * size, element.get("text-anchor", "start"), upright)
    for inner in element:
        yield from _texts(inner, x, y, scale)


def overlapping(some: list[Text]) -> list[tuple[str, str]]:
    """The pairs of texts of which one hides a part of the other."""
    pairs = []
    for place, one in enumerate(some):
        for other in some[:place]:
            (a, b, c, d), (e, f, g, h) = one.box, other.box
            if a < g and e < c and b < h and f < d:
                pairs.append((one.words, other.words))
    return pairs


def of_role(svg: str, role: str) -> list[str]:
    """The elements of a role that Vega names: `line mark`, `symbol mark`."""
    return re.findall(rf'<path[^>]*aria-roledescription="{role}"[^>]*>', svg)
