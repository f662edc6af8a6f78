"""The datasets of the page beside its cases: the layers of a case, and cases over commits."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import StoreError
from bench.history.history import judge_history
from bench.history.series import Series, read_series
from bench.history.text import movement_sentence, newest_sentence, order_sentence, p_words
from bench.plans.case import Case
from bench.plans.words import label
from bench.records import same
from bench.report.layers import rows as layers
from bench.report.page.settings import case_fields
from bench.runs.worktree import commit_order, is_shallow

METRICS = {"latency": "p50, ms", "throughput": "images/s"}


def layer_rows(folders: Iterable[Path], settings: dict[same.Key, int], damage: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the files of `bench layers -o` in some folders; what cannot be read adds to `damage`.

    A file of a machine without records here is shown with every setting.
    """
    rows: list[dict[str, Any]] = []
    for timed, rival, apart in layers.with_rivals(layers.read_files(folders, damage)):
        fields = {"setting": settings.get(same.group_key(timed.record))} | case_fields(timed.case)
        fields["panel"] = f"{fields['group']}: {fields['way']}{apart}"
        fields |= {"beside": fields["panel"], "rival": None, "rival_variant": None}
        if rival:
            fields |= {"rival": label(rival.case), "rival_variant": rival.case.variant}
            fields["beside"] += f"; outlined: {fields['rival']}"
        rows += [{"id": len(rows) + place} | fields | row for place, row in enumerate(layers.rows_of(timed, rival))]
    return rows


def history_rows(folders: Iterable[Path], notes: list[str]) -> list[dict[str, Any]]:
    """Return a row for each case, metric and commit, cases that changed first.

    What else is to be said of them adds to `notes`: what is not among them, and what moved all series alike.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            order = commit_order()
            history = judge_history(read_series(folders, list(METRICS), order, is_shallow()), order)
    except StoreError as error:
        notes.append(str(error))
        return []
    notes += [text for warning in caught if (text := str(warning.message)).startswith("left out: ")]
    notes += [movement_sentence(move) for move in history.movements]
    notes += [newest_sentence(one) for one in history.newest]
    notes += filter(None, [order_sentence(history.series, order)])
    several = [series for series in history.series if len(series.points) > 1]
    named = len({series.machine for series in several}) > 1
    rows: list[dict[str, Any]] = []
    for series in sorted(several, key=lambda series: not series.changes):
        rows += _points(series, len(rows), f", {series.machine}" if named else "")
    return rows


def _points(series: Series, first_id: int, machine: str) -> list[dict[str, Any]]:
    fields = {"setting": None} | case_fields(Case.parse(series.case), series.choices)
    fields["panel"] = f"{series.name}, {METRICS[series.metric]}{machine}"
    changes = {id(change.after): change for change in series.changes}
    edges = [0, *(place for place, point in enumerate(series.points) if id(point) in changes), len(series.points)]
    kept = [(place, point.value) for place, point in enumerate(series.points) if point not in series.spikes]
    levels = {low: median(value for place, value in kept if low <= place < high) for low, high in pairwise(edges)}
    rows = []
    for place, point in enumerate(series.points):
        low = max(edge for edge in levels if edge <= place)
        row = {
            "id": first_id + place,
            "at": place + 1,
            "commit": point.sha[:10],
            "when": str(point.when)[:10],
            "value": float(point.value),
            "level": float(levels[low]),
            "stretch": low,
            "rounds": point.rounds,
        }
        if change := changes.get(id(point)):
            word = "worse" if change.worse else "better"
            row["change"] = f"{100 * (change.ratio.value - 1):+.1f} %, {word}"
            row["surely"] = f"{p_words(change)}; to confirm: {change.confirm(series.case)}"
        rows.append(fields | row)
    return rows
