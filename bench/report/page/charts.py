"""The charts as Vega-Lite: a function each, from the rows to draw to a specification without data."""

from __future__ import annotations

from bench.report.page import encoding
from bench.report.page.encoding import COLD_PARTS, TOOLTIP, Encodings, Rows, Spec, channel, layer, log_axis, panels

SPEED = log_axis("speed:Q", "throughput, images/s")
NAMED = {"align": "left", "dx": 7, "dy": 11, "fontSize": 10, "fill": "var(--soft)"}
PRICES = [
    channel("agree:Q", title="agreement, %", format=",.4~r"),
    channel("right:Q", title="right, %", format=",.4~r"),
    channel("loss:Q", title="loss, percentage points", format=".2~f"),
]


def front(rows: Rows) -> Spec:
    """Return throughput over latency, the batches of a way joined, on a band through the Pareto front.

    8 bits, which answer otherwise, have another front.
    """
    use = Encodings(rows)
    base = {"x": log_axis("p50:Q", "p50 latency, ms"), "y": SPEED}
    best: list[Spec] = [
        {
            "window": [{"op": "max", "field": "speed", "as": "best"}],
            "frame": [None, 0],
            "sort": [{"field": "p50"}, {"field": "speed", "order": "descending"}],
            "groupby": ["family", "eight"],
        },
        {"filter": "datum.speed >= datum.best"},
    ]
    band = {"interpolate": "step-after", "strokeWidth": 9, "strokeCap": "round", "stroke": "var(--front)"}
    batches = {"calculate": "'b' + datum.batch", "as": "label"}
    layers = [
        layer("line", base | {"order": channel("p50:Q"), "detail": channel("eight:N")}, best, **band),
        use.lines(base, "batch:Q", "image:N"),
        use.points(base),
        layer("text", base | {"text": channel("label:N")}, [*best, batches], dy=-11, fontSize=10, fill="var(--soft)"),
    ]
    return panels(layers, "family", height=300, independent=("x", "y"))  # models may be decades apart


def batch(rows: Rows) -> Spec:
    """Return throughput over the batch, with its 95 % confidence interval over several rounds."""
    use = Encodings(rows)
    axis = {"values": sorted({row["batch"] for row in rows}), "format": "d", "grid": False}
    x = channel("batch:Q", title="batch", scale={"type": "log", "base": 2, "nice": False, "padding": 14}, axis=axis)
    base = {"x": x, "y": SPEED}
    interval = {"x": x, "y": channel("speed_low:Q"), "y2": {"field": "speed_high"}, "stroke": use.colour}
    rule = layer("rule", interval, [{"filter": "isValid(datum.speed_low)"}], strokeWidth=1.5)
    return panels([rule, use.lines(base, "batch:Q"), use.points(base)], "family")


def depth(rows: Rows) -> Spec:
    """Return throughput over the model's depth, with a panel for each batch."""
    use = Encodings(rows)
    base = {"x": channel("depth:O", title="depth (convolutions and classifier)", axis={"labelAngle": 0}), "y": SPEED}
    return panels([use.lines(base, "depth:Q", "kind:N"), use.points(base)], "sized")


def over_precision(rows: Rows, field: str, title: str, limit: float | None = None) -> Spec:
    """Return a field over the precision; `limit` is drawn as a line."""
    use = Encodings(rows)
    base = {
        "x": channel("precision:O", title=None, sort=use.precisions, axis={"labelAngle": 0}),
        "y": channel(f"{field}:Q", title=title, axis={"format": ",.4~r", "tickCount": 5}),
    }
    ways = {"stroke": use.colour, "detail": channel("launch:N")}
    layers = [layer("line", base | ways, strokeWidth=1.2, opacity=0.6), use.points(base)]
    if limit:
        layers.insert(0, layer("rule", {"y": {"datum": limit}}, strokeDash=[6, 3], stroke="var(--bad)"))
    return panels(layers, "group", width=300, independent=() if limit else ("y",))


def price(rows: Rows, field: str, title: str) -> Spec:
    """Return a share in percent with its interval over the latency: a line a model, a mark a precision.

    A line joins the fastest way of each precision; the others are faint.
    """
    use = Encodings(rows)
    x = log_axis("p50:Q", "p50 latency, ms")
    y = channel(f"{field}:Q", title=title, scale={"zero": False, "nice": False, "padding": 16}, axis={"tickCount": 5})
    fastest: list[Spec] = [{"filter": "datum.p50 === datum.least"}]
    of_model: list[Spec] = [
        {"joinaggregate": [{"op": "min", "field": "p50", "as": "first"}], "groupby": ["family", "sized"]},
        {"filter": "datum.p50 === datum.first"},
        {"calculate": "replace(datum.model, /^resnet|-digits/g, '')", "as": "name"},
    ]
    interval = {"x": x, "y": channel(f"{field}_low:Q"), "y2": {"field": f"{field}_high"}, "stroke": use.colour}
    line = {"x": x, "y": y, "detail": channel("family:N"), "order": channel("p50:Q")}
    marks = {"x": x, "y": y, "shape": use.precision_shape, "tooltip": [*TOOLTIP, *PRICES]}
    faint = {"opacity": {"condition": {"test": "datum.p50 === datum.least", "value": 1}, "value": 0.35}}
    layers = [
        layer("rule", interval, fastest, strokeWidth=1, opacity=0.5),
        layer("line", line, fastest, strokeWidth=1.2, stroke="var(--soft)"),
        # whose legend counts
        layer("point", {"x": x, "y": y, "shape": use.precision_shape}, stroke="var(--ink)", opacity=0),
        use.points(marks | faint, 75),
        layer("text", {"x": x, "y": y, "text": channel("name:N")}, of_model, **NAMED),
    ]
    least = {"op": "min", "field": "p50", "as": "least"}
    transform: list[Spec] = [{"joinaggregate": [least], "groupby": ["family", "sized", "precision"]}]
    spec = panels(layers, "sized", height=300, transform=transform, independent=("x",))
    spec["config"]["legend"] |= {"symbolOpacity": 1}
    return spec


def memory(rows: Rows) -> Spec:
    parts = {"m_weights": "weights", "m_work": "activations, workspace", "m_spare": "allocator's spare"}
    parts["m_rest"] = "everything else"
    measured = {field: name for field, name in parts.items() if any(field in row for row in rows)}
    return encoding.stacked_bars(measured, "memory, MiB")


def cold(rows: Rows) -> Spec:
    parts = {f"c_{part}": part.replace("_", " ") for part in COLD_PARTS}
    return encoding.stacked_bars(parts, "seconds to the first answer", suffix="caches")


def energy(rows: Rows) -> Spec:
    """Return the energy per image, with the power behind the name."""
    channels = {
        "x": channel("energy:Q", title="energy, J/image", axis={"format": "~g", "tickCount": 5}),
        "fill": Encodings(rows).colour,
        "tooltip": [*TOOLTIP, channel("energy:Q", title="J/image", format=",.3~r"), channel("watts:Q")],
    }
    suffix = "isValid(datum.watts) ? ', ' + format(datum.watts, '.0f') + ' W' : ''"
    return encoding.bars_by_way(layer("bar", channels, height=encoding.BAR - 6), suffix)


def _of_samples(rows: Rows, field: str, across: str, x: Spec, y: Spec) -> Spec:
    """Return a line for each case through the list in a field, whose places become `at`, from 0 to 1."""
    transform: list[Spec] = [
        {"filter": f"isValid(datum.{field})"},
        {"calculate": f"length(datum.{field})", "as": "count"},
        {"flatten": [field], "as": ["value"]},
        {"window": [{"op": "row_number", "as": "place"}], "groupby": ["id"]},
        {"calculate": across, "as": "at"},
    ]
    base = {"x": x, "y": y, "tooltip": TOOLTIP}
    lines = Encodings(rows).lines(base, "place:Q", "id:N", transform=transform)
    return panels([lines], "group", most=encoding.MAX_WAYS)


def ecdf(rows: Rows) -> Spec:
    """Return the share of samples over the latency, relative to the median."""
    y = channel("at:Q", title="share of samples", axis={"format": ".0%", "tickCount": 5})
    across = "(datum.place - 1) / max(1, datum.count - 1)"
    return _of_samples(rows, "quantiles", across, log_axis("value:Q", "latency, % of the median"), y)


def stationary(rows: Rows) -> Spec:
    """Return the samples of the first round in the order taken."""
    x = channel("at:Q", title="part of the sampling", scale={"domain": [0, 1]}, axis={"format": ".0%"})
    across = "(datum.place - 0.5) / datum.count"
    return _of_samples(rows, "sequence", across, x, log_axis("value:Q", "latency, % of the median"))


def rounds(rows: Rows) -> Spec:
    """Return the median of each process with its 95 % confidence interval."""
    use = Encodings(rows)
    x = encoding.whole_numbers("place:Q", "round", max(len(row["by_round"]) for row in rows))
    base = {"x": x, "y": log_axis("value:Q", "median, % of all rounds'")}
    interval = {"x": x, "y": channel("from:Q"), "y2": {"field": "to"}, "stroke": use.colour}
    transform: list[Spec] = [
        {"filter": "isValid(datum.by_round)"},
        {"flatten": ["by_round", "round_low", "round_high"], "as": ["value", "from", "to"]},
        {"window": [{"op": "row_number", "as": "place"}], "groupby": ["id"]},
    ]
    rule = layer("rule", interval, strokeWidth=1, opacity=0.5)
    layers = [rule, use.lines(base, "place:Q", "id:N"), use.points(base, 30)]
    return panels(layers, "group", transform=transform, most=encoding.MAX_WAYS)


def history(rows: Rows) -> Spec:
    """Return a case over commits: a point each, the level between changes, and the changes."""
    base = {
        "x": encoding.whole_numbers("at:Q", "commit", max(row["at"] for row in rows)),
        "tooltip": [
            channel("commit:N"),
            channel("when:N", title="first measured"),
            channel("value:Q", format=",.4~r"),
            channel("level:Q", title="level of the stretch", format=",.4~r"),
            channel("rounds:Q"),
            channel("change:N"),
            channel("surely:N", title="how sure"),
        ],
    }
    y = channel("value:Q", title=None, scale={"zero": False}, axis={"format": ",.4~r", "tickCount": 4})
    level = {"y": channel("level:Q"), "detail": channel("stretch:N")}
    changed = [{"filter": "isValid(datum.change)"}]
    named = {"align": "left", "dx": 5, "baseline": "top", "y": 2, "fontSize": 10}
    layers = [
        layer("rule", base, changed, strokeDash=[4, 3], stroke="var(--bad)"),
        layer("line", base | level, strokeWidth=3, stroke="var(--front)"),
        layer("point", base | {"y": y}, filled=True, size=28, fill="var(--ink)", opacity=1),
        layer("text", base | {"text": channel("change:N")}, changed, **named),
    ]
    return panels(layers, "panel", height=130, independent=("x", "y"), dataset="history")
