"""Cases over commits, as rows: `bench.verdicts.history` says where a level changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench.plans.case import Case
from bench.report.page.numbers import short
from bench.report.page.settings import axes
from bench.runs.worktree import commit_order
from bench.verdicts.history import Series, read_history

METRICS = {"latency": "p50, ms", "throughput": "images/s"}


def history_rows(folders: Iterable[Path], damage: list[str]) -> list[dict[str, Any]]:
    """A row a case, metric and commit, those first whose level changed; why there are none is added to `damage`."""
    try:
        found = read_history(folders, list(METRICS), commit_order())
    except ModuleNotFoundError as error:
        damage.append(f"the history needs {error.name}: pip install ruptures")
        return []
    found = [series for series in found if len(series.points) > 1]
    several = len({series.machine for series in found}) > 1
    rows: list[dict[str, Any]] = []
    for series in sorted(found, key=lambda series: not series.changes):
        rows += _rows(series, len(rows), several)
    return rows


def _rows(series: Series, first: int, several: bool) -> list[dict[str, Any]]:
    about = {"setting": None} | axes(Case.parse(series.case))
    where = f", {series.machine}" if several else ""
    about["panel"] = f"{series.case}, {METRICS[series.metric]}{where}"
    changes = {id(change.after): change for change in series.changes}
    spikes = {id(point) for point in series.spikes}
    edges = [place for place, point in enumerate(series.points) if id(point) in changes]
    made = []
    for place, point in enumerate(series.points):
        low = max([0, *(edge for edge in edges if edge <= place)])
        high = min([len(series.points), *(edge for edge in edges if edge > place)])
        level = median(one.value for one in series.points[low:high] if id(one) not in spikes)
        row = {
            "id": first + place,
            "at": place + 1,
            "commit": point.sha[:10],
            "when": str(point.when)[:10],
            "value": short(float(point.value)),
            "level": short(float(level)),
            "stretch": low,
            "rounds": point.rounds,
        }
        if change := changes.get(id(point)):
            word = "worse" if change.worse else "better"
            row["change"] = f"{100 * (change.ratio.value - 1):+.1f} %, {word}"
            row["surely"] = f"p {change.p:.2g}; to confirm: {change.confirm(series.case)}"
        made.append(about | row)
    return made
