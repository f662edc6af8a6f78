"""The history of cases for a program: rows of CSV, JSON."""

from __future__ import annotations

from typing import Any

from bench.history.history import History
from bench.history.series import Change, Series
from bench.history.text import newest_sentence
from bench.verdicts.metrics import METRICS


def _about(series: Series) -> dict[str, Any]:
    row = {"case": series.case, "choices": series.choices or None, "metric": series.metric}
    return row | {"unit": METRICS[series.metric].unit, "machine": series.machine}


def as_rows(series: Series) -> list[dict[str, Any]]:
    """Return a row for each commit of a series, as `--csv` prints it: where the level changed, over the one before."""
    changed = {change.after.sha: change for change in series.changes}
    spikes = {point.sha for point in series.spikes}
    rows = []
    for point in series.points:
        change = changed.get(point.sha)
        row = _about(series) | {"commit": point.sha, "when": str(point.when), "value": point.value}
        row |= {"rounds": point.rounds, "left_out": point.sha in spikes, "change": change and change.ratio.value}
        row |= {"change_low": change and change.ratio.low, "change_high": change and change.ratio.high}
        row |= {"p": change and change.p, "worse": change and change.worse}
        rows.append(
            row
            | {
                "acknowledged": change and change.acknowledged,
                "mended": change and change.mended,
                "old": change and change.old,
            }
        )
    return rows


def as_json(series: Series, history: History) -> dict[str, Any]:
    """Return a series as `--json` prints it, with what moved it and all others of its machine alike."""
    return _about(series) | {
        "points": [
            {"sha": point.sha, "when": str(point.when), "value": point.value, "rounds": point.rounds}
            for point in series.points
        ],
        "spikes": [point.sha for point in series.spikes],
        "unsure": series.unsure,
        "confirm": series.confirm,
        "flips": series.flips,
        "noise": series.noise,
        "detectable": series.detectable,
        "changes": [_change_as_json(change) | {"confirm": change.confirm(series.case)} for change in series.changes],
        "moved_with_all": [
            _change_as_json(move.change) | {"series": move.series}
            for move in history.movements
            if move.machine == series.machine and series.metric in move.metrics
        ],
        "unsure_with_all": [
            newest_sentence(one)
            for one in history.newest
            if one.machine == series.machine and series.metric in one.metrics
        ],
    }


def _change_as_json(change: Change) -> dict[str, Any]:
    return {
        "before": change.before.sha, "after": change.after.sha, "ratio": change.ratio.value,
        "low": change.ratio.low, "high": change.ratio.high, "p": change.p, "worse": change.worse,
        "software": change.software, "earliest": change.earliest.sha, "latest": change.latest.sha,
        "old": change.old, "acknowledged": change.acknowledged, "mended": change.mended,
    }  # fmt: skip
