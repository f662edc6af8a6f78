"""The charts of layers: bars beside a rival's, layers under their machine's roofs, and what of a time is its floor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from bench.report.layers.roofs import HEIGHT
from bench.report.page import encoding, look
from bench.report.page.encoding import TOOLTIP, Encodings, Rows, Spec, channel, layer, panels

# pixels of a bar with its rival, of the longest names, of their letters
STEP, GUTTER, LETTER = 19, 172, 6.1
BEHIND: Spec = {"align": "left", "dx": 5, "fontSize": 10, "fill": "var(--ink)"}
SECONDS = "datum.value ? format(datum.value / 1000, '.3~s') + 's' : '0'"  # of ms
TIMES = [
    channel("layer:N"),
    channel("way:N", title="way"),
    channel("ms:Q", title="ms", format=",.3~r"),
    channel("half:Q", title="± ms (95 %)", format=",.2~r"),
    channel("share:Q", title="share", format=".1%"),
    channel("floor:Q", title="floor, ms", format=",.3~r"),
]
BESIDE = [
    channel("rival:N", title="rival"),
    channel("rival_ms:Q", title="rival, ms", format=",.3~r"),
    channel("behind:N", title="difference"),
    channel("kernels:N"),
]
ROOFLINE = [
    channel("stage:N"),
    channel("intensity:Q", title="FLOP/byte", format=",.3~r"),
    channel("rate:Q", title="FLOP/s", format=".3~s"),
    channel("of_floor:Q", title="% of floor", format=".0%"),
    channel("bound:N", title="bound by"),
    channel("kernels:N"),
]


def _of_variant(rows: Rows, field: str) -> Spec:
    """Return the colour of a field with a variant, the same as of all charts."""
    variants = look.in_order(
        {row[name] for row in rows for name in ("variant", "rival_variant") if row[name]}, look.MARKS
    )
    colours = [colour for colour, _ in look.colours_and_shapes(variants).values()]
    return channel(f"{field}:N", scale={"domain": variants, "range": colours}, legend=None)


def _names(rows: Rows, bold: str = "false") -> Spec:
    weight = {"condition": {"test": bold, "value": "bold"}, "value": "normal"}
    axis = {"ticks": False, "labelLimit": GUTTER, "labelFontWeight": weight, "domain": False}
    return channel("layer:N", title=None, sort={"field": "place", "op": "min"}, axis=axis)


def _interval(names: Spec, *ends: str, **properties: Any) -> Spec:
    """Return the rule of a 95 % interval along the bars."""
    low, high = ends
    shown = {"condition": {"test": f"datum.{low} < datum.{high}", "value": 1}, "value": 0}
    return layer("rule", {"x": channel(f"{low}:Q"), "x2": {"field": high}, "y": names, "opacity": shown}, **properties)


def _beside(rows: Rows, names: Spec) -> Spec:
    """Return bars of times, the floor dark within, with those of the rival outlined beneath and both intervals."""
    rivals = any(row.get("rival_ms") is not None for row in rows)
    up, down = (-3.5, 5) if rivals else (0, 0)
    hue, other = _of_variant(rows, "variant"), _of_variant(rows, "rival_variant")
    x = channel("time:Q", title="time", axis={"labelExpr": SECONDS, "tickCount": 4}, scale={"nice": False}, stack=None)
    # without a floor the whole is dark; what is not there is a bar of no length, as filters would part the scales
    timed = {"condition": {"test": "isValid(datum.ms)", "value": 1}, "value": 0}
    tint = {"condition": {"test": "isValid(datum.floor)", "value": 0.3}, "value": 0.85}
    there = {"condition": {"test": "isValid(datum.rival_ms)", "value": 1}, "value": 0}
    transform: list[Spec] = [
        {"calculate": "isValid(datum.ms) ? datum.ms : 0", "as": "time"},
        {"calculate": "isValid(datum.floor) ? min(datum.floor, datum.ms) : 0", "as": "within"},
        {"calculate": "isValid(datum.rival_ms) ? datum.rival_ms : 0", "as": "other"},
        {"calculate": "isValid(datum.low) ? datum.low : datum.time", "as": "from"},
        {"calculate": "isValid(datum.high) ? datum.high : datum.time", "as": "to"},
        {"calculate": "isValid(datum.rival_low) ? datum.rival_low : datum.other", "as": "other_from"},
        {"calculate": "isValid(datum.rival_high) ? datum.rival_high : datum.other", "as": "other_to"},
    ]
    tooltip = [*TIMES, *BESIDE] if rivals else [*TIMES, BESIDE[-1]]
    bar = {"x": x, "y": names, "fill": hue, "stroke": hue, "fillOpacity": tint, "opacity": timed, "tooltip": tooltip}
    dark = {"x": channel("within:Q", stack=None), "y": names, "fill": hue, "tooltip": tooltip}
    outlined = {"x": channel("other:Q", stack=None), "y": names, "stroke": other, "opacity": there, "tooltip": tooltip}
    layers = [
        layer("bar", bar, height=8, yOffset=up, strokeWidth=1),
        layer("bar", dark, height=8, yOffset=up),
        layer("bar", outlined, height=5, yOffset=down, strokeWidth=1.2, fill="var(--paper)"),
        _interval(names, "from", "to", yOffset=up, stroke="var(--ink)"),
        _interval(names, "other_from", "other_to", yOffset=down, stroke="var(--ink)"),
        layer("text", {"x": channel("end:Q"), "y": names, "text": channel("behind:N")}, **BEHIND),
        layer("point", {"x": channel("room:Q"), "y": names}, opacity=0),
    ]
    spec = _bars(layers, "beside", rows, STEP, transform)
    # what is outlined stands beneath what is not: one line is too long for a phone
    spec["facet"]["header"] = {"labelExpr": "split(datum.label, '; ')"}
    return spec


def _bars(layers: list[Spec], panel: str, rows: Rows, step: int, transform: Sequence[Spec] = ()) -> Spec:
    """Return panels of bars, `step` pixels each: of layers, Vega-Lite itself warns where they give a height by steps.

    The page sets the height to what the panels in view need.
    """
    longest = max(Counter(row[panel] for row in rows).values())
    gutter = min(GUTTER, round(LETTER * max(len(row["layer"]) for row in rows))) + 14
    size: Spec = {"height": step * longest, "gutter": gutter, "independent": ("x", "y")}
    spec = panels(layers, panel, transform=transform, dataset="layers", **size)
    spec["config"]["mark"] = {"invalid": "show"}
    spec["usermeta"] |= {"step": step, "line": "id"}
    return spec


def stages(rows: Rows) -> Spec:
    """Return the time of each stage, and of what is in no layer, beside the rival's."""
    return _beside(rows, _names(rows))


def layers(rows: Rows) -> Spec:
    """Return the time of the layers of each stage, the longest first, beside the rival's."""
    return _beside(rows, _names(rows, "test(/, \\d+ %$/, datum.value)"))


def roofline(rows: Rows) -> Spec:
    """Return the layers by FLOP/byte and FLOP/s under the measured roofs; the few with the most time have names."""
    names = list(dict.fromkeys(row["stage"] for row in rows))
    marks = dict(zip(names, cycle(look.STAGES), strict=False))
    colours, shapes = (
        [f"var(--{mark})" for mark in marks.values()],
        [look.STAGES[mark].shape for mark in marks.values()],
    )
    log = {"type": "log", "nice": False, "padding": 0}
    x = channel("x:Q", title="FLOP/byte", scale=log, axis=_thirds("~r"))
    y = channel("y:Q", title="FLOP/s", scale=log, axis=_thirds("~s"))

    def along(name: str) -> list[Spec]:
        fields = [f"{name}_x", f"{name}_y"]
        return [{"filter": f"isValid(datum.{fields[0]})"}, {"flatten": fields, "as": ["x", "y"]}]

    point: list[Spec] = [{"calculate": "datum.intensity", "as": "x"}, {"calculate": "datum.rate", "as": "y"}]
    base = {"x": x, "y": y}
    points = base | {
        "fill": channel("stage:N", title=None, scale={"domain": names, "range": colours}),
        "shape": channel("stage:N", title=None, scale={"domain": names, "range": shapes}),
        "tooltip": [*TIMES, *ROOFLINE],
    }
    interval = base | {"y": channel("rate_low:Q"), "y2": {"field": "rate_high"}}
    legend = {"align": "left", "baseline": "top", "fontSize": 10, "lineBreak": "; ", "fill": "var(--soft)"}
    corner = {"x": {"value": 6}, "y": {"value": 5}, "text": channel("roofs:N")}
    named, at_side = base | {"text": channel("named:N")}, [{"filter": "isValid(datum.named)"}, *point]
    place = {name: {"expr": f"datum.{name}"} for name in ("align", "dx", "dy")} | {"baseline": "middle", "fontSize": 10}
    drawn = [
        layer("point", base, along("frame"), opacity=0),
        layer("line", base, along("cache"), strokeDash=[4, 3], strokeWidth=1.2, stroke="var(--soft)"),
        layer("line", base, along("roof"), strokeWidth=1.6, stroke="var(--ink)"),
        layer("text", corner, [{"filter": "isValid(datum.roofs)"}], **legend),
        layer("rule", interval, point, strokeWidth=1, stroke="var(--soft)"),
        layer("point", points, point, size=45, strokeWidth=0, opacity=0.9),
        layer("text", named, at_side, stroke="var(--paper)", strokeWidth=3, **place),
        layer("text", named, at_side, fill="var(--ink)", **place),
    ]
    spec = panels(drawn, "panel", height=HEIGHT, independent=("x", "y"), dataset="layers")
    spec["config"]["legend"] |= {"symbolStrokeWidth": 0}
    return spec


def _thirds(form: str) -> Spec:
    """Return a logarithmic axis with labels at 1, 3 and 10 of each decade."""
    kept = "test(/^[13]e/, format(datum.value, '~e'))"
    grid = {"condition": {"test": kept, "value": 1}, "value": 0}
    return {
        "tickCount": 40,
        "labelExpr": f"{kept} ? format(datum.value, '{form}') : ''",
        "gridOpacity": grid,
        "tickOpacity": grid,
    }


PERCENT = {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1]}


def floors(rows: Rows) -> Spec:
    """Return the floor as a share of the time of the layers with the most time above it."""
    names = channel(
        "layer:N", title=None, sort={"field": "far", "op": "min"}, axis={"ticks": False, "labelLimit": GUTTER}
    )
    hue = _of_variant(rows, "variant")
    x = channel("of_floor:Q", title="% of the floor: 100 % is as fast as the roofs allow", axis=PERCENT, stack=None)
    text = {"x": channel("end:Q"), "y": names, "text": channel("behind:N")}  # beyond the line
    drawn = [
        layer("bar", {"x": x, "y": names, "fill": hue, "tooltip": [*TIMES, *ROOFLINE]}, height=11),
        _interval(names, "of_low", "of_high", stroke="var(--ink)"),
        layer("tick", {"x": {"datum": 1}, "y": names}, size=encoding.BAR, thickness=1, color="var(--ink)"),
        layer("text", text, **BEHIND),
        layer("point", {"x": {"datum": 1.8}, "y": names}, opacity=0),
    ]
    return _bars(drawn, "panel", rows, encoding.BAR)


def case_floors(rows: Rows) -> Spec:
    """Return the floor of the whole network as a share of the latency of each way."""
    x = channel("of_floor:Q", title="% of the floor, of p50 latency", axis=PERCENT)
    bars = layer("bar", {"x": x, "fill": Encodings(rows).colour, "tooltip": TOOLTIP}, height=encoding.BAR - 6)
    return encoding.bars([bars], "', ' + format(datum.of_floor, '.0%')")
