"""The charts as Vega-Lite: a function each, from the rows to draw to a specification without data."""

from __future__ import annotations

from bench.report.page import encoding, look
from bench.report.page.encoding import Encodings, Rows, Spec
from resnet.variants import PRECISIONS


def front(rows: Rows) -> Spec:
    """Return throughput over latency, the batches of a way joined, on a band through the Pareto front."""
    import altair as alt

    use = Encodings(rows)
    base = alt.Chart().encode(
        x=encoding.log_axis("p50:Q", "p50 latency, ms", alt.X),
        y=encoding.log_axis("speed:Q", "throughput, images/s", alt.Y),
    )
    best = (
        base.transform_window(
            best="max(speed)",
            frame=[None, 0],
            sort=[alt.SortField("p50"), alt.SortField("speed", "descending")],
            groupby=["family"],
        )
        .transform_filter("datum.speed >= datum.best")
    )  # fmt: skip
    under = best.mark_line(interpolate="step-after", strokeWidth=9, strokeCap="round", stroke="var(--front)")
    named = best.transform_calculate(label="'b' + datum.batch").mark_text(dy=-11, fontSize=10, fill="var(--soft)")
    layers = alt.layer(
        under.encode(order=alt.Order("p50:Q")),
        use.lines(base, "batch:Q", "image:N"),
        use.points(base),
        named.encode(text="label:N"),
    )
    return encoding.facet_spec(layers.properties(width=420, height=300), "family", encoding.NUMBERS)


def batch(rows: Rows) -> Spec:
    """Return throughput over the batch, with its 95 % confidence interval over several rounds."""
    import altair as alt

    use = Encodings(rows)
    batches = sorted({row["batch"] for row in rows})
    base = alt.Chart().encode(
        x=alt.X(
            "batch:Q",
            title="batch",
            scale=alt.Scale(type="log", base=2, nice=False, padding=14),
            axis=alt.Axis(values=batches, format="d", grid=False),
        ),
        y=encoding.log_axis("speed:Q", "throughput, images/s", alt.Y),
    )
    between = base.transform_filter("isValid(datum.speed_low)").mark_rule(strokeWidth=1.5)
    layers = alt.layer(
        between.encode(y="speed_low:Q", y2="speed_high:Q", stroke=use.stroke),
        use.lines(base, "batch:Q"),
        use.points(base),
    )
    return encoding.facet_spec(layers.properties(width=420, height=encoding.HEIGHT), "family", encoding.NUMBERS)


def depth(rows: Rows) -> Spec:
    """Return throughput over the model's depth, with a panel for each batch."""
    import altair as alt

    use = Encodings(rows)
    base = alt.Chart().encode(
        x=alt.X("depth:O", title="depth (convolutions and classifier)", axis=alt.Axis(labelAngle=0)),
        y=encoding.log_axis("speed:Q", "throughput, images/s", alt.Y),
    )
    layers = alt.layer(use.lines(base, "depth:Q", "kind:N"), use.points(base))
    return encoding.facet_spec(layers.properties(width=420, height=encoding.HEIGHT), "sized", encoding.NUMBERS)


def over_precision(rows: Rows, field: str, title: str, limit: float | None = None) -> Spec:
    """Return a field over the precision; `limit` is drawn as a line."""
    import altair as alt

    use = Encodings(rows)
    use.dash = alt.StrokeDash()
    words = look.in_order((row["precision"] for row in rows), PRECISIONS)
    base = alt.Chart().encode(
        x=alt.X("precision:O", title=None, sort=words, axis=alt.Axis(labelAngle=0)),
        y=alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format=",.4~g", tickCount=5)),
    )
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(stroke=use.stroke, detail="launch:N")
    layers = [lines, use.points(base)]
    if limit:
        layers.insert(0, alt.Chart().mark_rule(strokeDash=[6, 3], stroke="var(--bad)").encode(y=alt.datum(limit)))
    independent = () if limit else ("y",)
    chart = alt.layer(*layers).properties(width=300, height=encoding.HEIGHT)
    return encoding.facet_spec(chart, "group", encoding.NUMBERS, independent=independent)


def memory(rows: Rows) -> Spec:
    parts = {"m_weights": "weights", "m_work": "activations, workspace", "m_spare": "allocator's spare"}
    parts["m_rest"] = "everything else"
    measured = {field: name for field, name in parts.items() if any(field in row for row in rows)}
    return encoding.stacked_bars(measured, "memory, MiB")


def cold(rows: Rows) -> Spec:
    parts = {"c_import": "import", "c_build": "build", "c_prepare": "prepare", "c_place": "place"}
    parts["c_first_call"] = "first call"
    return encoding.stacked_bars(parts, "seconds to the first answer", suffix="caches")


def energy(rows: Rows) -> Spec:
    """Return the energy per image, with the power behind the name."""
    import altair as alt

    use = Encodings(rows)
    bars = alt.Chart().mark_bar(height=encoding.BAR - 6).encode(
        x=alt.X("energy:Q", title="energy, J/image", axis=alt.Axis(format="~g", tickCount=5)),
        fill=use.fill,
        tooltip=[*use.tooltip, alt.Tooltip("energy:Q", title="J/image", format=".3~g"), alt.Tooltip("watts:Q")],
    )  # fmt: skip
    return encoding.bars_by_way(bars, "isValid(datum.watts) ? ', ' + format(datum.watts, '.0f') + ' W' : ''")


def layers(rows: Rows) -> Spec:
    """Return each layer's time as a bar from where the one before ends, with its floor inside."""
    import altair as alt

    words = ["time", "floor"] if any(row["floor"] is not None for row in rows) else ["time"]
    scale = alt.Scale(domain=words, range=["var(--part3)", "var(--part1)"][: len(words)])
    base = alt.Chart().encode(
        y=alt.Y("layer:N", title=None, sort=alt.EncodingSortField("id", op="min"), axis=alt.Axis(ticks=False)),
        tooltip=[
            alt.Tooltip("layer:N"),
            alt.Tooltip("ms:Q", title="ms", format=".3~g"),
            alt.Tooltip("share:Q", title="share", format=".1%"),
            alt.Tooltip("floor:Q", title="floor, ms", format=".3~g"),
            alt.Tooltip("bound:N", title="bound by"),
            alt.Tooltip("kernels:N"),
        ],
    )
    bars = base.mark_bar(height=9).encode(
        x=alt.X("start:Q", title="ms from the first layer's beginning"),
        x2="until:Q",
        fill=alt.Fill("what:N", scale=scale, title=None),
        order=alt.Order("what:N", sort="descending"),  # the floor last, and so above
    )
    chart = alt.layer(bars).properties(width=420, height=alt.Step(12))
    spec = encoding.facet_spec(chart, "panel", encoding.NAMES - 55, independent=("x", "y"), dataset="layers")
    spec["transform"] = [
        {"fold": ["end", "floor_end"], "as": ["field", "until"]},
        {"filter": "isValid(datum.until)"},
        {"calculate": "datum.field === 'end' ? 'time' : 'floor'", "as": "what"},
    ]
    return spec


def history(rows: Rows) -> Spec:
    """Return a case over commits: a point each, the level between changes, and the changes."""
    import altair as alt

    base = alt.Chart().encode(
        x=alt.X(
            "at:Q",
            title="commit",
            scale=alt.Scale(zero=False, nice=False, padding=12),
            axis=encoding.whole_numbers(max(row["at"] for row in rows)),
        ),
        tooltip=[
            alt.Tooltip("commit:N"),
            alt.Tooltip("when:N", title="first measured"),
            alt.Tooltip("value:Q", format=".4~g"),
            alt.Tooltip("level:Q", title="level of the stretch", format=".4~g"),
            alt.Tooltip("rounds:Q"),
            alt.Tooltip("change:N"),
            alt.Tooltip("surely:N", title="how sure"),
        ],
    )
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format=".4~g", tickCount=4))
    changed = base.transform_filter("isValid(datum.change)")
    layers = alt.layer(
        changed.mark_rule(strokeDash=[4, 3], stroke="var(--bad)"),
        base.mark_line(strokeWidth=3, stroke="var(--front)").encode(y="level:Q", detail="stretch:N"),
        base.mark_point(filled=True, size=28, fill="var(--ink)", opacity=1).encode(y=y),
        changed.mark_text(align="left", dx=5, baseline="top", y=2, fontSize=10).encode(text="change:N"),
    )
    chart = layers.properties(width=420, height=130)
    return encoding.facet_spec(chart, "panel", encoding.NUMBERS, independent=("x", "y"), dataset="history")
