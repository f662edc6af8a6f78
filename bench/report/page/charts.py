"""The charts, as Vega-Lite: one function each, from the rows that it shall draw to a specification without data."""

from __future__ import annotations

from bench.report.page import look
from bench.report.page.encoding import (
    BAR,
    HEIGHT,
    NAMES,
    NUMBERS,
    Encodings,
    Rows,
    Spec,
    by_way,
    log_axis,
    spec,
    stacked,
    whole_numbers,
)
from resnet.variants import PRECISIONS


def front(rows: Rows) -> Spec:
    """Latency against throughput; a way's batches joined; what no other beats in both, underlaid."""
    import altair as alt

    use = Encodings(rows)
    base = alt.Chart().encode(
        x=log_axis("p50:Q", "p50 latency, ms", alt.X), y=log_axis("speed:Q", "throughput, images/s", alt.Y)
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
    return spec(layers.properties(width=420, height=300), "family", NUMBERS)


def batch(rows: Rows) -> Spec:
    """Throughput over the batch; with several rounds their 95 % interval."""
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
        y=log_axis("speed:Q", "throughput, images/s", alt.Y),
    )
    between = base.transform_filter("isValid(datum.speed_low)").mark_rule(strokeWidth=1.5)
    layers = alt.layer(
        between.encode(y="speed_low:Q", y2="speed_high:Q", stroke=use.stroke),
        use.lines(base, "batch:Q"),
        use.points(base),
    )
    return spec(layers.properties(width=420, height=HEIGHT), "family", NUMBERS)


def depth(rows: Rows) -> Spec:
    """Throughput over the model's depth, a panel a batch."""
    import altair as alt

    use = Encodings(rows)
    base = alt.Chart().encode(
        x=alt.X("depth:O", title="depth (convolutions and classifier)", axis=alt.Axis(labelAngle=0)),
        y=log_axis("speed:Q", "throughput, images/s", alt.Y),
    )
    layers = alt.layer(use.lines(base, "depth:Q", "kind:N"), use.points(base))
    return spec(layers.properties(width=420, height=HEIGHT), "sized", NUMBERS)


def _over_precision(rows: Rows, field: str, title: str, limit: float | None = None) -> Spec:
    import altair as alt

    use = Encodings(rows)
    use.dash = alt.StrokeDash()
    words = look.ordered((row["precision"] for row in rows), PRECISIONS)
    base = alt.Chart().encode(
        x=alt.X("precision:O", title=None, sort=words, axis=alt.Axis(labelAngle=0)),
        y=alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format=",.4~g", tickCount=5)),
    )
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(stroke=use.stroke, detail="launch:N")
    layers = [lines, use.points(base)]
    if limit:
        layers.insert(0, alt.Chart().mark_rule(strokeDash=[6, 3], stroke="var(--bad)").encode(y=alt.datum(limit)))
    own = () if limit else ("y",)
    return spec(alt.layer(*layers).properties(width=300, height=HEIGHT), "group", NUMBERS, own=own)


def precision_speed(rows: Rows) -> Spec:
    return _over_precision(rows, "speed", "throughput, images/s")


def precision_memory(rows: Rows) -> Spec:
    return _over_precision(rows, "total", "memory of the process, MiB")


def precision_error(rows: Rows) -> Spec:
    """The gate's RMS multiple; it refuses above 3."""
    return _over_precision(rows, "error", "RMS error, times plain torch's", limit=3)


def memory(rows: Rows) -> Spec:
    parts = {"m_weights": "weights", "m_work": "activations, workspace", "m_spare": "allocator's spare"}
    parts["m_rest"] = "everything else"
    known = {field: name for field, name in parts.items() if any(field in row for row in rows)}
    return stacked(known, "memory, MiB")


def cold(rows: Rows) -> Spec:
    parts = {"c_import": "import", "c_build": "build", "c_prepare": "prepare", "c_place": "place"}
    parts["c_first_call"] = "first call"
    return stacked(parts, "seconds to the first answer", end="caches")


def energy(rows: Rows) -> Spec:
    """Joules an image, and the power they were drawn at."""
    import altair as alt

    use = Encodings(rows)
    bars = alt.Chart().mark_bar(height=BAR - 6).encode(
        x=alt.X("energy:Q", title="energy, J/image", axis=alt.Axis(format="~g", tickCount=5)),
        fill=use.fill,
        tooltip=[*use.tooltip, alt.Tooltip("energy:Q", title="J/image", format=".3~g"), alt.Tooltip("watts:Q")],
    )  # fmt: skip
    return by_way(bars, "isValid(datum.watts) ? ', ' + format(datum.watts, '.0f') + ' W' : ''")


def layers(rows: Rows) -> Spec:
    """Where a case's time goes: each layer from where the one before it ended, and its floor within it."""
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
    made = spec(
        alt.layer(bars).properties(width=420, height=alt.Step(12)),
        *("panel", NAMES - 55),
        own=("x", "y"),
        dataset="layers",
    )
    made["transform"] = [
        {"fold": ["end", "floor_end"], "as": ["field", "until"]},
        {"filter": "isValid(datum.until)"},
        {"calculate": "datum.field === 'end' ? 'time' : 'floor'", "as": "what"},
    ]
    return made


def history(rows: Rows) -> Spec:
    """A case over commits: a point each, the level of each stretch, and where it changed."""
    import altair as alt

    base = alt.Chart().encode(
        x=alt.X(
            "at:Q",
            title="commit",
            scale=alt.Scale(zero=False, nice=False, padding=12),
            axis=whole_numbers(max(row["at"] for row in rows)),
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
    made = layers.properties(width=420, height=130)
    return spec(made, "panel", NUMBERS, own=("x", "y"), dataset="history")
