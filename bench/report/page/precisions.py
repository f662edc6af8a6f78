"""The charts that compare precisions: what fewer bits buy, and what they cost."""

from __future__ import annotations

from bench.report.page import encoding, look
from bench.report.page.charts import interval, latency_axis
from bench.report.page.encoding import MAX_LINES, TOOLTIP, Encodings, Rows, Spec, channel, layer, panels
from resnet.variants import PRECISIONS

NAMED = {"align": "right", "dx": -9, "fill": "var(--ink)"}  # at the left, where a name is beside the fastest
PRICES = [
    channel("agree:Q", title="agreement, %", format=",.4~r"),
    channel("right:Q", title="right, %", format=",.4~r"),
    channel("loss:Q", title="loss, percentage points", format=".2~f"),
]


def over_precision(rows: Rows, field: str, title: str, limit: float | None = None) -> Spec:
    """Return a field over the precision, with its interval if it has one; `limit` is drawn as a line.

    Lines join precisions beside each other alone.
    """
    use = Encodings(rows, legend=True)
    base = {
        "x": channel("precision:O", title=None, sort=use.precisions, axis={"labelAngle": 0}),
        "y": channel(f"{field}:Q", title=title, axis={"labelExpr": look.si(), "tickCount": 5}),
    }
    ways = {"stroke": use.colour, "detail": [channel("launch:N"), channel("run:N")], "order": channel("at:Q")}
    layers = [layer("line", base | ways, strokeWidth=1), use.points(base), *use.hollow(base)]
    if f"{field}_low" in rows[0]:
        layers.insert(0, interval(field, base, use))
    if limit:
        layers.insert(0, layer("rule", {"y": {"datum": limit}}, strokeDash=[6, 3], stroke="var(--bad)"))
    across: list[Spec] = [
        {"calculate": f"indexof({list(PRECISIONS)}, datum.precision)", "as": "at"},
        {"calculate": "datum.variant + datum.launch", "as": "of"},
        *encoding.unbroken("at", "group", "of"),
    ]
    size: Spec = {"width": 300, "line": "variant", "most": MAX_LINES, "free": ["precision"]}
    return panels(layers, "group", transform=across, independent=() if limit else ("y",), **size)


def price(rows: Rows, field: str, title: str) -> Spec:
    """Return a share in percent with its interval over the latency: a line a model, a mark a precision.

    A line joins the fastest way of each precision; the others are small.
    """
    use = Encodings(rows, legend=True)
    x = latency_axis(rows, "x")
    x["scale"] |= {"padding": 60}  # for names
    y = channel(f"{field}:Q", title=title, scale={"zero": False, "nice": False, "padding": 16}, axis={"tickCount": 5})
    fastest: list[Spec] = [{"filter": "datum.p50 === datum.least"}]
    of_model: list[Spec] = [
        {"joinaggregate": [{"op": "min", "field": "p50", "as": "first"}], "groupby": ["family", "sized"]},
        {"filter": "datum.p50 === datum.first"},
        {"calculate": "replace(datum.model, /^resnet|-digits/g, '')", "as": "name"},
    ]
    line = {"x": x, "y": y, "detail": channel("family:N"), "order": channel("p50:Q")}
    marks = {"x": x, "y": y, "shape": use.precision_shape, "tooltip": [*TOOLTIP, *PRICES]}
    size = {"size": {"condition": {"test": "datum.p50 === datum.least", "value": 80}, "value": 28}}
    ends = interval(field, {"x": x}, use)
    ends["transform"] += fastest
    layers = [
        ends,
        layer("line", line, fastest, strokeWidth=1.2, stroke="var(--soft)"),
        # whose legend counts
        layer("point", {"x": x, "y": y, "shape": use.precision_shape}, stroke="var(--ink)", opacity=0),
        use.points(marks | size),
        *use.hollow({"x": x, "y": y}),
        layer("text", {"x": x, "y": y, "text": channel("name:N")}, of_model, **NAMED),
    ]
    least = {"op": "min", "field": "p50", "as": "least"}
    transform: list[Spec] = [{"joinaggregate": [least], "groupby": ["family", "sized", "precision"]}]
    free: Spec = {"line": "id", "free": ["precision", "model"]}
    return panels(layers, "sized", height=300, transform=transform, independent=("x",), **free)
