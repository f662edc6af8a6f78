"""A case over commits: where its level changed, and how sure that is.

How many changes there are is asked of permutation tests: among shuffles of the same points, how often is the best split
anywhere as good? That counts every place at which one could have looked, whatever the shape of the noise; where there
is one, both halves are asked again (the hierarchical scheme of Matteson and James, 2014, with sums of squares in place
of energy distances). Where they are is then the best segmentation with so many, by ruptures' dynamic programming. Of
series without a change, a report calls any one changed with a chance of at most FAMILY.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, exp, expm1, log, log1p
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import StoreError
from bench.machine.environment import hardware
from bench.records.frame import load
from bench.records.same import FIELDS, SERIES, Kind
from bench.records.store import FILE
from bench.stats import Ratio
from bench.verdicts.metrics import METRICS, Metric

if TYPE_CHECKING:
    from pandas import DataFrame

FAMILY = 0.05
LEAST = 3  # points on either side: fewer may be a moment's trouble, and are told as such
SPIKE = 5.0  # standard deviations that a single point must stand out on the same side of both neighbours
SHUFFLES = 20_000  # at most; of few series fewer do
# columns of the frame: another of these is another machine, a series of its own
MACHINE = tuple(row.column for row in SERIES if row.column)
# and another of these between two points may be the reason of a change
SOFTWARE = tuple(row.column for row in FIELDS if row.kind is Kind.SOFTWARE and row.column)
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Point:
    """A commit: the median over its rounds of what each left, in the metric's unit."""

    sha: str
    when: Any  # of its first round
    value: float
    rounds: int
    plan: str
    software: dict[str, str]


@dataclass(frozen=True)
class Change:
    """The level of a series changed between two neighbouring points."""

    before: Point
    after: Point
    ratio: Ratio  # the level after over that before; rounds: the points of both
    p: float  # of a permutation test over all places of the stretch, corrected for the number of series
    worse: bool
    software: dict[str, tuple[str, str]]  # what else was another there

    @property
    def confidence(self) -> float:
        return 1 - self.p

    def confirm(self, case: str) -> str:
        """The command that asks the two commits again, in one sitting."""
        return f"bench ab {self.before.sha[:12]} {self.after.sha[:12]} {self.before.plan} -f {case}"


@dataclass
class Series:
    """One metric of one case on one machine, in the order of the commits."""

    case: str
    metric: str
    machine: str
    points: list[Point]
    changes: list[Change] = field(default_factory=list)
    spikes: list[Point] = field(default_factory=list)
    unsure: str = ""  # the newest points stand apart, and are too few to be called a change

    @property
    def values(self) -> list[float]:
        return [point.value for point in self.points]


def folders(places: Iterable[Path]) -> list[Path]:
    """Every results folder in some places, themselves included. Raises StoreError for a place without any."""
    found: dict[Path, None] = {}
    for place in places:
        inside = sorted(path.parent for path in place.rglob(FILE)) if place.is_dir() else []
        if not inside:
            raise StoreError(f"{place} holds no {FILE}, and no folder that does: is it a store of results?")
        found |= dict.fromkeys(inside)
    return list(found)


def history(places: Iterable[Path], metrics: Iterable[str], order: dict[str, int] | None = None) -> list[Series]:
    """The series of every case in some places, with their changes. `order`: place of a commit by its full name.

    Commits that it does not have, or all without it, are ordered by when they were first measured. What was measured
    with changes that no commit has is left out.
    """
    frame = load(*folders(places))
    frame = frame[(frame["status"] == "ok") & frame["git_sha"].notna() & ~frame["git_dirty"].fillna(False)]
    found = [series for name in metrics for series in _series(frame, name, METRICS[name], order or {})]
    for series in found:
        judge(series, len(found))
    return found


def _series(frame: DataFrame, name: str, metric: Metric, order: dict[str, int]) -> list[Series]:
    rows = frame.assign(value=sum(frame[column].astype("float64") for column in metric.columns) / metric.scale)
    rows = rows[rows["value"] > 0]
    found = []
    for (case, *machine), own in rows.groupby(["case", *MACHINE], observed=True, dropna=False, sort=False):
        points = [_point(str(sha), part) for sha, part in own.groupby("git_sha", observed=True, sort=False)]
        points.sort(key=lambda point: (order.get(point.sha, len(order)), point.when))
        values = dict(zip(MACHINE, machine, strict=True))
        where = hardware(str(values["device"]), values["gpu"], values["cpu"], values["cores"])
        found.append(Series(str(case), name, where, points))
    return found


def _point(sha: str, rows: DataFrame) -> Point:
    last = rows.iloc[-1]
    software = {name: str(last[name]) for name in SOFTWARE if isinstance(last[name], str)}
    plan = str(last["plan"])
    return Point(sha, rows["started"].min(), median(rows["value"]), len(rows), plan, software)


def judge(series: Series, among: int = 1) -> None:
    """Fill in the spikes and changes of a series that is one of so many."""
    metric = METRICS[series.metric]
    logs, minimum = np.log(np.array(series.values)), log1p(metric.minimum)
    apart = _spikes(logs)
    series.spikes = [series.points[i] for i in np.flatnonzero(apart)]
    points = [series.points[i] for i in np.flatnonzero(~apart)]
    x = logs[~apart]
    series.unsure, newest = _unsure(x, minimum)
    x = x[: len(x) - newest]
    draw = np.random.default_rng(zlib.crc32(f"{series.case} {series.metric} {series.machine}".encode()))
    alpha = FAMILY / max(among, 1)
    places = _placed(x, _count(x, alpha, draw))
    edges = [0, *places, len(x)]
    for first, place, last in zip(edges, places, edges[2:], strict=False):
        ratio = _shift(x[first:place], x[place:last])
        if abs(log(ratio.value)) <= minimum:
            continue
        p = _p(x[first:last], alpha, draw, place - first)
        before, after = points[place - 1], points[place]
        other = {
            name: (before.software[name], after.software[name])
            for name in before.software.keys() & after.software.keys()
            if before.software[name] != after.software[name]
        }
        worse = (ratio.value > 1) == metric.lower
        series.changes.append(Change(before, after, ratio, min(1.0, p * among), worse, other))


def _noise(x: NDArray[np.float64]) -> float:
    """Standard deviation from the differences of neighbours, which a few steps do not move. Source: median of
    absolute differences, 1.4826 for the normal distribution."""
    return float(1.4826 * np.median(np.abs(np.diff(x))) / 2**0.5) if len(x) > 2 else 0.0


def _spikes(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Single points far from both neighbours, on the same side, where the neighbours agree."""
    found = np.zeros(len(x), dtype=bool)
    sigma = _noise(x)
    if len(x) < 5 or not sigma:
        return found
    left, right = x[1:-1] - x[:-2], x[1:-1] - x[2:]
    far = np.minimum(np.abs(left), np.abs(right)) > SPIKE * sigma
    agree = np.abs(x[2:] - x[:-2]) < np.minimum(np.abs(left), np.abs(right)) / 2
    found[1:-1] = far & agree & (np.sign(left) == np.sign(right))
    return found


def _count(x: NDArray[np.float64], alpha: float, draw: np.random.Generator) -> int:
    """How many changes there are: the best split of the whole, if it is significant, and those of its halves."""
    if len(x) < 2 * LEAST or not np.ptp(x) or _p(x, alpha, draw) > alpha:
        return 0
    place = LEAST + int(_statistic(x[None, :]).argmax())
    return 1 + _count(x[:place], alpha, draw) + _count(x[place:], alpha, draw)


def _placed(x: NDArray[np.float64], count: int) -> list[int]:
    """The places of so many changes that leave the least sum of squares; fewer where they would stand too close."""
    if not count:
        return []
    import ruptures

    # a linear kernel is the sum of squares, in C: a thousand points take 10 ms, where Dynp takes seconds for 300
    found = ruptures.KernelCPD(kernel="linear", min_size=LEAST, jump=1).fit(x[:, None])
    return [int(place) for place in found.predict(n_bkps=min(count, len(x) // LEAST - 1))[:-1]]


def _p(x: NDArray[np.float64], alpha: float, draw: np.random.Generator, place: int | None = None) -> float:
    """How often the best split of shuffled points is as good as the best of these, or as that at `place`.

    In portions, as most series are settled by the first.
    """
    here = _statistic(x[None, :])[0]
    asked = here.max() if place is None else here[place - LEAST]
    most = int(min(SHUFFLES, ceil(20 / alpha)))
    seen, above = 0, 0
    while seen < most:
        count = min(500, most - seen)
        shuffled = draw.permuted(np.broadcast_to(x, (count, len(x))), axis=1)
        above += int((_statistic(shuffled).max(1) >= asked * (1 - 1e-12)).sum())
        seen += count
        if above > 5 and above / seen > 4 * alpha:
            break
    return (above + 1) / (seen + 1)


def _statistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between-group sum of squares of every split with LEAST points on either side, [rows, splits]."""
    n = x.shape[1]
    centred = x - x.mean(1, keepdims=True)
    sums = centred.cumsum(1)[:, LEAST - 1 : n - LEAST]
    left = np.arange(LEAST, n - LEAST + 1)
    return sums**2 * n / (left * (n - left))


def _shift(before: NDArray[np.float64], after: NDArray[np.float64]) -> Ratio:
    """Ratio of the levels with Welch's 95 % interval."""
    from scipy.special import stdtrit

    change = float(after.mean() - before.mean())
    parts = np.array([side.var(ddof=1) / len(side) for side in (before, after)])
    if not parts.sum():
        return Ratio(exp(change), exp(change), exp(change), len(before) + len(after))
    df = parts.sum() ** 2 / (parts**2 / [len(before) - 1, len(after) - 1]).sum()
    half = float(stdtrit(df, 0.975)) * float(parts.sum()) ** 0.5
    return Ratio(exp(change), exp(change - half), exp(change + half), len(before) + len(after))


def _unsure(x: NDArray[np.float64], minimum: float) -> tuple[str, int]:
    """What to say of newest points that stand apart and are too few for a change, and how many they are."""
    limit = max(SPIKE * _noise(x), minimum)
    for count in range(1, LEAST):
        if len(x) < LEAST + count + 1:
            break
        level = float(np.median(x[-count - LEAST : -count]))
        away = x[-count:] - level
        settled = np.abs(x[-count - LEAST : -count] - level).max() <= limit
        if settled and np.abs(away).min() > limit and abs(np.sign(away).sum()) == count:
            what = "the newest point is" if count == 1 else f"the newest {count} points are"
            return f"{what} {100 * expm1(float(away.mean())):+.0f} % off the level before: too few to tell", count
    return "", 0


def sparkline(values: list[float], width: int = 40) -> str:
    """Bars from the least to the greatest; of more values than `width` the newest."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    if high <= low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
