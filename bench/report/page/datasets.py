"""The datasets of the page beside its cases: the layers of a case, and cases over commits."""

from __future__ import annotations

import warnings
from collections import Counter
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
from bench.records import same
from bench.records.record import Record
from bench.report.page.settings import case_fields
from bench.roofline.layers import SCHEMA, layer_name
from bench.runs.worktree import commit_order, is_shallow
from kernels.cards.reading import read_json_file

METRICS = {"latency": "p50, ms", "throughput": "images/s"}
KERNELS = 3  # named of each layer


def layer_rows(folders: Iterable[Path], settings: dict[same.Key, int], damage: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the files of `bench layers -o` in some folders, in ms: each begins where the one before ends.

    What cannot be read adds to `damage`. A file of a machine without records here is shown with every setting.
    """
    rows: list[dict[str, Any]] = []
    for path in [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))]:
        try:
            content = read_json_file(path)
            if not isinstance(content, dict) or "layers" not in content:
                continue
            if content["layers"] != SCHEMA:
                damage.append(f"{path}: left out: layers of format {content['layers']}, this version reads {SCHEMA}")
                continue
            of_file = _layers_of_file(content, settings)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            damage.append(f"{path}: left out: not what bench layers wrote ({type(error).__name__})")
            continue
        rows += [{"id": len(rows) + place} | row for place, row in enumerate(of_file)]
    return rows


def _layers_of_file(content: dict[str, Any], settings: dict[same.Key, int]) -> list[dict[str, Any]]:
    case = Case.parse(content["case"])
    key = same.group_key(Record(case, 0, "ok", device=content["device"], environment=content["environment"]))
    fields = {"setting": settings.get(key)} | case_fields(case)
    fields["panel"] = f"{fields['group']}: {fields['way']}"
    rows: list[dict[str, Any]] = []
    names: Counter[str] = Counter()
    start = 0.0
    for layer in content["rows"]:
        ms, floor = layer["us"] / 1e3, layer["floor_us"]
        kernels = [f"{kernel['name']} ({kernel['us']:.4g} µs)" for kernel in layer["kernels"]]
        more = [f"and {len(kernels) - KERNELS} more"] if len(kernels) > KERNELS else []
        name = layer_name(layer)
        # a network may run one kernel many times: a name is a place on the axis
        names[name] += 1
        row = {
            "layer": name + (f" #{names[name]}" if names[name] > 1 else ""),
            "start": start,
            "end": start + ms,
            "ms": ms,
            "share": float(layer["share"]),
            "floor": None if floor is None else floor / 1e3,
            "floor_end": None if floor is None else start + floor / 1e3,
            "bound": str(layer["bound"] or "-"),
            "kernels": "; ".join(kernels[:KERNELS] + more),
        }
        rows.append(fields | row)
        start += ms
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
