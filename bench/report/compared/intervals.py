"""The interval plot of a comparison: a row a case, a diamond a variant, a panel a metric, drawn by vl-convert.

    Comparison -> rows, at the same places in every panel -> a Vega-Lite specification -> SVG, PNG

Changes are logarithms, so that twice and half are as far from none. Colour and shape say the verdict.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import zip_longest
from math import exp, inf, log, log1p
from textwrap import wrap
from typing import Any

from bench.report.page import look
from bench.report.page.document import shown
from bench.report.page.encoding import Spec, channel, layer
from bench.text import percent_change, plural
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.metrics import METRICS
from bench.verdicts.rollup import RollUp, groups_of
from bench.verdicts.shown.finding import finding
from bench.verdicts.shown.text import listed_rollup, rollup_basis

SHOWN_CASES, SHOWN_GROUPS, PANELS = 40, 24, 3  # at most
ROW, LABELS, PANEL, NUMBERS = 17, 290, 190, 62  # pixels: the height of a row, and widths
SCALE = 2.0  # of PNGs, for dense screens
BEYOND = 1.6  # times the largest change, or twice the least that counts: where longer intervals are cut
LETTER = 6.4  # pixels of a title's character
# by verdict: its words in the legend, line, filling and shape
MARKS = {
    SLOWER: ("slower, or worse", "var(--bad)", "var(--bad)", "triangle-down"),
    FASTER: ("faster, or better", "var(--accent)", "var(--accent)", "triangle-up"),
    SAME: ("same", "var(--soft)", "var(--soft)", "circle"),
    AMBIGUOUS: ("cannot be told", "var(--soft)", "var(--paper)", "circle"),
    "": ("variant, geometric mean", "var(--ink)", "var(--ink)", "diamond"),
}
# percent of the ticks of a wide axis; of a narrow one they are a step apart
WIDE = (-90, -50, 0, 100, 900, 9900)
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Row:
    """A line of the picture: its name, and a verdict or a roll-up of each metric that has one."""

    name: str
    is_group: bool
    of: dict[str, Verdict | RollUp]


def picture(comparison: Comparison, sides: str, suffix: str) -> bytes:
    """Return the picture as SVG or PNG, by the suffix of its file; `sides` names base and head."""
    import vl_convert

    text = json.dumps(shown(specification(comparison, sides)))
    if suffix == ".png":
        png: bytes = vl_convert.vegalite_to_png(text, scale=SCALE, show_warnings=False)
        return png
    return str(vl_convert.vegalite_to_svg(text, show_warnings=False)).encode()


def specification(comparison: Comparison, sides: str) -> Spec:
    """Return the picture in Vega-Lite, with its data and light colours."""
    drawn = [one for one in comparison.verdicts if one.ratio is not None]
    changed = {one.metric for one in drawn if one.word in (SLOWER, FASTER)}
    metrics = [name for name in METRICS if name in (changed or {one.metric for one in drawn})]
    rows, cases, variants = rows_of(comparison, metrics[:PANELS])
    notes = [
        sides,
        "Head over base, with 95 % intervals, each by itself. Shaded: less than the least change that counts.",
    ]
    if cases or variants:
        texts = [f"{n} {plural(n, noun)}" for n, noun in ((cases, "case"), (variants, "variant")) if n]
        notes.append(f"Left out: {' and '.join(texts)} that changed less. A variant's diamond is of all of its cases.")
    there = [name for name in metrics[:PANELS] if any(name in row.of for row in rows)]
    if without := [name for name in metrics if name not in there]:
        notes.append(f"{len(there)} of {len(metrics)} metrics; not drawn: {', '.join(without)}.")
    if any(row.is_group for row in rows):
        notes.append(rollup_basis(comparison.rollup))
    panels = [_panel(name, rows) for name in there]
    labels = min(LABELS, int(LETTER * max((len(row.name) for row in rows), default=0)))
    letters = int((labels + (PANEL + NUMBERS) * max(1, len(panels))) / LETTER)
    title = {"text": wrap(finding(comparison).text, letters), "offset": 12}
    spec = {
        "hconcat": [_labels(rows, labels), *panels],
        "spacing": 8,
        "title": title | {"subtitle": [line for note in notes for line in wrap(note, letters)]},
        "config": look.config() | {"concat": {"spacing": NUMBERS}, "view": {"stroke": None}},
        "background": "white",
        "padding": 10,
    }
    light: Spec = look.with_colours(spec)
    return light


def rows_of(comparison: Comparison, metrics: list[str]) -> tuple[list[Row], int, int]:
    """Return the rows from the top, by variant, the worst first in both; and how many cases and variants are left out.

    Of many cases those are there that changed most, one for the worse, one for the better, and so on; then others.
    """
    of_case: dict[str, dict[str, Verdict | RollUp]] = {}
    for one in comparison.verdicts:
        if one.metric in metrics and one.ratio is not None:
            of_case.setdefault(one.case, {})[one.metric] = one
    chosen = _chosen([one for one in comparison.verdicts if one.case in of_case and one.metric in metrics])
    rolled = [one for one in listed_rollup(comparison, True) if one.metric in metrics]
    sizes: dict[str, float] = {}
    for row in rolled:
        sizes[row.name] = max(abs(row.worse) if row.variant else inf, sizes.get(row.name, 0.0))
    names = sorted(sizes, key=lambda name: -sizes[name])[:SHOWN_GROUPS]
    groups: dict[str, Row] = {}
    for row in rolled:
        if row.name in names:
            groups.setdefault(row.name, Row(row.name, True, {})).of[row.metric] = row
    by_name: dict[str, list[Row]] = {"all": [], **{name: [] for name in groups}}
    group_of = groups_of(one.case for one in comparison.verdicts)
    for case in sorted(chosen, key=lambda case: (-_worst(of_case[case]), case)):
        name = "/".join(filter(None, group_of[case]))  # a variant of one case has no row of its kind
        by_name[name if name in by_name else "all"].append(Row(case, False, of_case[case]))
    ordered = [row for name, cases in by_name.items() for row in (*filter(None, [groups.get(name)]), *cases)]
    return ordered, len({one.case for one in comparison.verdicts}) - len(chosen), len(sizes) - len(groups)


def _chosen(verdicts: list[Verdict]) -> list[str]:
    """Return the cases to draw, SHOWN_CASES at most."""
    ordered = sorted(verdicts, key=lambda one: -abs(one.worse))
    worse, better = (dict.fromkeys(one.case for one in ordered if one.word == word) for word in (SLOWER, FASTER))
    turns = [case for pair in zip_longest(worse, better) for case in pair if case is not None]
    return list(dict.fromkeys([*turns, *(one.case for one in ordered)]))[:SHOWN_CASES]


def _worst(of: dict[str, Verdict | RollUp]) -> float:
    return max((one.worse for one in of.values()), default=-inf)


def _labels(rows: list[Row], width: int) -> Spec:
    """Return the names of the rows as a panel of text, the variants' in bold."""
    values = [{"y": place, "name": row.name, "group": row.is_group} for place, row in enumerate(rows)]
    at = {"x": {"value": width}, "y": _place(rows), "text": channel("name:N")}
    layers = [
        layer("text", at, [{"filter": test}], align="right", limit=width, fontWeight=weight, fontSize=11)
        for test, weight in (("datum.group", "bold"), ("!datum.group", "normal"))
    ]
    return {"layer": layers, "data": {"values": values}, "width": width, "height": ROW * len(rows)}


def _place(rows: list[Row]) -> Spec:
    return channel("y:O", scale={"domain": list(range(len(rows)))}, axis=None)


def _panel(metric: str, rows: list[Row]) -> Spec:
    """Return a metric's panel: the band of the least change that counts, the intervals, the marks, the changes."""
    there = [(place, row.of[metric]) for place, row in enumerate(rows) if metric in row.of]
    limit = log1p(max(one.minimum for _, one in there))
    low, high = _domain([one for _, one in there], limit)
    values = [_drawn(place, one, low, high) for place, one in there]
    title = f"{metric}, % ({'more' if METRICS[metric].lower else 'less'} is worse)"
    labels = "datum.value == 0 ? '0' : format(100 * (exp(datum.value) - 1), '+.3~r')"
    axis = {
        "orient": "top",
        "grid": True,
        "title": title,
        "values": _ticks(low, high),
        "labelExpr": labels,
        "domain": False,
    }
    x = {"type": "quantitative", "scale": {"domain": [low, high], "nice": False, "zero": False}}
    at = {"x": channel("x:Q", **x | {"axis": axis}), "y": _place(rows)}
    edges = {"x": channel("low:Q", **x | {"axis": axis}), "x2": {"field": "high"}, "y": _place(rows)}
    band: Spec = {"x": {"datum": -limit, **x, "axis": axis}, "x2": {"datum": limit}}
    layers = [
        layer("rect", band, color="var(--grid)"),
        layer("rule", {"x": {"datum": 0, **x, "axis": axis}}, color="var(--soft)", strokeWidth=1),
        layer("rule", edges | {"stroke": _scale(1)}, [{"filter": "isValid(datum.low)"}], strokeWidth=1.5),
        *(
            layer("text", at | {"x": channel(f"{end}:Q", **x | {"axis": axis}), "stroke": _scale(1)},
                  [{"filter": f"datum.{end}_cut"}], text=arrow, fontSize=9, align=align)
            for end, arrow, align in (("low", "◂", "left"), ("high", "▸", "right"))
        ),
        layer("point", at | {"fill": _scale(2), "stroke": _scale(1), "shape": _scale(3)},
              size=50, strokeWidth=1.5, opacity=1),
        layer("text", {"x": {"value": PANEL + NUMBERS - 6}, "y": _place(rows), "text": channel("change:N")},
              align="right", fontSize=11),
    ]  # fmt: skip
    return {"layer": layers, "data": {"values": values}, "width": PANEL, "height": ROW * len(rows)}


def _scale(which: int) -> Spec:
    """Return the channel of the verdicts' lines, fillings or shapes, which all share one legend."""
    words = [mark[0] for mark in MARKS.values()]
    scale = {"domain": words, "range": [mark[which] for mark in MARKS.values()]}
    return channel("verdict:N", title=None, scale=scale)


def _drawn(place: int, one: Verdict | RollUp, low: float, high: float) -> dict[str, Any]:
    """Return what is drawn of a verdict or a roll-up: an interval that leaves the panel is cut there, with an arrow."""
    drawn: dict[str, Any] = {"y": place, "verdict": MARKS[one.word if isinstance(one, Verdict) else ""][0]}
    if one.ratio:
        drawn |= {"x": min(max(log(one.ratio), low), high), "change": f"{percent_change(one.ratio)} %"}
    if one.low and one.high:
        edges = log(one.low), log(one.high)
        drawn |= {"low": max(edges[0], low), "high": min(edges[1], high)}
        drawn |= {"low_cut": edges[0] < low, "high_cut": edges[1] > high}
    return drawn


def _domain(there: list[Verdict | RollUp], limit: float) -> tuple[float, float]:
    """Return the ends of an axis: around all changes and what is near of their intervals, with some room."""
    changes = [log(one.ratio) for one in there if one.ratio]
    most = BEYOND * max(2 * limit, *map(abs, changes), 0.0)
    edges = [log(edge) for one in there for edge in (one.low, one.high) if edge]
    values = [*changes, *(min(max(edge, -most), most) for edge in edges), -1.3 * limit, 1.3 * limit]
    room = 0.05 * (max(values) - min(values))
    return min(values) - room, max(values) + room


def _ticks(low: float, high: float) -> list[float]:
    """Return the places of round percentages between two logarithms, about five of them."""
    least, most = 100 * (exp(low) - 1), 100 * (exp(high) - 1)
    step = next((step for step in STEPS if (most - least) / step <= 5), 0)
    percents = [step * place for place in range(int(least / step), int(most / step) + 1)] if step else WIDE
    return [log1p(percent / 100) for percent in percents if least <= percent <= most]
