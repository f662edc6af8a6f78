"""The change points of a case over commits: where its level changed, and with what confidence.

Permutation tests give the number of change points: how often is the best split of the shuffled points, anywhere, as
good as that of the points in order? The test pays for every split that it tries, whatever the distribution of the
noise. After a significant split both halves are tested again (the hierarchical scheme of Matteson and James, 2014, with
sums of squares in place of energy distances). Their places are those of the best segmentation with that number of
change points, by ruptures' dynamic programming. The chance that a report calls any series without a change changed is
at most FAMILY_ALPHA.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil, comb, exp, expm1, log, log1p
from pathlib import Path
from statistics import median
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
from bench.verdicts.metrics import METRICS, Metric
from bench.verdicts.rule import estimate
from bench.verdicts.stores import results_folders

if TYPE_CHECKING:
    from pandas import DataFrame

FAMILY_ALPHA = 0.05  # the family-wise error rate over all series of a report
MIN_SEGMENT = 3  # points on either side of a change: fewer may be a passing disturbance, and are reported as such
SPIKE_SIGMAS = 5.0  # standard deviations that a single point must stand out on the same side of both neighbours
MAX_PERMUTATIONS = 20_000  # few series need fewer
# columns of the frame: each combination of their values is a machine, with a series for itself
MACHINE = tuple(row.column for row in SERIES if row.column)
# a difference in one of these columns between two points may be the reason of a change
SOFTWARE = tuple(row.column for row in FIELDS if row.kind in (Kind.SOFTWARE, Kind.EXTRAS) and row.column)
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
    rows = frame.assign(value=sum(frame[column].astype("float64") for column in metric.columns) / metric.scale)
    rows = rows[rows["value"] > 0].assign(choices=frame["choices"].astype("object").fillna(""))
    if name == "host":  # a forked process has its server's pages, too
        rows["choices"] += np.where(rows["process"] == "forked", " forked", "")
    several = {str(case) for case, ways in rows.groupby("case")["choices"] if ways.nunique() > 1}
    series, key = [], ["case", "choices", *MACHINE]
    for (case, _, *machine), group in rows.groupby(key, observed=True, dropna=False, sort=False):
        points = [_point(str(sha), commit) for sha, commit in group.groupby("git_sha", observed=True, sort=False)]
        points.sort(key=lambda point: (order.get(point.sha, len(order)), point.when))
        values = dict(zip(MACHINE, machine, strict=True))
        name_of_machine = hardware(str(values["device"]), values["gpu"], values["cpu"], values["cores"])
        choices = (points[-1].choices or "as usual") if case in several else ""
        series.append(Series(str(case), name, name_of_machine, points, choices=choices))
    return series


def _point(sha: str, rows: DataFrame) -> Point:
    last = rows.iloc[-1]
    software = {name: str(last[name]) for name in SOFTWARE if isinstance(last[name], str)}
    plan, seed = str(last["plan"]), int(rows["seed"].fillna(0).iloc[-1])
    source, weights = (last[name] if isinstance(last[name], str) else "" for name in ("input", "weights_from"))
    when, value, choices = rows["started"].min(), median(rows["value"]), str(last["choices"])
    return Point(sha, when, value, len(rows), plan, seed, source, weights, software, choices)


def find_changes(series: Series, family: int = 1) -> None:
    """Fill in the spikes and changes of a series, one of a family of `family` series."""
    metric = METRICS[series.metric]
    logs, minimum = np.log(np.array(series.values)), log1p(metric.minimum)
    spikes = _spikes(logs)
    series.spikes = [series.points[i] for i in np.flatnonzero(spikes)]
    points = [series.points[i] for i in np.flatnonzero(~spikes)]
    x = logs[~spikes]
    series.unsure, newest = _unsure(x, minimum)
    x = x[: len(x) - newest]
    draw = np.random.default_rng(zlib.crc32(f"{series.name} {series.metric} {series.machine}".encode()))
    alpha = FAMILY_ALPHA / max(family, 1)
    change_points = _change_points(x, _count_changes(x, alpha, draw))
    edges = [0, *change_points, len(x)]
    for first, split, last in zip(edges, change_points, edges[2:], strict=False):
        ratio = _level_ratio(x[first:split], x[split:last])
        if abs(log(ratio.value)) <= minimum:
            continue
        p = _permutation_p(x[first:last], alpha, draw, split - first)
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


def _noise(x: NDArray[np.float64]) -> float:
    """Estimate the standard deviation from the differences of neighbours, which a few changes of level hardly affect.

    It is the median absolute difference, times 1.4826 for the normal distribution.
    """
    return float(1.4826 * np.median(np.abs(np.diff(x))) / 2**0.5) if len(x) > 2 else 0.0


def _spikes(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark single points far from both neighbours, on the same side, where the neighbours agree."""
    spikes = np.zeros(len(x), dtype=bool)
    sigma = _noise(x)
    if len(x) < 5 or not sigma:
        return spikes
    left, right = x[1:-1] - x[:-2], x[1:-1] - x[2:]
    far = np.minimum(np.abs(left), np.abs(right)) > SPIKE_SIGMAS * sigma
    agree = np.abs(x[2:] - x[:-2]) < np.minimum(np.abs(left), np.abs(right)) / 2
    spikes[1:-1] = far & agree & (np.sign(left) == np.sign(right))
    return spikes


def _count_changes(x: NDArray[np.float64], alpha: float, draw: np.random.Generator) -> int:
    """Count the change points: the best split of the whole, if it is significant, and those of both parts."""
    if len(x) < 2 * MIN_SEGMENT or not np.ptp(x) or _permutation_p(x, alpha, draw) > alpha:
        return 0
    split = MIN_SEGMENT + int(_between_groups(x[None, :]).argmax())
    return 1 + _count_changes(x[:split], alpha, draw) + _count_changes(x[split:], alpha, draw)


def _change_points(x: NDArray[np.float64], count: int) -> list[int]:
    """Return the `count` change points with the least sum of squares; fewer where segments would be too short."""
    if not count:
        return []
    import ruptures

    # a linear kernel is the sum of squares, in C: a thousand points take 10 ms, where Dynp takes seconds for 300
    search = ruptures.KernelCPD(kernel="linear", min_size=MIN_SEGMENT, jump=1).fit(x[:, None])
    return [int(split) for split in search.predict(n_bkps=min(count, len(x) // MIN_SEGMENT - 1))[:-1]]


def _permutation_p(x: NDArray[np.float64], alpha: float, draw: np.random.Generator, split: int | None = None) -> float:
    """Return the p-value of the best split of `x`, or of the one at `split`, against the best of shuffled points.

    Points are shuffled 500 times at once, because most series are settled by the first 500.
    """
    statistics = _between_groups(x[None, :])[0]
    statistic = statistics.max() if split is None else statistics[split - MIN_SEGMENT]
    permutations = int(min(MAX_PERMUTATIONS, ceil(20 / alpha)))
    drawn, exceeding = 0, 0
    while drawn < permutations:
        count = min(500, permutations - drawn)
        shuffled = draw.permuted(np.broadcast_to(x, (count, len(x))), axis=1)
        exceeding += int((_between_groups(shuffled).max(1) >= statistic * (1 - 1e-12)).sum())
        drawn += count
        if exceeding > 5 and exceeding / drawn > 4 * alpha:
            break
    return (exceeding + 1) / (drawn + 1)


def _between_groups(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the between-group sum of squares of each split with MIN_SEGMENT points on either side, [rows, splits]."""
    n = x.shape[1]
    centred = x - x.mean(1, keepdims=True)
    sums = centred.cumsum(1)[:, MIN_SEGMENT - 1 : n - MIN_SEGMENT]
    left = np.arange(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    return sums**2 * n / (left * (n - left))


def _level_ratio(before: NDArray[np.float64], after: NDArray[np.float64]) -> Ratio:
    """Return the ratio of the levels, given as logarithms, with Welch's 95 % confidence interval."""
    estimates = estimate(before, after, paired=False, moderate=False)
    effect, half_width = float(estimates.effect), float(estimates.half_width(0.05))
    return Ratio(exp(effect), exp(effect - half_width), exp(effect + half_width), len(before) + len(after))


def _unsure(x: NDArray[np.float64], minimum: float) -> tuple[str, int]:
    """Return a sentence on newest points that left the level and are too few for a change, and their number."""
    limit = max(SPIKE_SIGMAS * _noise(x), minimum)
    for count in range(1, MIN_SEGMENT):
        if len(x) < MIN_SEGMENT + count + 1:
            break
        level = float(np.median(x[-count - MIN_SEGMENT : -count]))
        deviations = x[-count:] - level
        steady = np.abs(x[-count - MIN_SEGMENT : -count] - level).max() <= limit
        if steady and np.abs(deviations).min() > limit and abs(np.sign(deviations).sum()) == count:
            which = "the newest point is" if count == 1 else f"the newest {count} points are"
            percent = 100 * expm1(float(deviations.mean()))
            return f"{which} {percent:+.0f} % off the level before: too few to tell", count
    return "", 0


def sparkline(values: list[float], width: int = 40) -> str:
    """Return a bar for each of the newest `width` values, from the least to the greatest."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    if high <= low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
