"""Two pictures that the page has as a table: what is fastest at one batch, and how far each way is over eager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.plans.words import label
from bench.report.answer import Contest
from bench.report.markdown import BestWays, best_ways
from bench.report.page import look
from bench.report.page.encoding import Spec, channel, layer
from bench.report.page.settings import Setting, headline
from bench.report.rows import Row
from bench.text import at_pixels, digits

GAP = "\u2002"  # which SVG does not join with others


@dataclass(frozen=True)
class Picture:
    """A chart with its data, the finding that it shows, and what its marks mean."""

    spec: Spec
    finding: str
    legend: str


def mark_of(row: Row, contests: list[Contest]) -> str:
    """Return the mark of a row that is the fastest of its contest, or may be; of most rows nothing."""
    for contest in contests:
        if any(row is one for one in contest.candidates):
            return look.VERDICTS.get(contest.verdict, "")
    return ""


def answer(setting: Setting) -> Picture | None:
    """Return the images/s of each variant in its best precision, at the batch of one model with the most variants."""
    ways = best_ways(setting.rows)
    if ways is None:
        return None
    first = ways.rows[0]
    contests = [contest for contest in setting.contests if any(row is first for row in contest.rows)]
    rows = [_bar(row, ways, mark_of(row, contests)) for row in ways.rows]
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
    x = channel("speed:Q", title=title, scale=scale, axis={"tickCount": 5, "labelExpr": look.SI, "grid": False})
    y = channel("name:N", title=None, sort=None, axis={"ticks": False, "domain": False, "labelColor": "var(--ink)"})
    measured = [{"filter": "isValid(datum.low)"}]
    weight = {"condition": {"test": "datum.strong", "value": "bold"}, "value": "normal"}
    interval = {"x": channel("low:Q"), "x2": {"field": "high"}, "y": y}
    text = {"x": channel("end:Q"), "y": y, "text": channel("text:N"), "fontWeight": weight}
    layers = [
        layer("bar", {"x": x, "y": y, "fill": channel("variant:N", scale=colours, legend=None)}, height={"band": 0.72}),
        layer("rule", interval, measured, stroke="var(--paper)", strokeWidth=4),
        layer("rule", interval, measured, stroke="var(--ink)", strokeWidth=1.6),
        layer("text", text, align="left", dx=7, fontSize=11.5),
    ]
    return {
        "data": {"name": "answer"},
        "datasets": {"answer": rows},
        "layer": layers,
        "width": 420,
        "height": {"step": 24},
        "config": look.config() | {"view": {"stroke": None}},
    }
