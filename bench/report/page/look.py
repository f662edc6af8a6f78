"""The colours, shapes and dashes of the charts, for the page in light and dark and for stills.

Charts name colours as CSS variables, so that a page follows the reader's colour scheme, and print, without drawing
again; `coloured` replaces the variables for stills. No chart depends on colour alone: a shape, a dash,
lightness or a position says the same, or, of the variants in a chart whose shapes are precisions, the table below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import cycle
from typing import Any, NamedTuple

from bench.text import VERDICT_MARKS
from resnet.variants import VARIANTS


class Mark(NamedTuple):
    """The mark of a variant: its colour on light and on dark ground, and a Vega shape."""

    light: str
    dark: str
    shape: str


# After the palette of Okabe and Ito (2008), chosen for readers with colour vision deficiencies: what is pale on white
# is darker there, and the blues are lighter on black, so that every mark has a contrast of 3 to 1 with its ground.
PALETTE = (
    Mark("#000000", "#eeeeee", "circle"),
    Mark("#777777", "#a0a0a0", "square"),
    Mark("#2f9bd6", "#7cc7f2", "triangle-up"),
    Mark("#0072b2", "#2b90d4", "triangle-down"),
    Mark("#1f3a93", "#93a5f5", "M-1,-.5H1V.5H-1Z"),
    Mark("#b98300", "#e69f00", "diamond"),
    Mark("#d55e00", "#ee7a1f", "cross"),
    Mark("#c4699a", "#d98bb6", "triangle-right"),
    Mark("#009e73", "#12b589", "triangle-left"),
    Mark("#5a3d9a", "#a78bea", "M-1,0L0,-1L1,0L0,1ZM-.4,0H.4"),
    Mark("#948800", "#f0e442", "M-1,-1L1,1M1,-1L-1,1"),
)
MARKS = dict(zip(VARIANTS, PALETTE, strict=False))  # in the order of the table of variants
# of variants that are not in this version's table, in the order of their names: code from outside, and old records'
OTHER_MARKS = {
    "other1": Mark("#7a4fbf", "#b598f0", "M-1,-1L1,-1L-1,1L1,1Z"),
    "other2": Mark("#8a5a2b", "#c99a66", "M-.4,-1H.4V-.4H1V.4H.4V1H-.4Z"),
    "other3": Mark("#b8336a", "#f07ba5", "M-1,-1L0,-.2L1,-1V1L0,.2L-1,1Z"),
    "other4": Mark("#3d6b35", "#8fc285", "M-1,0L-.3,.3L0,1L.3,.3L1,0L.3,-.3L0,-1L-.3,-.3Z"),
}

# of the stages of a network, in order, in charts without variants
STAGES = {
    "stage1": Mark("#5b6470", "#a9b2bd", "circle"),
    "stage2": Mark("#7b3294", "#cf9fe6", "square"),
    "stage3": Mark("#1f6fb4", "#6fb4f2", "triangle-up"),
    "stage4": Mark("#1a7f4b", "#55c98d", "diamond"),
    "stage5": Mark("#b45309", "#f0a657", "triangle-down"),
    "stage6": Mark("#b0246b", "#f286b8", "cross"),
}

# each has a gap within a legend's symbol, too
DASHES = {
    "fp32": [1, 0],
    "tf32": [9, 3],
    "fp16": [5, 3],
    "bf16": [2, 2],
    "fp8": [1, 3],
    "int8": [5, 2, 1, 2],
}
# of precisions, in the chart whose lines are models
SHAPES = {"fp32": "circle", "tf32": "diamond", "fp16": "triangle-up", "bf16": "square", "fp8": "cross"}
SHAPES["int8"] = "triangle-down"

FASTER, FASTER_DARK = ("#e0effb", "#bcdcf5", "#8fc3ec", "#62a8e0"), ("#1a2f42", "#1b3f5f", "#1c507d", "#1d629c")
SLOWER, SLOWER_DARK = ("#fdebd9", "#fbd2aa", "#f5b578", "#ea9a4d"), ("#38291a", "#523815", "#6b4610", "#84540a")
# (light, dark) of everything else: red is a failure's alone; `part1..5` lie beside each other, a gap between them
COLOURS = {
    "paper": ("#ffffff", "#15181c"),
    "panel": ("#f6f7f9", "#1d2127"),
    "ink": ("#1b1f24", "#e6e9ee"),
    "soft": ("#57606a", "#a2abb6"),
    "line": ("#d5dae0", "#363c45"),
    "grid": ("#e8ebef", "#2a2f37"),
    "accent": ("#0b62a8", "#6cb6ff"),
    "bad": ("#b3261e", "#ff8a80"),
    "worse": ("#b3261e", "#ff8a80"),
    "better": ("#0b62a8", "#6cb6ff"),
    "front": ("#8795a8", "#6b7f99"),
    "part1": ("#0b3c5d", "#d8ecfb"),
    "part2": ("#1f6fa8", "#7cb8e4"),
    "part3": ("#379486", "#3d8f85"),
    "part4": ("#8f6fc0", "#b598f0"),
    "part5": ("#7a6a55", "#c4ae90"),
} | {
    # grounds of the heat map's cells, faster and slower than eager by steps, with text in ink
    **{f"hf{step}": pair for step, pair in enumerate(zip(FASTER, FASTER_DARK, strict=True), 1)},
    **{f"hs{step}": pair for step, pair in enumerate(zip(SLOWER, SLOWER_DARK, strict=True), 1)},
    "h0": ("#eceff2", "#262b32"),
}
PARTS = [f"var(--part{n})" for n in range(1, 6)]
LIGHT, DARK = 0, 1
STILL_FONT = "sans-serif"  # whatever a reader's machine has
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', Arial, sans-serif"

MEANINGS = {
    VERDICT_MARKS["winner"]: "fastest",
    VERDICT_MARKS["tie"]: "equally fast",
    VERDICT_MARKS["unknown"]: "which of these is fastest cannot be told",
}


def si(times: float = 1) -> str:
    """Return the expression of an axis's labels, `times` its numbers: 20k in place of 20,000, never an exponent."""
    value = f"datum.value * {times:g}" if times != 1 else "datum.value"
    return f"abs({value}) >= 1000 ? format({value}, '.4~s') : format({value}, ',.6~r')"


def meanings(texts: Iterable[str]) -> list[str]:
    """Return what the marks of verdicts in some texts mean, as phrases of a legend."""
    together = "".join(texts)
    return [f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in together]


def colours_and_shapes(variants: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the CSS variable of each variant's colour, and its shape; beyond four from outside, marks come again."""
    others = sorted(set(variants) - set(MARKS))
    names = {variant: variant for variant in MARKS} | dict(zip(others, cycle(OTHER_MARKS), strict=False))
    marks = MARKS | OTHER_MARKS
    return {variant: (f"var(--v-{names[variant]})", marks[names[variant]].shape) for variant in variants}


VARIABLES = COLOURS | {f"v-{name}": (mark.light, mark.dark) for name, mark in (MARKS | OTHER_MARKS).items()}
VARIABLES |= {name: (mark.light, mark.dark) for name, mark in STAGES.items()}


def css() -> str:
    """Return the colours as CSS variables, light unless the reader's system is dark; print is always light."""
    light, dark = ("".join(f"--{name}:{pair[mode]};" for name, pair in VARIABLES.items()) for mode in (0, 1))
    in_the_dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f":root{{color-scheme:light dark;{light}}}\n{in_the_dark}\n"


def with_colours(spec: Any, mode: int = LIGHT) -> Any:
    """Return a specification with the colours of a mode in place of the variables."""
    return json.loads(coloured(json.dumps(spec), mode))


def coloured(text: str, mode: int) -> str:
    """Return a text with the colours of a mode in place of the variables that it names."""
    return re.sub(r"var\(--([\w-]+)\)", lambda match: VARIABLES.get(match[1], (match[0],) * 2)[mode], text)


def config() -> dict[str, Any]:
    """Return Vega-Lite's configuration: no frames, thin grids, text in the page's colours."""
    text = {"labelColor": "var(--soft)", "titleColor": "var(--ink)", "labelFontSize": 11, "titleFontSize": 11}
    axis = {"gridColor": "var(--grid)", "domainColor": "var(--line)", "tickColor": "var(--line)", "labelLimit": 220}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": "var(--line)"},
        "axis": text | axis | {"titleFontWeight": "normal", "labelOverlap": True},
        "header": text | {"labelColor": "var(--ink)", "labelFontSize": 12, "labelFontWeight": "bold", "title": None},
        "legend": text | {"orient": "top", "direction": "horizontal", "columns": 5, "symbolStrokeWidth": 2}
        | {"symbolSize": 70, "labelLimit": 200, "titleOrient": "left", "titleFontWeight": "normal"},
        "title": {"color": "var(--ink)", "subtitleColor": "var(--soft)", "anchor": "start", "fontSize": 14},
        "text": {"color": "var(--ink)"},
        "rule": {"color": "var(--soft)"},
    }  # fmt: skip


def in_order(words: Iterable[str], table: Iterable[str]) -> list[str]:
    """Return the different words in the order of a table, and behind them by name those that it does not have."""
    places = {word: place for place, word in enumerate(table)}
    return sorted(set(words), key=lambda word: (places.get(word, len(places)), word))
