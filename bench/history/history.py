"""The changes of cases over commits: where a series' level changed, between which commits, and how sure that is.

The chance that a report calls any series without a change changed is meant to be at most FAMILY_ALPHA; how often it is
under each kind of noise, and where it is more, is in docs/METHODOLOGY.md. What moved all series of a machine alike is
one `Movement`, and is taken off them first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, expm1, log1p

import numpy as np
from scipy.special import stdtrit

from bench.history.common import common_movement, moved_alike
from bench.history.judge import FAMILY_ALPHA, NEWS_FOLLOWING, Row, Step, judge
from bench.history.noise import MANY_ALIKE
from bench.history.segments import FLIPS, MIN_SEGMENT, Array
from bench.history.series import Change, Point, Series, command_between, software_between
from bench.stats import Ratio
from bench.verdicts.metrics import METRICS, Metric

__all__ = ["FAMILY_ALPHA", "Change", "History", "Movement", "Point", "Series", "judge_history"]

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Movement:
    """A change that all series of some metrics on a machine have in common, `series` of them."""

    machine: str
    metrics: tuple[str, ...]
    series: int
    change: Change


@dataclass(frozen=True)
class Newest:
    """Newest commits, too few for a change, at which all series of some metrics on a machine left their level alike."""

    machine: str
    metrics: tuple[str, ...]
    series: int
    far: float  # how far, relative to the level; more is worse
    commits: int


@dataclass
class History:
    """The series of a report, judged as one family, and what moved them all."""

    series: list[Series]
    movements: list[Movement] = field(default_factory=list)
    newest: list[Newest] = field(default_factory=list)

    @property
    def changes(self) -> list[tuple[Series | Movement, Change]]:
        """Every change, the common ones first."""
        common: list[tuple[Series | Movement, Change]] = [(one, one.change) for one in self.movements]
        return common + [(series, change) for series in self.series for change in series.changes]


def judge_history(every: list[Series], order: Mapping[str, int] | None = None) -> History:
    """Return some series, one family, with their changes, spikes and noise filled in; `order` as in `read_series`."""
    history = History(every)
    kinds: dict[str, int] = {}
    rows = [
        Row(_logs(series), log1p(METRICS[series.metric].minimum), kinds.setdefault(series.metric, len(kinds)))
        for series in every
    ]
    groups = defaultdict(list)
    for place, series in enumerate(every):
        groups[series.machine, _speed(series.metric)].append(place)
    for (machine, _), places in groups.items():
        if len(places) >= MANY_ALIKE:
            metrics = tuple(dict.fromkeys(every[place].metric for place in places))
            alike = [(rows[place], every[place]) for place in places]
            some, newest = _take_off(alike, order or {}, len(every))
            history.movements += [Movement(machine, metrics, count, change) for count, change in some]
            history.newest += [Newest(machine, metrics, count, *unsure) for count, unsure in newest]
    judge(rows)
    for series, row in zip(every, rows, strict=True):
        _fill(series, row)
    return history


def _speed(metric: str) -> str:
    """Return a word that metrics have in common which a slower machine moves alike."""
    return "speed" if METRICS[metric].timed and METRICS[metric].unit != "J" else metric


def _logs(series: Series) -> Array:
    """Return the logarithms of a series' values, more being worse."""
    return METRICS[series.metric].sign * np.log(np.array(series.values))


def _take_off(
    pairs: Sequence[tuple[Row, Series]], order: Mapping[str, int], family: int
) -> tuple[list[tuple[int, Change]], list[tuple[int, tuple[float, int]]]]:
    """Take the common movement off some rows; return its changes, each with the number of series that have it.

    And how far its newest commits, too few for a change, are off the level before, and how many these are.
    """
    rows, some = zip(*pairs, strict=True)
    first_seen: dict[str, Point] = {}
    for series in some:
        for point in series.points:
            if point.sha not in first_seen or point.when < first_seen[point.sha].when:
                first_seen[point.sha] = point
    commits = sorted(first_seen.values(), key=lambda point: (order.get(point.sha, len(order)), point.when))
    place_of = {point.sha: place for place, point in enumerate(commits)}
    places = [np.array([place_of[point.sha] for point in series.points], dtype=np.int64) for series in some]
    x = np.full((len(rows), len(commits)), np.nan)
    for index, row in enumerate(rows):
        x[index, places[index]] = row.x
    common = common_movement(x)
    if not common.any():
        return [], []
    alike, steps, judged, newest = split_movement(x, common, family)
    for index, row in enumerate(rows):
        row.x = row.x - alike[places[index]]
    minimum = max(row.minimum for row in rows)
    points = [commits[place] for place in judged]
    changes = [(count, _change(step, points, 1, True)) for count, step in steps if abs(step.size) > minimum]
    return changes, [one for one in newest if abs(log1p(one[1][0])) > minimum]


def split_movement(
    x: Array, common: Array, family: int
) -> tuple[Array, list[tuple[int, Step]], list[int], list[tuple[int, tuple[float, int]]]]:
    """Return what of a common movement is of all series: the movement, its steps, and the commits they are counted in.

    Steps that many series do not have are taken out of it, for they are changes of the others. Of each step that is
    left there is the number of series that have points on both sides. Newest commits that are too few for a step are
    returned beside it, where all left the level alike: the number of series, how far they are, and of how many commits.
    """
    row = Row(common, 0.0)
    judge([row], family + 1)
    judged = row.left.tolist()
    alike, steps = common.copy(), []
    for step in row.steps:
        stretch = judged[step.first], judged[step.split], judged[step.end - 1] + 1
        moved = moved_alike(x, stretch, step.size)
        if moved is None:
            alike[judged[step.split] :] -= step.size
        else:
            steps.append((int(moved.sum()), step))
    far, count = row.unsure
    if not count:
        return alike, steps, judged, []
    start = judged[row.steps[-1].split if row.steps else 0]
    moved = moved_alike(x, (start, judged[-1] + 1, x.shape[1]), log1p(far))
    if moved is None:
        alike[judged[-1] + 1 :] -= log1p(far)
        return alike, steps, judged, []
    return alike, steps, judged, [(int(moved.sum()), row.unsure)]


def _fill(series: Series, row: Row) -> None:
    metric = METRICS[series.metric]
    series.spikes = [series.points[place] for place in row.spikes]
    points = [series.points[place] for place in row.left]
    series.changes = [_change(step, points, metric.sign, metric.lower) for step in row.steps]
    series.unsure = _unsure(row, metric)
    series.confirm = command_between(points[-1], series.points[-1], series.case) if series.unsure else ""
    series.noise = row.spread
    series.flips = 0 if row.steps else row.flips if row.flips >= FLIPS else 0
    series.detectable = None if row.least is None else expm1(row.least)


def _unsure(row: Row, metric: Metric) -> str:
    """Return a sentence on newest points that are too few for a change."""
    far, count = row.unsure
    return off_level(expm1(metric.sign * log1p(far)), count) if count else ""


def off_level(far: float, count: int) -> str:
    """Return a sentence on newest points that are too few for a change, `far` off the level before, relative to it."""
    which = "the newest point is" if count == 1 else f"the newest {count} points are"
    return f"{which} {100 * far:+.0f} % off the level before: too few to tell"


def _change(step: Step, points: Sequence[Point], sign: int, lower: bool) -> Change:
    before, after = points[step.split - 1], points[step.split]
    half_width = float(stdtrit(step.degrees, 0.975)) * step.error
    size = sign * step.size
    count = step.end - step.first
    ratio = Ratio(exp(size), exp(size - half_width), exp(size + half_width), count)
    software = software_between(before, after)
    worse = (size > 0) == lower
    return Change(before, after, ratio, step.p, worse, software, points[step.low - 1], points[step.high])


def fewest_commits() -> int:
    """Return the commits that a series must have for any change in it to show."""
    return 2 * MIN_SEGMENT


def following(points: int) -> int:
    """Return how many commits after a change `Series.detectable` is for, in a series of so many."""
    return min(NEWS_FOLLOWING, points // 2)


def sparkline(values: list[float], width: int = 40) -> str:
    """Return a bar for each of the newest `width` values, from the least to the greatest."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    if high <= low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
