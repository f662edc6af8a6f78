"""The charts as Vega-Lite: a function each, from the rows to draw to a specification without data."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.report.page import encoding, look
from bench.report.page.encoding import (
    COLD_PARTS,
    MAX_LINES,
    TOOLTIP,
    Encodings,
    Labels,
    Rows,
    Spec,
    channel,
    layer,
    log_axis,
    panels,
    room,
)

SQUASHED = 8  # times the most that is used: what the device has is written, where a line so far above would squash all
THROUGHPUT = "throughput, images/s"
LABEL = 28  # pixels of a batch written beside the front


def latency_axis(rows: Rows, axis: str) -> Spec:
    """Return the axis of the p50 in the unit that suits most cases."""
    usual = median(row["p50"] for row in rows)
    times, unit = (1e3, "µs") if usual < 0.3 else (1, "ms") if usual < 3e3 else (1e-3, "s")
    return log_axis("p50:Q", f"p50 latency, {unit}", axis, times)


def interval(field: str, base: Spec, use: Encodings) -> Spec:
    """Return the 95 % confidence interval of a field, upright through its point, where there is one."""
    ends = base | {"y": channel(f"{field}_low:Q"), "y2": {"field": f"{field}_high"}, "stroke": use.colour}
    return layer("rule", ends, [{"filter": f"isValid(datum.{field}_low)"}], strokeWidth=1.5)


def front(rows: Rows) -> Spec:
    """Return throughput over latency, the batches of a way joined, on a band through the Pareto front.

    8 bits, which answer otherwise, have another front.
    """
    use, labels = Encodings(rows), Labels("speed", "batch", "family", ["family"])
    base = {"x": latency_axis(rows, "x"), "y": log_axis("speed:Q", THROUGHPUT, "y")}
    by_front: Spec = {"groupby": ["family", "eight"]}
    best: list[Spec] = [
        {
            "window": [{"op": "max", "field": "speed", "as": "best"}],
            "frame": [None, 0],
            "sort": [{"field": "p50"}, {"field": "speed", "order": "descending"}],
        }
        | by_front,
        {"filter": "datum.speed >= datum.best"},
    ]
    band = {"interpolate": "step-after", "strokeWidth": 8, "strokeCap": "round", "stroke": "var(--front)"}
    following = {"sort": [{"field": "p50"}], **by_front}
    batches: list[Spec] = [  # each once, where several ways of one batch follow each other
        *best,
        {"window": [{"op": "lead", "field": "batch", "as": "next"}], **following},
        {"filter": "datum.batch !== datum.next"},
        {"calculate": "'b' + datum.batch", "as": "label"},
        {"window": [{"op": "lead", "field": "p50", "as": "after"}], **following},
    ]
    # of labels that would lie over one another the last is shown
    crowded = f"isValid(datum.after) && abs(scale('x', datum.after) - scale('x', datum.p50)) < {LABEL}"
    apart = {"opacity": {"condition": {"test": crowded, "value": 0}, "value": 1}}
    layers = [
        layer("line", base | {"order": channel("p50:Q"), "detail": channel("eight:N")}, best, **band),
        use.lines(base, "batch:Q", "run:N"),
        *labels.layers(use, base["x"], base["y"]),
        use.points(base),
        *use.hollow(base),
        layer("text", base | apart | {"text": channel("label:N")}, batches, dy=-11, fill="var(--ink)"),
    ]
    transform = [*encoding.named(*encoding.WAY), *encoding.unbroken("batch", "family"), *labels.transform()]
    size: Spec = {"height": 300, "gutter": room(rows), "most": MAX_LINES}
    return panels(layers, "family", independent=("x", "y"), transform=transform, **size)  # models may be decades apart


def _over_batch(rows: Rows, field: str, y: Spec, ends: str = "", more: Sequence[Spec] = (), also: str = "") -> Spec:
    """Return a field over the batch, with its interval if it has one, in front of `more` layers."""
    use = Encodings(rows)
    high = f"{ends}_high" if ends else also
    labels = Labels(field, "batch", "family", ["family"], low=f"{ends}_low" if ends else "", high=high)
    axis = {"values": sorted({row["batch"] for row in rows}), "format": "d", "grid": False}
    x = channel("batch:Q", title="batch", scale={"type": "log", "base": 2, "nice": False, "padding": 14}, axis=axis)
    base = {"x": x, "y": y}
    layers = [
        *more,
        *([interval(ends, base, use)] if ends else []),
        use.lines(base, "batch:Q", "run:N"),
        *labels.layers(use, x, y),
        use.points(base),
        *use.hollow(base),
    ]
    transform = [*encoding.named(*encoding.WAY), *encoding.unbroken("batch", "family"), *labels.transform()]
    size: Spec = {"gutter": room(rows), "most": MAX_LINES, "independent": ("x", "y")}
    return panels(layers, "family", transform=transform, **size)


def batch(rows: Rows) -> Spec:
    """Return throughput over the batch, with its 95 % confidence interval over several rounds."""
    return _over_batch(rows, "speed", log_axis("speed:Q", THROUGHPUT, "y"), "speed")


def latency(rows: Rows) -> Spec:
    """Return the p50 over the batch, with its 95 % confidence interval."""
    return _over_batch(rows, "p50", latency_axis(rows, "y"), "p50")


def batch_memory(rows: Rows) -> Spec:
    """Return the memory of the process over the batch, with what the device has, where that is not far above."""
    over, unit = (1024, "GiB") if median(row["total"] for row in rows) >= 1024 else (1, "MiB")
    y = log_axis("memory:Q", f"memory, {unit}", "y")
    once: list[Spec] = [
        {"window": [{"op": "row_number", "as": "one"}], "groupby": ["family"]},
        {"filter": "datum.one === 1"},
    ]
    near, far = ([*once, {"filter": f"isValid(datum.limit) && {no}isValid(datum.near)"}] for no in ("", "!"))
    words = "'the device has ' + format(datum.limit / 1024, ',.3~r') + ' GiB'"
    said: Spec = {"text": channel("words:N"), "x": {"value": 6}}
    style = {"align": "left", "fill": "var(--ink)"}
    more = [
        layer("rule", {"y": channel("near:Q")}, near, strokeDash=[6, 3], stroke="var(--ink)"),
        layer("text", said | {"y": channel("near:Q")}, near, dy=-7, **style),
        layer("text", said | {"y": {"value": 12}}, far, **style),
    ]
    spec = _over_batch(rows, "memory", y, more=more, also="near")
    spec["transform"] = [
        {"calculate": f"datum.total / {over}", "as": "memory"},
        {"joinaggregate": [{"op": "max", "field": "total", "as": "most"}], "groupby": ["family"]},
        {"calculate": f"datum.limit <= {SQUASHED} * datum.most ? datum.limit / {over} : null", "as": "near"},
        {"calculate": words, "as": "words"},
        *spec["transform"],
    ]
    return spec


def depth(rows: Rows) -> Spec:
    """Return throughput over the model's depth, with a panel for each precision and batch."""
    use, labels = Encodings(rows), Labels("speed", "depth", "like", [], low="speed_low", high="speed_high")
    base = {
        "x": channel("depth:O", title="depth (convolutions and classifier)", axis={"labelAngle": 0}),
        "y": log_axis("speed:Q", THROUGHPUT, "y"),
    }
    layers = [
        interval("speed", base, use),
        use.lines(base, "depth:Q", "kind:N"),
        *labels.layers(use, base["x"], base["y"]),
        use.points(base),
        *use.hollow(base),
    ]
    transform = [*encoding.named("launch"), *labels.transform()]
    size: Spec = {"width": 300, "gutter": room(rows), "most": MAX_LINES, "free": ["model", "precision"]}
    return panels(layers, "like", transform=transform, **size)


def memory(rows: Rows) -> Spec:
    parts = {"m_weights": "weights", "m_work": "activations, workspace", "m_spare": "allocator's spare"}
    parts["m_rest"] = "everything else"
    measured = {field: name for field, name in parts.items() if any(field in row for row in rows)}
    return encoding.stacked_bars(measured, "memory, MiB")


def cold(rows: Rows) -> Spec:
    parts = {f"c_{part}": part.replace("_", " ") for part in COLD_PARTS}
    return encoding.stacked_bars(parts, "seconds to the first answer", suffix="caches")


def energy(rows: Rows) -> Spec:
    """Return the energy per image with its 95 % confidence interval over rounds, and the power behind the name."""
    use = Encodings(rows)
    # what is less than a joule is told in thousandths
    times, unit = (1e3, "mJ") if median(row["energy"] for row in rows) < 1 else (1, "J")
    tooltip = [*TOOLTIP, channel("energy:Q", title="J/image", format=",.3~r"), channel("watts:Q")]
    x = channel("from:Q", title=f"energy, {unit}/image", axis={"labelExpr": look.si(times), "tickCount": 5}, stack=None)
    is_bar = "datum.part === 'bar'"
    encodings = {
        "x": x,
        "x2": {"field": "to"},
        "fill": use.colour | {"condition": {"test": f"!({is_bar})", "value": "var(--ink)"}},
        "stroke": {"condition": {"test": is_bar, "value": None}, "value": "var(--paper)"},
        "size": {"condition": {"test": is_bar, "value": encoding.BAR - 6}, "value": 3.5},
        "tooltip": tooltip,
    }
    # bars and intervals are one layer: of two, Vega-Lite would not know how high a panel is
    transform: list[Spec] = [
        {"calculate": "isValid(datum.energy_low) ? ['bar', 'interval'] : ['bar']", "as": "part"},
        {"flatten": ["part"]},
        {"calculate": f"{is_bar} ? 0 : datum.energy_low", "as": "from"},
        {"calculate": f"{is_bar} ? datum.energy : datum.energy_high", "as": "to"},
    ]
    power = "isValid(datum.watts) ? ', ' + format(datum.watts, '.0f') + ' W' : ''"
    return encoding.bars([layer("bar", encodings, strokeWidth=0.7)], power, transform)


def quantiles(rows: Rows) -> Spec:
    """Return the quantiles of each case's samples about the median as strokes: close where most samples are.

    A line goes through all medians.
    """
    use = Encodings(rows)
    transform: list[Spec] = [
        {"calculate": "length(datum.quantiles)", "as": "count"},
        {"flatten": ["quantiles"], "as": ["value"]},
    ]
    x = log_axis("value:Q", "latency, % of the median", "x", padding=10)
    stroke: Spec = {"thickness": 1.3, "height": encoding.BAR - 6, "opacity": 1}
    strokes = layer("tick", {"x": x, "stroke": use.colour, "tooltip": TOOLTIP}, **stroke)
    spec = encoding.bars([strokes], transform=transform)
    spec["spec"]["layer"].append(layer("rule", {"x": {"datum": 100}}, strokeWidth=1.5, stroke="var(--ink)"))
    return spec


def stationary(rows: Rows) -> Spec:
    """Return the samples of the first round in the order taken, a line for each case."""
    x = channel("at:Q", title="part of the sampling", scale={"domain": [0, 1]}, axis={"format": ".0%", "tickCount": 5})
    transform: list[Spec] = [
        {"calculate": "length(datum.sequence)", "as": "count"},
        {"flatten": ["sequence"], "as": ["value"]},
        {"window": [{"op": "row_number", "as": "place"}], "groupby": ["id"]},
        {"calculate": "(datum.place - 0.5) / datum.count", "as": "at"},
    ]
    return _of_each(rows, x, "latency, % of the median", transform)


def rounds(rows: Rows) -> Spec:
    """Return the median of each process with its 95 % confidence interval."""
    x = encoding.whole_numbers("place:Q", "round", max(len(row["by_round"]) for row in rows))
    transform: list[Spec] = [
        {"flatten": ["by_round", "round_low", "round_high"], "as": ["value", "value_low", "value_high"]},
        {"window": [{"op": "row_number", "as": "place"}], "groupby": ["id"]},
    ]
    return _of_each(rows, x, "median, % of all rounds'", transform, "value_low", "value_high")


def _of_each(rows: Rows, x: Spec, title: str, transform: list[Spec], low: str = "", high: str = "") -> Spec:
    """Return a line for each case through values of it in the order of `place`."""
    use = Encodings(rows)
    labels = Labels("value", "place", "family", ["family"], line="id", low=low, high=high)
    y = log_axis("value:Q", title, "y")
    base = {"x": x, "y": y, "tooltip": TOOLTIP}
    marks = [interval("value", {"x": x}, use), use.points(base, 30)] if low else []
    layers = [*marks, use.lines(base, "place:Q", "id:N"), *labels.layers(use, x, y), *use.hollow({"x": x, "y": y})]
    first = [*encoding.named(*encoding.EACH), *transform, *labels.transform()]
    size: Spec = {"gutter": room(rows) + 25, "line": "id", "most": MAX_LINES, "independent": ("x", "y")}
    return panels(layers, "family", transform=first, **size)
