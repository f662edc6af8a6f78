"""Cases over commits as rows; `bench.verdicts.history` finds where a level changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench.plans.case import Case
from bench.report.page.numbers import rounded
from bench.report.page.settings import case_fields
from bench.runs.worktree import commit_order
from bench.verdicts.history import Series, read_history

METRICS = {"latency": "p50, ms", "throughput": "images/s"}


def history_rows(folders: Iterable[Path], damage: list[str]) -> list[dict[str, Any]]:
    """Return a row for each case, metric and commit, cases that changed first; a missing library adds to `damage`."""
    try:
        every = read_history(folders, list(METRICS), commit_order())
    except ModuleNotFoundError as error:
        damage.append(f"the history needs {error.name}: pip install ruptures")
        return []
    several = [series for series in every if len(series.points) > 1]
    named = len({series.machine for series in several}) > 1
    rows: list[dict[str, Any]] = []
    for series in sorted(several, key=lambda series: not series.changes):
        rows += _rows(series, len(rows), f", {series.machine}" if named else "")
    return rows


def _rows(series: Series, first_id: int, machine: str) -> list[dict[str, Any]]:
    fields = {"setting": None} | case_fields(Case.parse(series.case))
    fields["panel"] = f"{series.case}, {METRICS[series.metric]}{machine}"
    changes = {id(change.after): change for change in series.changes}
    spikes = {id(point) for point in series.spikes}
    edges = [place for place, point in enumerate(series.points) if id(point) in changes]
    rows = []
    for place, point in enumerate(series.points):
        low = max([0, *(edge for edge in edges if edge <= place)])
        high = min([len(series.points), *(edge for edge in edges if edge > place)])
        level = median(other.value for other in series.points[low:high] if id(other) not in spikes)
        row = {
            "id": first_id + place,
            "at": place + 1,
            "commit": point.sha[:10],
            "when": str(point.when)[:10],
            "value": rounded(float(point.value)),
            "level": rounded(float(level)),
            "stretch": low,
            "rounds": point.rounds,
        }
        if change := changes.get(id(point)):
            word = "worse" if change.worse else "better"
            row["change"] = f"{100 * (change.ratio.value - 1):+.1f} %, {word}"
            row["surely"] = f"p {change.p:.2g}; to confirm: {change.confirm(series.case)}"
        rows.append(fields | row)
    return rows
