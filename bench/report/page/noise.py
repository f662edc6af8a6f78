"""The charts of the samples and of the processes behind each median."""

from __future__ import annotations

from typing import Any

from bench.report.page import encoding
from bench.report.page.encoding import Encodings, Rows, Spec


def _of_samples(rows: Rows, field: str, across: str, x: Any, y: Any) -> Spec:
    """Return a line for each case through the list in a field, whose places become `at`, from 0 to 1."""
    import altair as alt

    use = Encodings(rows)
    base = (
        alt.Chart()
        .transform_filter(f"isValid(datum.{field})")
        .transform_calculate(count=f"length(datum.{field})")
        .transform_flatten([field], as_=["value"])
        .transform_window(place="row_number()", groupby=["id"])
        .transform_calculate(at=across)
    )
    lines = use.lines(base, "place:Q", "id:N").encode(x=x, y=y, tooltip=use.tooltip)
    chart = alt.layer(lines).properties(width=420, height=encoding.HEIGHT)
    return encoding.facet_spec(chart, "group", encoding.NUMBERS, most=encoding.MAX_WAYS)


def ecdf(rows: Rows) -> Spec:
    """Return the share of samples over the latency, relative to the median."""
    import altair as alt

    return _of_samples(
        rows,
        "quantiles",
        "(datum.place - 1) / max(1, datum.count - 1)",
        encoding.log_axis("value:Q", "latency, % of the median", alt.X),
        alt.Y("at:Q", title="share of samples", axis=alt.Axis(format=".0%", tickCount=5)),
    )


def stationary(rows: Rows) -> Spec:
    """Return the samples of the first round in the order taken."""
    import altair as alt

    return _of_samples(
        rows,
        "sequence",
        "(datum.place - 0.5) / datum.count",
        alt.X("at:Q", title="part of the sampling", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")),
        encoding.log_axis("value:Q", "latency, % of the median", alt.Y),
    )


def rounds(rows: Rows) -> Spec:
    """Return the median of each process with its 95 % confidence interval."""
    import altair as alt

    use = Encodings(rows)
    base = alt.Chart().encode(
        x=alt.X(
            "place:Q",
            title="round",
            scale=alt.Scale(zero=False, nice=False, padding=12),
            axis=encoding.whole_numbers(max(len(row["by_round"]) for row in rows)),
        )
    )
    y = encoding.log_axis("value:Q", "median, % of all rounds'", alt.Y)
    layers = alt.layer(
        base.mark_rule(strokeWidth=1, opacity=0.5).encode(y=alt.Y("from:Q"), y2="to:Q", stroke=use.stroke),
        use.lines(base, "place:Q", "id:N").encode(y=y),
        use.points(base, 30).encode(y=y),
    )
    spec = encoding.facet_spec(
        layers.properties(width=420, height=encoding.HEIGHT), "group", encoding.NUMBERS, most=encoding.MAX_WAYS
    )
    spec["transform"] = [
        {"filter": "isValid(datum.by_round)"},
        {"flatten": ["by_round", "round_low", "round_high"], "as": ["value", "from", "to"]},
        {"window": [{"op": "row_number", "as": "place"}], "groupby": ["id"]},
    ]
    return spec
