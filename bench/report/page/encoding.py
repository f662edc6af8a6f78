"""What the charts share: a panel for each model, how ways are told apart, axes, stacked bars.

A specification draws the dataset named in it, which the page filters, and `usermeta` tells the page how to lay it out:
`panel` is the field that a panel each is made of, `gutter` what a panel needs beside its drawing, in pixels, `most` how
many ways a panel holds (0: all), `dataset` which list of `Data` it draws. What several layers of a chart draw is made
before the panels: inside them Vega-Lite loses it, or warns that their sizes may be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bench.report.page import look
from resnet.variants import PRECISIONS, VARIANTS

Rows = list[dict[str, Any]]
Spec = dict[str, Any]
HEIGHT, BAR = 230, 17
# what a panel needs beside its drawing: an axis of numbers; of names
NUMBERS, NAMES = 62, 205
MOST = 16  # ways of a panel whose lines or bars would hide each other


def spec(
    chart: Any, panel: str, gutter: int, *, own: tuple[str, ...] = (), most: int = 0, dataset: str = "cases"
) -> Spec:
    """A layered chart, a panel for each value of a field, as plain JSON; panels do not share the scales of `own`."""
    import altair as alt

    order = alt.EncodingSortField("id", op="min")
    made = chart.properties(data=alt.NamedData(dataset)).facet(
        facet=alt.Facet(f"{panel}:N", sort=order, title=None), columns=2, spacing={"row": 24, "column": 18}
    )
    if own:
        made = made.resolve_scale(**dict.fromkeys(own, "independent"))
    # shared axes would stand below an empty place of the grid, too, and far from the first row's panels
    made = made.resolve_axis(x="independent")
    plain: Spec = made.to_dict()
    plain["config"] = look.config()
    plain["usermeta"] = {"panel": panel, "gutter": gutter, "most": most, "dataset": dataset}
    return plain


class Encodings:
    """How variant, precision and launch are told apart, in the same way on every chart of a page."""

    def __init__(self, rows: Rows) -> None:
        import altair as alt

        variants = look.ordered((row["variant"] for row in rows), VARIANTS)
        precisions = look.ordered((row["precision"] for row in rows), PRECISIONS)
        colours = alt.Scale(domain=variants, range=[look.name(variant) for variant in variants])
        self.stroke = alt.Stroke("variant:N", scale=colours, title="variant")
        self.fill = alt.Fill("variant:N", scale=colours, title="variant")
        self.shape = alt.Shape(
            "variant:N",
            title="variant",
            scale=alt.Scale(domain=variants, range=[look.mark(variant).shape for variant in variants]),
        )
        # a CUDA graph's point is hollow
        self.filled = alt.condition("datum.launch === 'graph'", alt.value("var(--paper)"), self.fill)
        self.dash = alt.StrokeDash(
            "precision:N",
            title="precision",
            scale=alt.Scale(domain=precisions, range=[look.DASHES.get(word, [4, 4]) for word in precisions]),
            legend=alt.Legend(symbolStrokeColor="var(--ink)") if len(precisions) > 1 else None,
        )
        self.tooltip = [
            alt.Tooltip("way:N", title="way"),
            alt.Tooltip("group:N", title="model"),
            alt.Tooltip("p50:Q", title="p50, ms", format=".4~g"),
            alt.Tooltip("noise:Q", title="± % (95 %)", format=".2~g"),
            alt.Tooltip("speed:Q", title="images/s", format=".4~g"),
            alt.Tooltip("eager:Q", title="times eager", format=".3~g"),
            alt.Tooltip("of_floor:Q", title="% of roof", format=".0%"),
            alt.Tooltip("error:Q", title="error, times plain torch's", format=".2~g"),
            alt.Tooltip("rounds:Q", title="rounds"),
        ]

    def points(self, chart: Any, size: int = 55) -> Any:
        return chart.mark_point(size=size, strokeWidth=1.6, opacity=1).encode(
            stroke=self.stroke, shape=self.shape, fill=self.filled, tooltip=self.tooltip
        )

    def lines(self, chart: Any, order: str, *detail: str) -> Any:
        import altair as alt

        return chart.mark_line(strokeWidth=1.5, opacity=0.75).encode(
            stroke=self.stroke, strokeDash=self.dash, order=alt.Order(order), detail=["launch:N", *detail]
        )


def whole_numbers(most: int) -> Any:
    """An axis of whole numbers from 1, with at most 15 of them written."""
    import altair as alt

    return alt.Axis(values=list(range(1, most + 1, 1 + (most - 1) // 15)), format="d", grid=False)


def log_axis(field: str, title: str, axis: Callable[..., Any]) -> Any:
    import altair as alt

    scale = alt.Scale(type="log", nice=False, padding=14)
    return axis(
        field, title=title, scale=scale, axis=alt.Axis(format=".3~s" if "speed" in field else ".3~g", tickCount=6)
    )


def stacked(parts: dict[str, str], title: str, end: str | None = None) -> Spec:
    """A bar a way, of parts that add up; `end` is a field that is written behind it."""
    import altair as alt

    names = list(parts.values())
    bars = (
        alt.Chart()
        .mark_bar(stroke="var(--paper)", strokeWidth=0.6)
        .encode(
            x=alt.X("from:Q", title=title, axis=alt.Axis(format=",.4~g", tickCount=5)),
            x2="to:Q",
            fill=alt.Fill("part:N", title=None, scale=alt.Scale(domain=names, range=look.PARTS[: len(names)])),
            tooltip=[
                alt.Tooltip("way:N"),
                alt.Tooltip("group:N", title="model"),
                alt.Tooltip("part:N"),
                alt.Tooltip("size:Q", title=title, format=".4~g"),
            ],
        )
    )
    plain = by_way(bars, f"isValid(datum.{end}) ? ', ' + datum.{end} : ''" if end else "''")
    plain["transform"] += [
        {"fold": list(parts), "as": ["field", "size"]},
        {"filter": "isValid(datum.size)"},
        {"calculate": f"({json.dumps(parts)})[datum.field]", "as": "part"},
        {"calculate": f"indexof({list(parts)}, datum.field)", "as": "place"},
        {
            "window": [{"op": "sum", "field": "size", "as": "to"}],
            "sort": [{"field": "place"}],
            "frame": [None, 0],
            "groupby": ["id"],
        },
        {"calculate": "datum.to - datum.size", "as": "from"},
    ]
    return plain


def by_way(bars: Any, end: str) -> Spec:
    """Bars, as many as there are ways in each panel, the fastest first; `end` says what is written behind a way."""
    import altair as alt

    ways = alt.Y("label:N", title=None, sort=alt.EncodingSortField("rank", op="min"), axis=alt.Axis(ticks=False))
    layers = alt.layer(bars.encode(y=ways)).properties(width=320, height=alt.Step(BAR))
    plain = spec(layers, "group", NAMES, own=("y",), most=MOST)
    plain["transform"] = [{"calculate": f"datum.way + ({end})", "as": "label"}]
    return plain
