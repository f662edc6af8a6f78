"""The parts that charts share, in Vega-Lite: panels, layers, channels, the encodings of a way of running a model, axes.

A specification draws the dataset named in it, which the page filters, and `usermeta` tells the page how to lay it out:
`panel` is the field with a panel for each value, `gutter` the pixels that a panel needs beside its drawing, `line` the
field that a line or bar of a panel is named by, `most` the largest number of these (0: all), `free` the axes whose
filter does not hold for it, `dataset` the list of `PageData` that it draws. Transforms that several layers of a chart
share stand before the panels: inside them Vega-Lite loses them, or warns of wrong sizes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from bench.report.page import look
from resnet.variants import PRECISIONS, VARIANTS

Rows = list[dict[str, Any]]
Spec = dict[str, Any]
HEIGHT, BAR, PADDING, LINE = 230, 17, 22, 14  # pixels: of a panel, of a bar, within a log axis, of a line of text
# pixels that a panel needs beside its drawing for an axis of numbers, and for one of names
NUMBERS, NAMES = 62, 215
LETTER = 6.1  # pixels of a letter of 11 pixels
COLD_PARTS = ("import", "build", "prepare", "place", "first_call")
WAY = ("precision", "launch")  # what is said of a variant beside its name
EACH = (*WAY, "batch")
MAX_LINES, MAX_BARS = 8, 12  # of a panel: more hide each other
TYPES = {"Q": "quantitative", "N": "nominal", "O": "ordinal"}
TICKS = [float(f"{factor}e{power}") for power in range(-6, 10) for factor in (1, 2, 5)]


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
    gutter: float = NUMBERS,
    transform: Sequence[Spec] = (),
    independent: Sequence[str] = (),
    line: str = "way",
    most: int = 0,
    free: Sequence[str] = (),
    dataset: str = "cases",
) -> Spec:
    """Return layers with a panel for each value of a field, which do not share the `independent` scales."""
    text = json.dumps(layers)
    for axis in "xy":  # Vega-Lite's names of the scales
        for function in ("domain('", "scale('"):
            text = text.replace(f"{function}{axis}'", f"{function}{'child_' * (axis in independent)}{axis}'")
    return {
        "data": {"name": dataset},
        "params": [{"name": "ticks", "value": TICKS}],
        "transform": list(transform),
        "facet": channel(f"{panel}:N", sort={"field": "id", "op": "min"}, title=None),
        "columns": 2,
        "spacing": {"row": 24, "column": 18},
        # shared axes would stand below an empty place of the grid, too, and far from the first row's panels
        "resolve": {"axis": {"x": "independent"}, "scale": dict.fromkeys(independent, "independent")},
        "spec": {"layer": json.loads(text), "width": width, "height": height},
        "config": look.config(),
        "usermeta": {
            "panel": panel,
            "gutter": round(gutter),
            "line": line,
            "most": most,
            "free": list(free),
            "dataset": dataset,
        },
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


def drawn(field: str, words: Iterable[str]) -> Spec:
    """Return the values of a legend: those of a field that the cases in view have, in a given order."""
    has = "indexof(pluck(data('cases'), '{0}'), {1}) >= 0 ? '\\n' + {1} : ''"
    terms = " + ".join(f"({has.format(field, json.dumps(word))})" for word in words)
    return {"expr": f"split(substring({terms}, 1), '\\n')"}


class Encodings:
    """The encodings of variant, precision and launch, the same on every chart of a page."""

    def __init__(self, rows: Rows, legend: bool = False) -> None:
        variants = look.in_order((row["variant"] for row in rows), VARIANTS)
        self.precisions = look.in_order((row["precision"] for row in rows), PRECISIONS)
        self.graphs = any(row["launch"] == "graph" for row in rows)
        marks = look.colours_and_shapes(variants).values()
        named = {"title": "variant", "legend": {"values": drawn("variant", variants)} if legend else None}
        colours = {"domain": variants, "range": [colour for colour, _ in marks]}
        self.colour = channel("variant:N", scale=colours, **named)
        shapes = {"domain": variants, "range": [shape for _, shape in marks]}
        self.shape = channel("variant:N", scale=shapes, **named)
        by_precision = {"domain": self.precisions, "range": [look.SHAPES[name] for name in self.precisions]}
        of_precision = {"values": drawn("precision", self.precisions), "symbolOpacity": 1}
        self.precision_shape = channel("precision:N", scale=by_precision, title="precision", legend=of_precision)
        dashes = {"domain": self.precisions, "range": [look.DASHES[precision] for precision in self.precisions]}
        self.dash = channel("precision:N", scale=dashes, legend=None)

    def points(self, encoding: Spec, size: int = 55, **properties: Any) -> Spec:
        # a CUDA graph's point is hollow
        fill = self.colour | {"condition": {"test": "datum.launch === 'graph'", "value": "var(--paper)"}}
        ways = {"stroke": self.colour, "shape": self.shape, "fill": fill, "tooltip": TOOLTIP, "opacity": {"value": 1}}
        return layer("point", ways | encoding, **({"size": size, "strokeWidth": 1.6} | properties))

    def hollow(self, base: Spec) -> list[Spec]:
        """Return a layer that nobody sees, for a legend which says that a graph's point is hollow, if there are any."""
        if not self.graphs:
            return []
        launches, words = ["stream", "graph"], "datum.label === 'graph' ? 'CUDA graph: hollow' : 'stream: filled'"
        legend = {"values": drawn("launch", launches), "labelExpr": words, "symbolType": "circle", "symbolOpacity": 1}
        colours = {"domain": launches, "range": ["var(--ink)", "var(--paper)"]}
        stroke = {"symbolStrokeColor": "var(--ink)", "symbolStrokeWidth": 1.6}
        launch = channel("launch:N", scale=colours, title="launch", legend=legend | stroke)
        one: list[Spec] = [{"window": [{"op": "row_number", "as": "one"}], "groupby": ["launch"]}]
        one.append({"filter": "datum.one === 1"})
        return [layer("point", base | {"color": launch}, one, filled=True, opacity=0)]

    def lines(self, encoding: Spec, order: str, *detail: str, transform: Sequence[Spec] = ()) -> Spec:
        ways: Spec = {"stroke": self.colour, "strokeDash": self.dash, "order": channel(order)}
        ways["detail"] = [channel(field) for field in ("way:N", *detail)]
        return layer("line", encoding | ways, transform, strokeWidth=1.6)


def unbroken(field: str, panel: str, line: str = "way") -> list[Spec]:
    """Return transforms that number, as `run`, the stretches of a line in which no value of a field is left out.

    A value is left out where another line of the panel has it between two of this line's.
    """
    sort = [{"field": field}]
    return [
        {"window": [{"op": "dense_rank", "as": "step"}], "sort": sort, "groupby": [panel]},
        {"window": [{"op": "row_number", "as": "nth"}], "sort": sort, "groupby": [panel, line]},
        {"calculate": "datum.step - datum.nth", "as": "run"},
    ]


def named(*axes: str) -> list[Spec]:
    """Return transforms that make `name` of a case: its variant, and of some axes what differs among cases in view."""
    counts = [{"op": "distinct", "field": axis, "as": f"of_{axis}"} for axis in axes]
    words = {"precision": "'/' + datum.precision", "batch": "', b' + datum.batch"}
    words["launch"] = "(datum.launch === 'graph' ? '/graph' : '')"
    behind = {axis: f"(datum.of_{axis} > 1 ? {words[axis]} : '')" for axis in axes}
    choices = "replace(datum.way, /^[^,]*/, '')"
    parts = ["datum.variant", *(behind[axis] for axis in axes if axis != "batch"), choices]
    return [
        {"joinaggregate": counts},
        {"calculate": " + ".join([*parts, *([behind["batch"]] if "batch" in axes else [])]), "as": "name"},
    ]


class Labels:
    """Names at the right of a panel, in the order in which its lines end, none over another, with a line to each.

    `field` is the height of a line's points, `low` and `high` those of its intervals; `order` says which is the last;
    `within` names the fields that cases on one scale share.
    """

    def __init__(
        self, field: str, order: str, panel: str, within: Sequence[str], *, log: bool = True, line: str = "way",
        low: str = "", high: str = "",
    ) -> None:  # fmt: skip
        self.field, self.order, self.panel, self.line, self.log = field, order, panel, line, log
        self.within, self.low, self.high = list(within), low or field, high or field

    def _scaled(self, field: str) -> str:
        value = f"(isValid(datum.{field}) ? datum.{field} : datum.{self.field})"
        return f"log({value})" if self.log else value

    def transform(self) -> list[Spec]:
        """Return the transforms before the panels: the ends of the scale, as far as points and intervals reach."""
        ends = [{"op": "min", "field": "at_low", "as": "bottom"}, {"op": "max", "field": "at_high", "as": "top"}]
        return [
            {"calculate": self._scaled(self.low), "as": "at_low"},
            {"calculate": self._scaled(self.high), "as": "at_high"},
            {"joinaggregate": ends, "groupby": self.within},
        ]

    def _places(self) -> list[Spec]:
        sort, groupby = [{"field": "end"}], [self.panel]
        step = f"(datum.top - datum.bottom) * {LINE} / (child_height - {2 * PADDING})"
        place = "min((datum.nth - 1) * datum.gap + datum.lifted, datum.top - (datum.of - datum.nth) * datum.gap)"
        return [
            {"joinaggregate": [{"op": "max", "field": self.order, "as": "last"}], "groupby": [self.panel, self.line]},
            {"filter": f"datum.{self.order} === datum.last"},
            {"calculate": self._scaled(self.field), "as": "end"},
            {"calculate": step, "as": "gap"},
            {"window": [{"op": "row_number", "as": "nth"}], "sort": sort, "groupby": groupby},
            {"joinaggregate": [{"op": "count", "as": "of"}], "groupby": groupby},
            {"calculate": "datum.end - (datum.nth - 1) * datum.gap", "as": "free"},
            {"window": [{"op": "max", "field": "free", "as": "lifted"}], "sort": sort, "groupby": groupby},
            {"calculate": f"exp({place})" if self.log else place, "as": "beside"},
        ]

    def layers(self, use: Encodings, x: Spec, y: Spec) -> list[Spec]:
        """Return the layers that write the names, in ink beside the mark of each."""
        places, right = self._places(), {"value": "width"}
        at = {"x": right, "y": y | channel("beside:Q")}
        leader = {"x": x, "x2": right, "y": y, "y2": {"field": "beside"}}
        return [
            layer("rule", leader, places, strokeWidth=0.7, strokeDash=[2, 2], stroke="var(--soft)"),
            use.points(at | {"tooltip": TOOLTIP}, 45, xOffset=8) | {"transform": places},
            layer("text", at | {"text": channel("name:N")}, places, align="left", dx=16, limit=200),
        ]


def room(rows: Rows) -> float:
    """Return the pixels that a panel with names at its right needs beside its drawing.

    Where there are many ways, the page opens on one precision and launch, which names then leave out.
    """
    field = "way" if len({row["way"] for row in rows}) <= MAX_BARS else "variant"
    return NUMBERS + 22 + LETTER * max((min(len(row[field]), 32) for row in rows), default=0)


def whole_numbers(field: str, title: str, most: int) -> Spec:
    """Return a channel of a field on an axis of whole numbers from 1 to `most`, of which at most 15 have labels."""
    axis = {"values": list(range(1, most + 1, 1 + (most - 1) // 15)), "format": "d", "grid": False}
    return channel(field, title=title, scale={"zero": False, "nice": False, "padding": 12}, axis=axis)


def log_axis(field: str, title: str, axis: str, times: float = 1, padding: float = PADDING) -> Spec:
    """Return a channel of a field on a logarithmic x or y axis: labels at 1, 2, 5, or closer where it is short.

    The labels are `times` the field.
    """
    wide = f"domain('{axis}')[1] >= 5 * domain('{axis}')[0] ?"
    labels: Spec = {"values": {"expr": f"{wide} ticks : null"}, "tickCount": {"expr": f"{wide} 99 : 5"}}
    labels["labelExpr"] = look.si(times)
    return channel(field, title=title, scale={"type": "log", "nice": False, "padding": padding}, axis=labels)


def stacked_bars(parts: dict[str, str], title: str, suffix: str | None = None) -> Spec:
    """Return a bar for each case, of parts that add up; `suffix` is a field that is written behind its name."""
    colours = {"domain": list(parts.values()), "range": look.PARTS[: len(parts)]}
    encoding = {
        "x": channel("size:Q", title=title, axis={"labelExpr": look.si(), "tickCount": 5}),
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
    return bars([layer("bar", encoding, stroke="var(--paper)", strokeWidth=1)], behind, transform)


def bars(layers: list[Spec], suffix: str = "''", transform: Sequence[Spec] = ()) -> Spec:
    """Return bars for the cases of each model, by batch, the fastest first; `suffix` is written behind a name."""
    for one in layers:
        sort = {"field": "row", "op": "min"}
        one["encoding"]["y"] = channel("label:N", title=None, sort=sort, axis={"ticks": False, "labelLimit": 205})
    rows: list[Spec] = [
        *named(*EACH),
        {"calculate": f"datum.name + ({suffix})", "as": "label"},
        {"calculate": "datum.batch * 1000 + datum.rank", "as": "row"},
    ]
    size: Spec = {"width": 320, "height": {"step": BAR}, "gutter": NAMES, "independent": ("x", "y")}
    return panels(layers, "family", transform=[*rows, *transform], line="id", most=MAX_BARS, **size)
