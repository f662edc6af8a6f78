"""The parts that charts share, in Vega-Lite: panels, layers, channels, the encodings of a way of running a model, axes.

A specification draws the dataset named in it, which the page filters, and `usermeta` tells the page how to lay it out:
`panel` is the field with a panel for each value, `gutter` the pixels that a panel needs beside its drawing, `most` the
largest number of ways in a panel (0: all), `dataset` the list of `PageData` that it draws. Transforms that several
layers of a chart share stand before the panels: inside them Vega-Lite loses them, or warns of wrong sizes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.report.page import look
from resnet.variants import PRECISIONS, VARIANTS

Rows = list[dict[str, Any]]
Spec = dict[str, Any]
HEIGHT, BAR = 230, 17
# pixels that a panel needs beside its drawing for an axis of numbers, and for one of names
NUMBERS, NAMES = 62, 205
COLD_PARTS = ("import", "build", "prepare", "place", "first_call")
MAX_WAYS = 16  # of a panel whose lines or bars would hide each other
TYPES = {"Q": "quantitative", "N": "nominal", "O": "ordinal"}


def channel(field: str, **properties: Any) -> Spec:
    """Return a channel that shows a field, named with the letter of its type: `speed:Q`."""
    name, _, letter = field.partition(":")
    return {"field": name, "type": TYPES[letter], **properties}


def layer(mark: str, encoding: Spec, transform: Sequence[Spec] = (), **properties: Any) -> Spec:
    """Return a layer: a mark with its properties, the channels, and the transforms before them."""
    drawn: Spec = {"mark": {"type": mark, **properties}, "encoding": encoding}
    return drawn | {"transform": list(transform)} if transform else drawn


def panels(
    layers: list[Spec],
    panel: str,
    *,
    width: int = 420,
    height: Any = HEIGHT,
    gutter: int = NUMBERS,
    transform: Sequence[Spec] = (),
    independent: Sequence[str] = (),
    most: int = 0,
    dataset: str = "cases",
) -> Spec:
    """Return layers with a panel for each value of a field, which do not share the `independent` scales."""
    return {
        "data": {"name": dataset},
        "transform": list(transform),
        "facet": channel(f"{panel}:N", sort={"field": "id", "op": "min"}, title=None),
        "columns": 2,
        "spacing": {"row": 24, "column": 18},
        # shared axes would stand below an empty place of the grid, too, and far from the first row's panels
        "resolve": {"axis": {"x": "independent"}, "scale": dict.fromkeys(independent, "independent")},
        "spec": {"layer": layers, "width": width, "height": height},
        "config": look.config(),
        "usermeta": {"panel": panel, "gutter": gutter, "most": most, "dataset": dataset},
    }


TOOLTIP = [
    channel("way:N", title="way"),
    channel("group:N", title="model"),
    channel("p50:Q", title="p50, ms", format=",.4~r"),
    channel("noise:Q", title="± % (95 %)", format=".2~g"),
    channel("speed:Q", title="images/s", format=",.4~r"),
    channel("eager:N", title="times eager"),
    channel("of_floor:Q", title="% of roof", format=".0%"),
    channel("error:Q", title="error, times plain torch's", format=".2~g"),
    channel("rounds:Q", title="rounds"),
]


class Encodings:
    """The encodings of variant, precision and launch, the same on every chart of a page."""

    def __init__(self, rows: Rows) -> None:
        variants = look.in_order((row["variant"] for row in rows), VARIANTS)
        self.precisions = look.in_order((row["precision"] for row in rows), PRECISIONS)
        marks = look.colours_and_shapes(variants).values()
        colours = {"domain": variants, "range": [colour for colour, _ in marks]}
        self.colour = channel("variant:N", scale=colours, title="variant")
        shapes = {"domain": variants, "range": [shape for _, shape in marks]}
        self.shape = channel("variant:N", scale=shapes, title="variant")
        by_precision = {"domain": self.precisions, "range": [look.SHAPES[name] for name in self.precisions]}
        self.precision_shape = channel("precision:N", scale=by_precision, title="precision")
        dashes = {"domain": self.precisions, "range": [look.DASHES[precision] for precision in self.precisions]}
        legend = {"symbolStrokeColor": "var(--ink)"} if len(self.precisions) > 1 else None
        self.dash = channel("precision:N", scale=dashes, title="precision", legend=legend)

    def points(self, encoding: Spec, size: int = 55) -> Spec:
        # a CUDA graph's point is hollow
        fill = self.colour | {"condition": {"test": "datum.launch === 'graph'", "value": "var(--paper)"}}
        ways = {"stroke": self.colour, "shape": self.shape, "fill": fill, "tooltip": TOOLTIP, "opacity": {"value": 1}}
        return layer("point", ways | encoding, size=size, strokeWidth=1.6)

    def lines(self, encoding: Spec, order: str, *detail: str, transform: Sequence[Spec] = ()) -> Spec:
        ways: Spec = {"stroke": self.colour, "strokeDash": self.dash, "order": channel(order)}
        ways["detail"] = [channel(field) for field in ("way:N", *detail)]
        return layer("line", encoding | ways, transform, strokeWidth=1.5, opacity=0.75)


def whole_numbers(field: str, title: str, most: int) -> Spec:
    """Return a channel of a field on an axis of whole numbers from 1 to `most`, of which at most 15 have labels."""
    axis = {"values": list(range(1, most + 1, 1 + (most - 1) // 15)), "format": "d", "grid": False}
    return channel(field, title=title, scale={"zero": False, "nice": False, "padding": 12}, axis=axis)


def log_axis(field: str, title: str) -> Spec:
    """Return a channel of a field on a logarithmic axis."""
    axis = {"format": ".3~s" if "speed" in field else ",.3~r", "tickCount": 6}
    return channel(field, title=title, scale={"type": "log", "nice": False, "padding": 22}, axis=axis)


def stacked_bars(parts: dict[str, str], title: str, suffix: str | None = None) -> Spec:
    """Return a bar for each way, of parts that add up; `suffix` is a field that is written behind its name."""
    colours = {"domain": list(parts.values()), "range": look.PARTS[: len(parts)]}
    encoding = {
        "x": channel("size:Q", title=title, axis={"format": ",.4~r", "tickCount": 5}),
        "order": channel("place:Q"),
        "fill": channel("part:N", title=None, scale=colours),
        "tooltip": [*TOOLTIP[:2], channel("part:N"), channel("size:Q", title=title, format=",.4~r")],
    }
    transform: list[Spec] = [
        {"fold": list(parts), "as": ["field", "size"]},
        {"filter": "isValid(datum.size)"},
        {"calculate": f"({json.dumps(parts)})[datum.field]", "as": "part"},
        {"calculate": f"indexof({list(parts)}, datum.field)", "as": "place"},
    ]
    behind = f"isValid(datum.{suffix}) ? ', ' + datum.{suffix} : ''" if suffix else "''"
    return bars_by_way(layer("bar", encoding, stroke="var(--paper)", strokeWidth=0.6), behind, transform)


def bars_by_way(bars: Spec, suffix: str, transform: Sequence[Spec] = ()) -> Spec:
    """Return bars for each way of a panel, the fastest first; `suffix` is the Vega expression behind a way's name."""
    bars["encoding"]["y"] = channel("label:N", title=None, sort={"field": "rank", "op": "min"}, axis={"ticks": False})
    return panels(
        [bars],
        "group",
        width=320,
        height={"step": BAR},
        gutter=NAMES,
        transform=[{"calculate": f"datum.way + ({suffix})", "as": "label"}, *transform],
        independent=("y",),
        most=MAX_WAYS,
    )
