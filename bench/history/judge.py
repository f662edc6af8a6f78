"""Which changes of level of the rows of a history are sure, over all rows together.

The chance that any row without a change has one is at most FAMILY_ALPHA, over all rows of a call (`judge`);
NEWS_SHARE of it is for the newest commits, where a test for each split is affordable.
docs/METHODOLOGY.md has the rates as simulated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from bench.history.jumps import Jumps, Rows, jumps_of_rows
from bench.history.noise import Noise, Sample, noise_of_rows
from bench.history.segments import (
    MIN_SEGMENT,
    NEWS,
    Array,
    Places,
    Scan,
    count_flips,
    count_splits,
    error_of_mean,
    merge_pairs,
    narrowest,
    possible_places,
    scan,
    settle,
    slopes_better,
    spikes_of,
    unsure_newest,
)

FAMILY_ALPHA = 0.05  # the family-wise error rate over all rows
# A scan of neighbouring splits errs less often than independent tests of them: so many of the latter err as often, for
# each of the former, at the levels that matter here (simulated).
INDEPENDENT = 0.5
NEWS_SHARE = 2 / 3  # of the allowed errors
MERGED = 12.0  # variances that a second change must explain beside the first
NEWS_FOLLOWING = 5  # commits after a change, for the least that is detected
FINER, LARGEST = 1.05, 2.5  # times, of the sizes that are tried, up to a logarithm
NINE_OF_TEN = 1.6  # standard errors; 1.28 would do if noise were known, and the place of a change (simulated)


@dataclass(frozen=True)
class Step:
    """A change of level of a row: the point before which it is, its size as a logarithm, and what it rests on."""

    split: int
    low: int  # the first and the last split that fit nearly as well
    high: int
    first: int  # the stretches on either side: [first, split) and [split, end)
    end: int
    size: float
    error: float  # standard error of the size
    degrees: float
    p: float  # over all rows and splits
    sloped: bool  # a slope would fit nearly as well


@dataclass
class Row:
    """The logarithms of a series in the order of its commits, to be judged with others."""

    x: Array
    minimum: float  # the least change that matters, as a logarithm
    kind: int = 0  # rows of one kind have alike noise
    steps: list[Step] = field(default_factory=list)
    spikes: list[int] = field(default_factory=list)
    left: Places = field(default_factory=lambda: np.zeros(0, np.int64))  # places of the points that were judged
    unsure: tuple[float, int] = (0.0, 0)
    spread: float = 0.0
    least: float | None = None  # change, as a logarithm, that is detected in nine of ten; None of too few points
    flips: int = 0  # from one to the other of two levels


def judge(rows: Sequence[Row], family: int = 0) -> None:
    """Fill in the steps, the spikes and the noise of some rows, of a family of `family` rows, or of these alone."""
    by_length = defaultdict(list)
    for row in rows:
        spikes = spikes_of(row.x)
        row.spikes = [int(place) for place in np.flatnonzero(spikes)]
        kept = np.flatnonzero(~spikes)
        row.unsure = unsure_newest(row.x[kept], row.minimum)
        row.left = kept[: len(kept) - row.unsure[1]]
        if len(row.left) >= 2 * MIN_SEGMENT:
            by_length[len(row.left)].append(row)
    groups = list(by_length.values())
    stacked = [np.stack([row.x[row.left] for row in group]) for group in groups]
    samples = [
        Sample(x, np.array([row.kind for row in group]), [_off_neighbours(row) for row in group])
        for x, group in zip(stacked, groups, strict=True)
    ]
    places = [np.stack([row.left for row in group]) for group in groups]
    jumps = jumps_of_rows([Rows(one.x, one.kind, left) for one, left in zip(samples, places, strict=True)])
    noises = noise_of_rows(samples) if samples else []
    for group, sample, noise, jump in zip(groups, samples, noises, jumps, strict=True):
        _judge_alike(group, sample.x, noise, jump, family or len(rows))


def _off_neighbours(row: Row) -> Array:
    """Return how far the spikes of a row are off the mean of their neighbours."""
    places = np.array(row.spikes, dtype=np.int64)
    return row.x[places] - (row.x[places - 1] + row.x[places + 1]) / 2


@dataclass(frozen=True)
class _Tests:
    """How many independent tests the splits of rows of one length stand for, over the family."""

    points: int
    family: int

    def count(self, split: int) -> float:
        older, news = count_splits(self.points)
        tests, share = (news, NEWS_SHARE) if self.points - split <= NEWS else (older, 1 - NEWS_SHARE)
        return self.family * max(1.0, INDEPENDENT * tests) / share


def _judge_alike(group: Sequence[Row], x: Array, noise: Noise, jumps: Jumps, family: int) -> None:
    tests = _Tests(x.shape[1], family)
    least, least_news = (noise.least(FAMILY_ALPHA / tests.count(split)) for split in (0, x.shape[1]))
    scanned = scan(x, noise.errors(), least, least_news)
    jumping = jumps.p.min(1) <= FAMILY_ALPHA / tests.count(x.shape[1])
    for place, row in enumerate(group):
        row.spread, row.flips = float(noise.spread[place]), count_flips(x[place])
        row.least = _least_change(row.minimum, noise, jumps, place, tests)
        if jumping[place] or (scanned.score.shape[1] and scanned.score[place].max() >= 1):
            row.steps = _steps(x[place], row.minimum, scanned, noise, jumps.p[place], place, tests)


def _least_change(minimum: float, noise: Noise, jumps: Jumps, place: int, tests: _Tests) -> float | None:
    """Return the least change, as a logarithm, that is detected in nine of ten when NEWS_FOLLOWING commits follow it.

    It is None where the points are too few for any.
    """
    after = min(NEWS_FOLLOWING, tests.points // 2)
    if after < MIN_SEGMENT:
        return None
    alpha, counts = FAMILY_ALPHA / tests.count(tests.points - after), (tests.points - after, after)
    shares = error_of_mean(np.array(counts, dtype=np.float64), noise.phi[place]) ** 2
    error = float(noise.spread[place] * np.sqrt(shares.sum()))
    size = max(float(-stdtrit(noise.degrees[place], alpha / 2)) * error, minimum)
    jump = max(jumps.least(place, alpha), minimum)
    # Student's p is the least that it may be
    while size < min(jump, LARGEST) and noise.p_of_means(place, counts, (0.0, size)) > alpha:
        size *= FINER
    return min(size + NINE_OF_TEN * error, jump, LARGEST)


def _steps(
    x: Array, minimum: float, scanned: Scan, noise: Noise, jumps: Array, place: int, tests: _Tests
) -> list[Step]:
    splits = _jumping(jumps, tests)
    for first, split, end in narrowest(scanned, place):
        if any(first < other < end for other in splits):
            continue
        if noise.p_value(place, x[first:split], x[split:end]) * tests.count(split) <= FAMILY_ALPHA:
            splits.append(split)
    while splits:
        splits = settle(x, merge_pairs(x, settle(x, splits), MERGED * float(noise.spread[place]) ** 2))
        edges = [0, *splits, len(x)]
        stretches = zip(edges, splits, edges[2:], strict=False)
        steps = [_step(x, stretch, noise, jumps, place, tests) for stretch in stretches]
        doubts = [_doubt(step, minimum) for step in steps]
        if not any(doubts):
            return steps
        if splits:
            splits.pop(int(np.argmax(doubts)))
    return []


def _doubt(step: Step, minimum: float) -> float:
    """Return how much speaks against a step, 0 for nothing."""
    if step.p > FAMILY_ALPHA:
        return 2 + step.p
    if abs(step.size) <= minimum:
        return 2 - abs(step.size) / minimum
    return 0.5 if step.sloped else 0.0


def _jumping(jumps: Array, tests: _Tests) -> list[int]:
    """Return the splits at which a row surely jumps, no two of which share points."""
    jumps, splits = jumps.copy(), list[int]()
    while (split := int(jumps.argmin())) and jumps[split] * tests.count(split) <= FAMILY_ALPHA:
        splits.append(split)
        jumps[max(0, split - MIN_SEGMENT + 1) : split + MIN_SEGMENT] = 1.0
    return splits


def _step(x: Array, stretch: tuple[int, int, int], noise: Noise, jumps: Array, place: int, tests: _Tests) -> Step:
    first, split, end = stretch
    before, after = x[first:split], x[split:end]
    p = min(1.0, min(noise.p_value(place, before, after), float(jumps[split])) * tests.count(split))
    shares = error_of_mean(np.array([len(before), len(after)], dtype=np.float64), noise.phi[place]) ** 2
    error = float(noise.spread[place] * np.sqrt(shares.sum()))
    variance = float(noise.spread[place] ** 2 * (1 + noise.phi[place]) / (1 - noise.phi[place]))
    low, high = possible_places(x, first, split, end, variance)
    size = float(after.mean() - before.mean())
    sloped = slopes_better(x[first:end], split - first, float(noise.spread[place]) ** 2)
    return Step(split, low, high, first, end, size, error, float(noise.degrees[place]), p, sloped)
