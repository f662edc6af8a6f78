"""The change points of a case over commits: where its level changed, and with what confidence.

The chance that a report calls any series without a change changed is at most FAMILY_ALPHA.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import comb, exp, log, log1p
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UNDECIDED, StoreError
from bench.machine.environment import hardware
from bench.records.again import command_at_commits
from bench.records.frame import Damage, load
from bench.records.same import FIELDS, SERIES, Kind
from bench.stats import Ratio
from bench.text import plural
from bench.verdicts.metrics import METRICS, PROCESS, Metric
from bench.verdicts.rule import estimate
from bench.verdicts.segments import MIN_SEGMENT, best_splits, count_changes, permutation_p, spikes_of, unsure_newest
from bench.verdicts.stores import results_folders

if TYPE_CHECKING:
    from pandas import DataFrame

FAMILY_ALPHA = 0.05  # the family-wise error rate over all series of a report
# columns of the frame: each combination of their values is a machine, with a series for itself
MACHINE = tuple(row.column for row in SERIES if row.column)
# a difference in one of these columns between two points may be the reason of a change
SOFTWARE = tuple(row.column for row in FIELDS if row.kind in (Kind.SOFTWARE, Kind.EXTRAS) and row.column)
# of the frame, too: what a point has of the last row of its commit
OF_POINT = ("case", "git_sha", "started", "plan", "input", "weights_from")
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Point:
    """A commit, with the median of its rounds in the metric's unit."""

    sha: str
    when: Any  # of its first round
    value: float
    rounds: int
    plan: str
    seed: int
    source: str  # of the pictures
    weights: str  # where they come from
    software: dict[str, str]
    choices: str = ""  # as the frame's column has them


@dataclass(frozen=True)
class Change:
    """A change of a series' level between two neighbouring points."""

    before: Point
    after: Point
    ratio: Ratio  # the level after over that before; rounds: the points of both
    p: float  # of a permutation test over all splits of the segments beside it, corrected for the number of series
    worse: bool
    software: dict[str, tuple[str, str]]  # name -> versions before and after, of what changed with it

    def confirm(self, case: str) -> str:
        """Return the command that measures the two commits again, in turns."""
        last = self.after
        commits = self.before.sha[:12], last.sha[:12]
        return command_at_commits(*commits, case, self.before.plan, last.seed, last.source, last.weights, last.choices)


@dataclass
class Series:
    """One metric of one case on one machine, in the order of the commits."""

    case: str
    metric: str
    machine: str
    points: list[Point]
    changes: list[Change] = field(default_factory=list)
    spikes: list[Point] = field(default_factory=list)
    choices: str = ""  # that tell it from another of its case
    unsure: str = ""  # of newest points that differ from the level before, and are too few for a change

    @property
    def name(self) -> str:
        return self.case + (f" ({self.choices})" if self.choices else "")

    @property
    def values(self) -> list[float]:
        return [point.value for point in self.points]


def read_history(
    stores: Iterable[Path], metrics: Iterable[str], order: Mapping[str, int] | None = None, shallow: bool = False
) -> list[Series]:
    """Return the series of every case in some stores, with their changes.

    `order` is the place of each commit by its full name. Where it has none of the stores' commits, they are in the
    order in which they were first measured; where it has some, the others are left out, with a warning `Damage`, as
    their place is not known. Rows measured with uncommitted changes are left out. Raises StoreError where any is
    missing as the clone is `shallow`: those are in the history, and their times may be in another order.
    """
    frame = load(*results_folders(stores))
    frame = frame[(frame["status"] == "ok") & frame["git_sha"].notna() & ~frame["git_dirty"].fillna(False)]
    unknown = set(map(str, frame["git_sha"].unique())) - (order or {}).keys()
    if unknown and shallow and frame["git_sha"].nunique() > 1:
        raise StoreError(
            f"the order of {len(unknown)} of these commits is not known, as this clone is shallow: "
            "`git fetch --unshallow` brings it (fetch-depth: 0 in a workflow)",
            UNDECIDED,
        )
    if order and unknown and len(unknown) < frame["git_sha"].nunique():
        some = f"{min(unknown)[:10]}{' and others' if len(unknown) > 1 else ''}"
        what = f"{len(unknown)} {plural(len(unknown), 'commit')} that this checkout lacks ({some})"
        warnings.warn(f"left out: {what}: `git fetch` may bring their place in the history", Damage, stacklevel=2)
        frame = frame[~frame["git_sha"].isin(unknown)]
    history = [series for name in metrics for series in _series(frame, name, METRICS[name], order or {})]
    for series in history:
        find_changes(series, len(history))
    return history


def _series(frame: DataFrame, name: str, metric: Metric, order: Mapping[str, int]) -> list[Series]:
    value = sum(frame[column].astype("float64") for column in metric.columns) / metric.scale
    way = choices = frame["choices"].astype("object").fillna("")
    if metric.alike == PROCESS:
        way = choices.mask(frame["process"] == "forked", (choices + ", forked").str.removeprefix(", "))
    seed = frame["seed"].fillna(0)
    rows = frame[[*OF_POINT, *MACHINE, *SOFTWARE]].assign(value=value, choices=choices, way=way, seed=seed)
    rows = rows[rows["value"] > 0]
    ways = rows[["case", "way"]].drop_duplicates()
    several = set(ways["case"][ways["case"].duplicated()])
    keys = rows.groupby(["case", "way", *MACHINE], observed=True, dropna=False, sort=False)
    rows = rows.assign(series=keys.ngroup())
    commits = rows.groupby(["series", "git_sha"], observed=True, sort=False)
    over_rounds = {"value": commits["value"].transform("median"), "started": commits["started"].transform("min")}
    rows = rows.assign(commit=commits.ngroup(), rounds=commits["value"].transform("size"), **over_rounds)
    series: dict[int, Series] = {}
    versions: dict[tuple[Any, ...], dict[str, str]] = {}
    points: Iterable[Any] = rows.drop_duplicates("commit", keep="last").sort_values("commit").itertuples(index=False)
    for row in points:
        if row.series not in series:
            machine = hardware(str(row.device), row.gpu, row.cpu, row.cores)
            words = (row.way or "as usual") if row.case in several else ""
            series[row.series] = Series(str(row.case), name, machine, [], choices=words)
        series[row.series].points.append(_point(row, versions))
    for one in series.values():
        one.points.sort(key=lambda point: (order.get(point.sha, len(order)), point.when))
    return list(series.values())


def _point(row: Any, versions: dict[tuple[Any, ...], dict[str, str]]) -> Point:
    """Return the point of the last row of a commit; `versions` has the one dict of all points of equal software."""
    words = tuple(getattr(row, name) for name in SOFTWARE)
    if words not in versions:
        versions[words] = {name: word for name, word in zip(SOFTWARE, words, strict=True) if isinstance(word, str)}
    source, weights = (word if isinstance(word, str) else "" for word in (row.input, row.weights_from))
    of_rounds = row.started, row.value, row.rounds
    return Point(
        str(row.git_sha), *of_rounds, str(row.plan), int(row.seed), source, weights, versions[words], row.choices
    )


def find_changes(series: Series, family: int = 1) -> None:
    """Fill in the spikes and changes of a series, one of a family of `family` series."""
    metric = METRICS[series.metric]
    logs, minimum = np.log(np.array(series.values)), log1p(metric.minimum)
    spikes = spikes_of(logs)
    series.spikes = [series.points[i] for i in np.flatnonzero(spikes)]
    points = [series.points[i] for i in np.flatnonzero(~spikes)]
    x = logs[~spikes]
    series.unsure, newest = unsure_newest(x, minimum)
    x = x[: len(x) - newest]
    draw = np.random.default_rng(zlib.crc32(f"{series.name} {series.metric} {series.machine}".encode()))
    alpha = FAMILY_ALPHA / max(family, 1)
    change_points = best_splits(x, count_changes(x, alpha, draw))
    edges = [0, *change_points, len(x)]
    for first, split, last in zip(edges, change_points, edges[2:], strict=False):
        ratio = _level_ratio(x[first:split], x[split:last])
        if abs(log(ratio.value)) <= minimum:
            continue
        p = permutation_p(x[first:last], alpha, draw, split - first)
        before, after = points[split - 1], points[split]
        versions = {name: (before.software.get(name, new), new) for name, new in after.software.items()}
        software = {name: (old, new) for name, (old, new) in versions.items() if old != new}
        worse = (ratio.value > 1) == metric.lower
        series.changes.append(Change(before, after, ratio, min(1.0, p * family), worse, software))


def least_points(family: int = 1) -> int:
    """Return the points that a series, of a family of `family`, must have for any change to be significant.

    That is one in the middle, which no shuffled order of the points equals but those that leave its halves whole.
    """
    count = 2 * MIN_SEGMENT
    while 2 / comb(count, count // 2) > FAMILY_ALPHA / max(family, 1):
        count += 1
    return count


def _level_ratio(before: NDArray[np.float64], after: NDArray[np.float64]) -> Ratio:
    """Return the ratio of the levels, given as logarithms, with Welch's 95 % confidence interval."""
    estimates = estimate(before, after, paired=False, moderate=False)
    effect, half_width = float(estimates.effect), float(estimates.half_width(0.05))
    return Ratio(exp(effect), exp(effect - half_width), exp(effect + half_width), len(before) + len(after))


def sparkline(values: list[float], width: int = 40) -> str:
    """Return a bar for each of the newest `width` values, from the least to the greatest."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    if high <= low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
