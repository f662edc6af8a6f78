"""Cases over commits: the series of the page's overview, the chart of one, and the still of those that changed.

A series has its values once, and places in the list of its machine's commits: a page of years must open in seconds.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bench.commands import command_line
from bench.errors import StoreError
from bench.history.accepted import FILE, mark_news, read_accepted
from bench.history.history import History, judge_history
from bench.history.kinds import KINDS, change_size, in_words, kind_of, main_change, marks, p_words, versions, word_of
from bench.history.series import Change, Point, Series, read_series, software_between
from bench.history.text import ended_sentence, movement_sentence, newest_sentence, order_sentence, summary
from bench.plans.case import Case
from bench.report.page import look
from bench.report.page.encoding import Rows, Spec, channel, layer
from bench.report.page.settings import case_fields
from bench.runs.worktree import commit_order, is_shallow
from bench.text import digits, percent_interval

METRICS = {"latency": ("p50 latency", "ms"), "throughput": ("throughput", "images/s")}
MULTIPLES = 12  # series of the still
SHAPES = {"worse": "M-1,-1L1,1M1,-1L-1,1", "better": "circle"}  # of a change, beside its colour and its word


@dataclass
class Overview:
    """The series of some folders, and what is to be said of all of them."""

    series: list[dict[str, Any]] = field(default_factory=list)
    machines: list[dict[str, Any]] = field(default_factory=list)  # the commits of each, and what moved all its series
    notes: list[str] = field(default_factory=list)  # sentences: what moved all, what is left out
    finding: str = ""  # in a sentence


def read_overview(folders: Iterable[Path]) -> Overview:
    """Return the history of some results folders, what got worse first; where there is none, the reason is a note."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            order = commit_order()
            history = judge_history(read_series(folders, list(METRICS), order, is_shallow()), order)
            mark_news(history, read_accepted(FILE), order)
    except StoreError as error:
        return Overview(notes=[str(error)])
    notes = [movement_sentence(move) + marks(move.change) for move in history.movements]
    notes += [newest_sentence(one) for one in history.newest]
    notes += filter(None, [ended_sentence(history.series), order_sentence(history.series, order)])
    notes += [text for warning in caught if (text := str(warning.message)).startswith("left out: ")]
    several = [series for series in history.series if len(series.points) > 1]
    commits = {name: _commits(several, name, order) for name in dict.fromkeys(one.machine for one in several)}
    machines = [_machine(name, points, history) for name, points in commits.items()]
    places = {name: {point.sha: at for at, point in enumerate(points)} for name, points in commits.items()}
    rows = [_series_row(one, places[one.machine], history) | {"machine": one.machine} for one in several]
    rows.sort(key=_order)
    return Overview([{"id": place} | row for place, row in enumerate(rows)], machines, notes, summary(history))


def _order(row: dict[str, Any]) -> tuple[int, int, float]:
    """Sort by kind, then by the change that tells it: the newest first, and the largest of a commit."""
    main: dict[str, Any] = row["changes"][row["main"]] if row["changes"] else {"at": 0, "size": 0.0}
    return KINDS.index(row["kind"]), -int(main["at"]), -abs(float(main["size"]))


def _commits(every: Sequence[Series], machine: str, order: dict[str, int]) -> list[Point]:
    """Return a point of each commit of a machine, the first measured, in the commits' order."""
    first: dict[str, Point] = {}
    for point in (point for series in every if series.machine == machine for point in series.points):
        if point.sha not in first or point.when < first[point.sha].when:
            first[point.sha] = point
    return sorted(first.values(), key=lambda point: (order.get(point.sha, len(order)), point.when))


def _machine(name: str, commits: list[Point], history: History) -> dict[str, Any]:
    place = {point.sha: at for at, point in enumerate(commits)}
    software = [in_words(software_between(old, new)) for old, new in pairwise([commits[0], *commits])]
    return {
        "name": name,
        "commits": [point.sha[:10] for point in commits],
        "days": [str(point.when)[:10] for point in commits],
        "software": {str(at): text for at, text in enumerate(software) if text},
        "moves": [
            {"at": place[move.change.after.sha], "metrics": list(move.metrics)} | _kind_and_size(move.change)
            for move in history.movements
            if move.machine == name
        ],
    }


def _series_row(series: Series, places: dict[str, int], history: History) -> dict[str, Any]:
    title, unit = METRICS[series.metric]
    fields = case_fields(Case.parse(series.case), series.choices)
    row = {name: fields[name] for name in ("model", "variant", "precision", "batch", "image", "launch", "case")}
    row |= {"name": series.name, "metric": series.metric, "title": title, "unit": unit, "kind": kind_of(series)}
    row |= {"setting": None, "at": [places[point.sha] for point in series.points], "values": series.values}
    if any(point.rounds > 1 for point in series.points):
        row |= {"rounds": [point.rounds for point in series.points]}
        row |= {"lows": [point.low for point in series.points], "highs": [point.high for point in series.points]}
    spikes = {id(point) for point in series.spikes}
    row["spikes"] = [place for place, point in enumerate(series.points) if id(point) in spikes]
    row["changes"] = [_change(series, change, places) for change in series.changes]
    main = main_change(series)
    row |= {"main": next(place for place, one in enumerate(series.changes) if one is main)} if main else {}
    row["levels"] = _levels(row, [change["at"] for change in row["changes"]] + _moves_of(series, places, history))
    row |= {"unsure": series.unsure, "confirm": _elsewhere(series.confirm)} if series.unsure else {}
    return row | ({"flips": series.flips} if series.flips else {})


def _moves_of(series: Series, places: dict[str, int], history: History) -> list[int]:
    """Return the places of the commits at which this series moved with all others."""
    moves = (move for move in history.movements if move.machine == series.machine and series.metric in move.metrics)
    return [places[move.change.after.sha] for move in moves]


def _levels(row: dict[str, Any], edges: list[int]) -> list[list[Any]]:
    """Return the stretches between some places of commits: the first and the last value's place, and their median."""
    count = len(row["values"])
    cuts = sorted({0, count, *(bisect_left(row["at"], edge) for edge in edges)})
    levels: list[list[Any]] = []
    for low, high in pairwise(cuts):
        kept = [value for place, value in enumerate(row["values"][low:high], low) if place not in row["spikes"]]
        levels.append([low, high - 1, median(kept or row["values"][low:high])])
    return levels


def _change(series: Series, change: Change, places: dict[str, int]) -> dict[str, Any]:
    low, high = change.ratio.low, change.ratio.high
    return _kind_and_size(change) | {
        "at": places[change.after.sha],
        "before": places[change.before.sha],
        "interval": "" if low is None or high is None else percent_interval(low, high),
        "sure": p_words(change),
        "confirm": _elsewhere(change.confirm(series.case)),
        "marks": marks(change).removeprefix("; "),
        "software": versions(change),
    }


def _elsewhere(command: str) -> str:
    """Return a command as any checkout has it: a page is read on other machines than it was written on."""
    return command.replace(command_line(), "bench", 1)


def _kind_and_size(change: Change) -> dict[str, Any]:
    return {"kind": word_of(change), "size": change.ratio.value - 1, "text": change_size(change)}


# ---- the chart of a series, and the still: rows of points, levels, changes and moves in one dataset


def series_chart(rows: Rows) -> Spec:
    """Return a series over commits, for the script to fill: `rows` are not drawn before a reader opens one of them."""
    height = {"height": 230, "width": 700}
    usermeta = {"dataset": "history", "panel": "name", "gutter": 0, "most": 0, "opened": True}
    return {"data": {"name": "history"}, "layer": _layers(), "config": look.config(), "usermeta": usermeta} | height


def _layers() -> list[Spec]:
    """Return points on their level, the interval of their rounds, and what changed between which commits."""
    x = channel("at:Q", title=None, scale={"nice": False, "zero": False, "padding": 14}, axis={"grid": False})
    y = channel("value:Q", title=None, scale={"zero": False, "padding": 10}, axis={"format": ",.4~r", "tickCount": 5})
    colour = {
        "condition": [{"test": f"datum.kind === '{kind}'", "value": f"var(--{kind})"} for kind in ("worse", "better")],
        "value": "var(--soft)",
    }
    shape = {"condition": {"test": "datum.kind === 'worse'", "value": SHAPES["worse"]}, "value": SHAPES["better"]}
    tooltip = [
        channel("commit:N"),
        channel("day:N", title="first measured"),
        channel("value:Q", format=",.4~r"),
        channel("level:Q", title="level", format=",.4~r"),
        channel("rounds:Q"),
        channel("said:N", title="change"),
        channel("software:N"),
    ]
    top = {"y": {"value": 0}}
    height = {"y": channel("row:Q", scale=None, axis=None)}

    def some(what: str) -> list[Spec]:
        return [{"filter": f"datum.what === '{what}'"}]

    text = {"text": channel("text:N"), "fill": colour, "x": x, **height}
    labels = [
        layer("text", text, [*some("change"), {"filter": f"{no}datum.late"}], align=align, dx=dx, fontSize=11)
        for no, align, dx in (("!", "left", 8), ("", "right", -8))
    ]
    return [
        layer("rule", {"x": x, "stroke": colour}, some("change"), strokeDash=[4, 3]),
        layer("rule", {"x": x, "x2": {"field": "until"}, "y": y}, some("level"), strokeWidth=5, stroke="var(--front)"),
        layer("rule", {"x": x, "y": channel("low:Q"), "y2": {"field": "high"}}, some("round"), stroke="var(--soft)"),
        layer("point", {"x": x, "y": y, "tooltip": tooltip}, some("point"), filled=True, size=34, fill="var(--ink)"),
        layer("point", {"x": x, "y": y}, some("spike"), size=34, stroke="var(--ink)", fill="var(--paper)"),
        layer("point", {"x": x, "stroke": colour, "shape": shape, **top}, some("change"), size=40, strokeWidth=2),
        *labels,
    ]


def still(overview: Overview) -> Spec | None:
    """Return the series that changed, what got worse first, as small charts below the finding; None without any."""
    changed = [row for row in overview.series if row["kind"] in ("worse", "better")][:MULTIPLES]
    if not changed:
        return None
    machines = {machine["name"]: machine for machine in overview.machines}
    rows = [drawn | {"place": row["id"]} for row in changed for drawn in _drawn(row, machines[row["machine"]])]
    left = sum(row["kind"] in ("worse", "better") for row in overview.series) - len(changed)
    of = [
        f"{name}, {len(m['days'])} commits in order, {m['days'][0]} to {m['days'][-1]}" for name, m in machines.items()
    ]
    header = {"labelExpr": "split(datum.label, '\\n')", "labelFontSize": 11, "labelAnchor": "start", "title": None}
    return {
        "data": {"values": rows},
        "facet": channel("panel:N", sort={"field": "place", "op": "min"}, title=None, header=header),
        "columns": 3,
        "spacing": {"row": 14, "column": 24},
        "resolve": {"scale": {"x": "independent", "y": "independent"}, "axis": {"x": "independent"}},
        "spec": {"layer": _layers(), "width": 300, "height": 64},
        "config": look.config() | {"axisX": {"labels": False, "ticks": False}, "axisY": {"minExtent": 44}},
        "usermeta": {"panels": len(changed)},
        "description": ", ".join([*of, *([f"and {left} more that changed"] if left else [])]),
    }


def _drawn(row: dict[str, Any], machine: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the layers of one panel, as the page's script makes them."""
    main = row["changes"][row["main"]]
    newest = f"{digits(row['values'][-1])} {row['unit']}"
    panel = f"{row['name']}\n{row['title']} {newest}, {main['text']} {main['kind']} at {machine['commits'][main['at']]}"
    spikes, middle = set(row["spikes"]), (row["at"][0] + row["at"][-1]) / 2
    rows = [
        {"what": "spike" if place in spikes else "point", "at": at, "value": value}
        for place, (at, value) in enumerate(zip(row["at"], row["values"], strict=True))
    ]
    rows += [
        {"what": "level", "at": row["at"][first] - 0.3, "until": row["at"][end] + 0.3, "value": level}
        for first, end, level in row["levels"]
    ]
    rows += [
        {"what": "change", "at": one["at"] - 0.5, "kind": one["kind"], "text": "", "late": one["at"] > middle, "row": 0}
        for one in row["changes"]
    ]
    return [{"panel": panel} | one for one in rows]
