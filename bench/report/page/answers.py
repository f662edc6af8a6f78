"""Two pictures that the page has as a table: what is fastest at one batch, and how far each way is over eager."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.plans.case import Case
from bench.plans.words import label
from bench.records.baseline import BASELINE
from bench.report.answer import contests_of
from bench.report.cells import marks_of
from bench.report.markdown import BestWays, best_ways
from bench.report.page import look
from bench.report.page.encoding import Spec, channel, layer
from bench.report.page.settings import Setting, headline
from bench.report.rows import Row
from bench.text import VERDICT_MARKS, at_pixels, digits
from resnet.variants import VARIANTS

HEAT_STEPS = (1.02, 1.2, 1.5, 2.2)  # the least ratio of each step of colour away from 1
GAP = "\u2002"  # which SVG does not join with others


@dataclass(frozen=True)
class Picture:
    """A chart with its data, the finding that it shows, and what its marks mean."""

    spec: Spec
    finding: str
    legend: str


def answer(setting: Setting) -> Picture | None:
    """Return the images/s of each variant in its best precision, at the batch of one model with the most variants."""
    ways = best_ways(setting.rows)
    if ways is None:
        return None
    first = ways.rows[0]
    contests = [contest for contest in setting.contests if any(row is first for row in contest.rows)]
    marks = marks_of(contests)
    rows = [_bar(row, ways, marks.get(row, "")) for row in ways.rows]
    legend = ["The best precision of each variant", *look.meanings(row["text"] for row in rows)]
    legend += ["a bar's line is its 95 % interval"] * any(row["low"] for row in rows)
    of = f"{first.case.model}{at_pixels(first.case.image)}, batch {first.case.batch}"
    return Picture(_bars(rows, f"images/s, {of}"), headline(contests), ", ".join(legend))


def _bar(row: Row, ways: BestWays, mark: str) -> dict[str, Any]:
    low, high = row.images_per_s_interval or (None, None)
    over = ways.over_eager.get(row.case)
    times = f"{over.value:.2f} times {label(ways.eager.case)}" if over and ways.eager else ""
    return {
        "name": ", ".join(filter(None, (label(row.case), row.choices))),
        "variant": row.case.variant,
        "speed": row.images_per_s,
        "low": low,
        "high": high,
        "end": max(row.images_per_s, high or 0),
        "text": (2 * GAP).join(filter(None, (digits(row.images_per_s), times, mark))),
        "strong": bool(mark),
    }


def _bars(rows: list[dict[str, Any]], title: str) -> Spec:
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    marks = look.colours_and_shapes(variants)
    colours = {"domain": variants, "range": [marks[variant][0] for variant in variants]}
    scale = {"domainMin": 0, "domainMax": 1.45 * max(row["end"] for row in rows)}  # room for the text behind a bar
    x = channel("speed:Q", title=title, scale=scale, axis={"tickCount": 5, "labelExpr": look.si(), "grid": False})
    y = channel("name:N", title=None, sort=None, axis={"ticks": False, "domain": False, "labelColor": "var(--ink)"})
    measured = [{"filter": "isValid(datum.low)"}]
    interval = {"x": channel("low:Q"), "x2": {"field": "high"}, "y": y}
    text = {"x": channel("end:Q"), "y": y, "text": channel("text:N")}
    style = {"align": "left", "dx": 7, "fontSize": 11.5}
    layers = [
        layer("bar", {"x": x, "y": y, "fill": channel("variant:N", scale=colours, legend=None)}, height={"band": 0.72}),
        layer("rule", interval, measured, stroke="var(--paper)", strokeWidth=4),
        layer("rule", interval, measured, stroke="var(--ink)", strokeWidth=1.6),
        layer("text", text, [{"filter": "!datum.strong"}], **style),
        layer("text", text, [{"filter": "datum.strong"}], fontWeight="bold", **style),
    ]
    return {
        "data": {"name": "answer"},
        "datasets": {"answer": rows},
        "layer": layers,
        "width": 420,
        "height": {"step": 24},
        "config": look.config() | {"view": {"stroke": None}},
        "usermeta": {"bars": len(rows)},
    }


def heat(setting: Setting) -> Picture | None:
    """Return how far each variant is over eager at each batch, in one precision and launch, of the model with most."""
    wide = [row for row in setting.rows if not row.is_eight_bits] or setting.rows
    models = Counter((row.case.model, row.case.image) for row in wide)
    if not models:
        return None
    model = models.most_common(1)[0][0]
    of_model = [row for row in wide if (row.case.model, row.case.image) == model]
    alike = [row for row in of_model if row.against and row.against.same_precision and row.against.same_launch]
    best = max(alike or of_model, key=lambda row: row.images_per_s).case
    rows = [row for row in of_model if (row.case.precision, row.case.launch) == (best.precision, best.launch)]
    contests = contests_of(rows)
    verdicts = marks_of(contests)
    cells = [_cell(row, verdicts.get(row, "")) for row in rows]
    names = look.in_order({row.case.variant for row in rows}, VARIANTS)
    lost = _lost(setting, model, best, {(cell["variant"], cell["batch"]) for cell in cells}, names)
    words = {"*": "over eager's fp32", "^": "over eager's other launch", "-": "skipped", "✗": "failed"}
    text = "".join(cell["mark"] for cell in (*cells, *lost))
    marks = [*look.meanings(text), *(f"{mark} {word}" for mark, word in words.items() if mark in text)]
    legend = ["Images/s over eager's, eager's own row in images/s: blue is faster, orange slower", *marks]
    where = f"{model[0]}{at_pixels(model[1])} in {best.precision}" + (", as a graph" if best.launch == "graph" else "")
    return Picture(_heat_map([*cells, *lost], names, where), headline(contests), ", ".join(legend))


def _cell(row: Row, mark: str) -> dict[str, Any]:
    over = row.against if row.case.variant != BASELINE else None
    number, unlike, colour = digits(row.images_per_s), "", "panel"
    if over:
        ratio = over.ratio
        number = f"{ratio.value:.2f}"
        unlike = "*" * (not over.same_precision) + "^" * (not over.same_launch)
        steps = sum(max(ratio.value, 1 / ratio.value) >= least for least in HEAT_STEPS)
        is_apart = ratio.low is None or ratio.high is None or not ratio.low <= 1 <= ratio.high
        colour = f"h{'f' if ratio.value > 1 else 's'}{steps}" if steps and is_apart else "h0"
    name = ", ".join(filter(None, (row.case.variant, row.choices)))
    best = mark == VERDICT_MARKS["winner"]
    return {
        "variant": name, "batch": row.case.batch, "text": number, "mark": unlike + mark,
        "colour": f"var(--{colour})", "best": best,
    }  # fmt: skip


def _lost(
    setting: Setting, model: tuple[str, int], best: Case, measured: set[tuple[str, int]], names: list[str]
) -> list[dict[str, Any]]:
    """Return a cell for each case of a heat map that has no speed."""
    lost = {
        (case.variant, case.batch): "-" if record.status == "skipped" else "✗"
        for record in setting.records
        if record.status != "ok"
        and ((case := record.case).model, case.image) == model
        and (case.precision, case.launch) == (best.precision, best.launch)
        and case.variant in names
    }
    return [
        {"variant": variant, "batch": batch, "text": "", "mark": mark, "colour": "var(--paper)", "best": False}
        for (variant, batch), mark in lost.items()
        if (variant, batch) not in measured and batch in {batch for _, batch in measured}
    ]


def _heat_map(cells: list[dict[str, Any]], names: list[str], where: str) -> Spec:
    batches = sorted({cell["batch"] for cell in cells})
    order = [*names, *sorted({cell["variant"] for cell in cells} - set(names))]
    plain = {"ticks": False, "domain": False, "labelColor": "var(--ink)"}
    x = channel("batch:O", title=f"batch, {where}", sort=batches, axis=plain | {"orient": "top", "labelAngle": 0})
    y = channel("variant:N", title=None, sort=order, axis=plain)
    fill = channel("colour:N", scale=None, legend=None)
    texts = [
        layer("text", {"x": x, "y": y, "text": channel(f"{field}:N")}, [{"filter": test}], **style)
        for test in ("datum.best", "!datum.best")
        for field, style in (("text", {"align": "right", "dx": 10}), ("mark", {"align": "left", "dx": 12}))
    ]
    for one in texts[:2]:
        one["mark"]["fontWeight"] = "bold"
    return {
        "data": {"name": "cells"},
        "datasets": {"cells": cells},
        "layer": [layer("rect", {"x": x, "y": y, "fill": fill}, stroke="var(--paper)", strokeWidth=2), *texts],
        "width": 58 * len(batches),
        "height": 24 * len(order),
        "config": look.config() | {"view": {"stroke": None}},
        "usermeta": {},
    }
