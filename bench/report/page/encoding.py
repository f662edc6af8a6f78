"""The parts that charts share: a panel for each model, the encodings of a way of running it, axes, stacked bars.

A specification draws the dataset named in it, which the page filters, and `usermeta` tells the page how to lay it out:
`panel` is the field with a panel for each value, `gutter` the pixels that a panel needs beside its drawing, `most` the
largest number of ways in a panel (0: all), `dataset` the list of `PageData` that it draws. Transforms that several
layers of a chart share stand before the panels: inside them Vega-Lite loses them, or warns of wrong sizes.
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
# pixels that a panel needs beside its drawing for an axis of numbers, and for one of names
NUMBERS, NAMES = 62, 205
MAX_WAYS = 16  # of a panel whose lines or bars would hide each other


def facet_spec(
    chart: Any, panel: str, gutter: int, *, independent: tuple[str, ...] = (), most: int = 0, dataset: str = "cases"
) -> Spec:
    """Return a layered chart with a panel for each value of a field, which do not share the `independent` scales."""
    import altair as alt

    order = alt.EncodingSortField("id", op="min")
    facets = chart.properties(data=alt.NamedData(dataset)).facet(
        facet=alt.Facet(f"{panel}:N", sort=order, title=None), columns=2, spacing={"row": 24, "column": 18}
    )
    # shared axes would stand below an empty place of the grid, too, and far from the first row's panels
    facets = facets.resolve_axis(x="independent")
    if independent:
        facets = facets.resolve_scale(**dict.fromkeys(independent, "independent"))
    spec: Spec = facets.to_dict()
    spec["config"] = look.config()
    spec["usermeta"] = {"panel": panel, "gutter": gutter, "most": most, "dataset": dataset}
    return spec


class Encodings:
    """The encodings of variant, precision and launch, the same on every chart of a page."""

    def __init__(self, rows: Rows) -> None:
        import altair as alt

        variants = look.in_order((row["variant"] for row in rows), VARIANTS)
        precisions = look.in_order((row["precision"] for row in rows), PRECISIONS)
        colours = alt.Scale(domain=variants, range=[look.colour(variant) for variant in variants])
        self.stroke = alt.Stroke("variant:N", scale=colours, title="variant")
        self.fill = alt.Fill("variant:N", scale=colours, title="variant")
        shapes = alt.Scale(domain=variants, range=[look.MARKS[variant].shape for variant in variants])
        self.shape = alt.Shape("variant:N", scale=shapes, title="variant")
        # a CUDA graph's point is hollow
        self.filled = alt.condition("datum.launch === 'graph'", alt.value("var(--paper)"), self.fill)
        dashes = alt.Scale(domain=precisions, range=[look.DASHES[precision] for precision in precisions])
        legend = alt.Legend(symbolStrokeColor="var(--ink)") if len(precisions) > 1 else None
        self.dash = alt.StrokeDash("precision:N", scale=dashes, title="precision", legend=legend)
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
    """Return an axis of whole numbers from 1, of which at most 15 have labels."""
    import altair as alt

    return alt.Axis(values=list(range(1, most + 1, 1 + (most - 1) // 15)), format="d", grid=False)


def log_axis(field: str, title: str, channel: Callable[..., Any]) -> Any:
    """Return a field on a logarithmic axis, as the channel alt.X or alt.Y."""
    import altair as alt

    axis = alt.Axis(format=".3~s" if "speed" in field else ".3~g", tickCount=6)
    return channel(field, title=title, scale=alt.Scale(type="log", nice=False, padding=14), axis=axis)


def stacked_bars(parts: dict[str, str], title: str, suffix: str | None = None) -> Spec:
    """Return a bar for each way, of parts that add up; `suffix` is a field that is written behind its name."""
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
    spec = bars_by_way(bars, f"isValid(datum.{suffix}) ? ', ' + datum.{suffix} : ''" if suffix else "''")
    spec["transform"] += [
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
    return spec


def bars_by_way(bars: Any, suffix: str) -> Spec:
    """Return bars for each way of a panel, the fastest first; `suffix` is the Vega expression behind a way's name."""
    import altair as alt

    ways = alt.Y("label:N", title=None, sort=alt.EncodingSortField("rank", op="min"), axis=alt.Axis(ticks=False))
    layers = alt.layer(bars.encode(y=ways)).properties(width=320, height=alt.Step(BAR))
    spec = facet_spec(layers, "group", NAMES, independent=("y",), most=MAX_WAYS)
    spec["transform"] = [{"calculate": f"datum.way + ({suffix})", "as": "label"}]
    return spec
