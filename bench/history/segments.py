"""The segments of rows of numbers: where their level may have changed.

Splits are sought in seeded intervals: the whole row, and ever shorter pieces that overlap, O(n log n) points in all. A
short rise and the way back are seen, as some interval holds only one of the two. Source: S. Kovacs, P. Buhlmann, H. Li
and A. Munk, Seeded binary segmentation (Biometrika, 2023). Rows are [rows, points] of logarithms in the order of the
commits, without gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, expm1

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]

FLIPS = 4  # changes between two levels from which they are the noise of a series
MIN_SEGMENT = 3  # points on either side of a change: fewer may be a passing disturbance, and are reported as such
SPIKE_SIGMAS = 5.0  # standard deviations that a single point must stand out on the same side of both neighbours
DENSE = 4 * MIN_SEGMENT  # points of intervals that begin at every point, as a bump of so few has few that fit
NEWS = 8  # splits with so many points after them or fewer are news, with a share of the allowed errors for themselves
MAX_VALUES = 4_000_000  # numbers of a layer of intervals in memory at once


def noise_of(x: Array) -> float:
    """Estimate the standard deviation from the differences of neighbours, which a few changes of level hardly affect.

    It is the median absolute difference, times 1.4826 for the normal distribution.
    """
    return float(1.4826 * np.median(np.abs(np.diff(x))) / 2**0.5) if len(x) > 2 else 0.0


def spikes_of(x: Array) -> NDArray[np.bool_]:
    """Mark single points far from both neighbours, on the same side, where the neighbours agree."""
    spikes = np.zeros(len(x), dtype=bool)
    if len(x) < 5:
        return spikes
    sigma = noise_of(x)
    left, right = x[1:-1] - x[:-2], x[1:-1] - x[2:]
    far = np.minimum(np.abs(left), np.abs(right)) > SPIKE_SIGMAS * sigma
    agree = np.abs(x[2:] - x[:-2]) < np.minimum(np.abs(left), np.abs(right)) / 2
    spikes[1:-1] = far & agree & (np.sign(left) == np.sign(right))
    return spikes


def unsure_newest(x: Array, minimum: float) -> tuple[float, int]:
    """Return how far newest points left the level, on average, that are too few for a change; and their number, or 0.

    `minimum` is the least that matters; the level is that of the points before, which must be steady.
    """
    limit = max(SPIKE_SIGMAS * noise_of(x), minimum)
    for count in range(1, MIN_SEGMENT):
        if len(x) < MIN_SEGMENT + count + 1:
            break
        level = float(np.median(x[-count - MIN_SEGMENT : -count]))
        deviations = x[-count:] - level
        steady = np.abs(x[-count - MIN_SEGMENT : -count] - level).max() <= limit
        if steady and np.abs(deviations).min() > limit and abs(np.sign(deviations).sum()) == count:
            return expm1(float(deviations.mean())), count
    return 0.0, 0


# ---- seeded intervals


@lru_cache(maxsize=64)
def layers(points: int) -> tuple[tuple[int, Places], ...]:
    """Return the seeded intervals of a row: of each layer the length, and the first point of each interval.

    The first and the last interval of a layer begin and end with the row.
    """
    every: dict[int, Places] = {}
    step = 0
    if points < 2 * MIN_SEGMENT:
        return ()
    while (length := max(ceil(points * 0.5 ** (step / 2) - 1e-9), 2 * MIN_SEGMENT)) not in every:
        count = points if length < DENSE else 2 * ceil(2 ** (step / 2) - 1e-9) - 1
        every[length] = np.unique(np.linspace(0, points - length, count).astype(np.int64))
        step += 1
    return tuple(every.items())


def count_splits(points: int) -> tuple[int, int]:
    """Return the number of splits that a scan tries: of those before the news, and of the news."""
    news = older = 0
    for layer, (length, starts) in enumerate(layers(points)):
        splits = length - 2 * MIN_SEGMENT + 1
        ends_there = 0 if layer % 2 else min(splits, NEWS - MIN_SEGMENT + 1)
        news += ends_there
        older += splits * len(starts) - ends_there
    return older, news


@dataclass(frozen=True)
class Scan:
    """The best split of each interval: its score, [rows, intervals], the point before which it is, and the intervals.

    A score is a t statistic in units of the least that is significant: from 1 on a split is a candidate.
    """

    score: Array
    split: Places
    first: Places  # of an interval, [intervals]
    end: Places


def scan(x: Array, spread: Array, least: Array, least_news: Array) -> Scan:
    """Return the best split of each seeded interval of each row.

    `spread` is the standard error of the mean of k points, [rows, k], from k = 0 on; `least` and `least_news` are the t
    statistics, [rows], that a split needs: one before the news, and one of the news.
    """
    rows, points = x.shape
    sums = np.concatenate([np.zeros((rows, 1)), (x - x.mean(1, keepdims=True)).cumsum(1)], 1)
    scores, splits, firsts, ends = [], [], [], []
    for layer, (length, starts) in enumerate(layers(points)):
        sides = np.arange(MIN_SEGMENT, length - MIN_SEGMENT + 1)
        error = np.sqrt(spread[:, sides] ** 2 + spread[:, length - sides] ** 2)
        with np.errstate(divide="ignore"):
            scale = 1 / (error * least[:, None])
        at_once = max(1, MAX_VALUES // (rows * length))
        for some in range(0, len(starts), at_once):
            begin = starts[some : some + at_once, None]
            base = sums[:, begin]
            left = sums[:, begin + sides] - base
            difference = np.abs((sums[:, begin + length] - base - left) / (length - sides) - left / sides)
            scaled = difference * scale[:, None, :]
            if layer % 2 == 0 and begin[-1, 0] + length == points:
                news = length - sides <= NEWS
                scaled[:, -1, news] *= (least / least_news)[:, None]
            best = scaled.argmax(2)
            scores.append(np.take_along_axis(scaled, best[..., None], 2)[..., 0])
            splits.append(begin[:, 0] + MIN_SEGMENT + best)
        firsts.append(starts)
        ends.append(starts + length)
    if not scores:
        return Scan(np.zeros((rows, 0)), np.zeros((rows, 0), np.int64), *(np.zeros(0, np.int64),) * 2)
    return Scan(np.concatenate(scores, 1), np.concatenate(splits, 1), np.concatenate(firsts), np.concatenate(ends))


def largest_splits(scanned: Scan, most: int) -> Places:
    """Return up to `most` splits of each row, [rows, most], the best first; 0 stands for none.

    After each, the intervals that hold it count no more.
    """
    score = scanned.score.copy()
    rows = np.arange(len(score))
    chosen = np.zeros((len(score), most), np.int64)
    for place in range(most if score.shape[1] else 0):
        best = score.argmax(1)
        over = score[rows, best] >= 1
        if not over.any():
            break
        split = np.where(over, scanned.split[rows, best], 0)
        chosen[:, place] = split
        score[(scanned.first < split[:, None]) & (split[:, None] < scanned.end)] = 0
    return chosen


def narrowest(scanned: Scan, row: int) -> Iterator[tuple[int, int, int]]:
    """Yield the candidates of a row from the shortest interval on: first point, split, end.

    Source: R. Baranowski, Y. Chen and P. Fryzlewicz, Narrowest-over-threshold detection (2019).
    """
    (over,) = np.nonzero(scanned.score[row] >= 1)
    lengths = (scanned.end - scanned.first)[over]
    for place in over[np.lexsort((-scanned.score[row][over], lengths))]:
        yield int(scanned.first[place]), int(scanned.split[row, place]), int(scanned.end[place])


# ---- levels between splits


def levels(x: Array, splits: Places) -> Array:
    """Return the mean of the segment of each point, [rows, points]; `splits` are [rows, some], 0 stands for none."""
    rows, points = x.shape
    marks = np.zeros((rows, points), np.int64)
    np.put_along_axis(marks, splits, 1, 1)
    marks[:, 0] = 0
    segment = marks.cumsum(1) + np.arange(rows)[:, None] * points
    flat = segment.ravel()
    counts, sums = np.bincount(flat), np.bincount(flat, x.ravel())
    return (sums / np.maximum(counts, 1))[segment]


def best_split(x: Array, first: int, end: int) -> int:
    """Return the split of x[first:end] that takes most off the sum of squares."""
    piece = x[first:end]
    sums = (piece - piece.mean()).cumsum()[MIN_SEGMENT - 1 : len(piece) - MIN_SEGMENT]
    left = np.arange(MIN_SEGMENT, len(piece) - MIN_SEGMENT + 1)
    return first + MIN_SEGMENT + int((sums**2 / (left * (len(piece) - left))).argmax())


def settle(x: Array, splits: Sequence[int]) -> list[int]:
    """Return the splits, each moved to the best place between its neighbours, twice over."""
    places = sorted(splits)
    for _ in range(2):
        edges = [0, *places, len(x)]
        for place in range(1, len(edges) - 1):
            if edges[place + 1] - edges[place - 1] >= 2 * MIN_SEGMENT:
                edges[place] = best_split(x, edges[place - 1], edges[place + 1])
        places = edges[1:-1]
    return [split for before, split in pairwise([0, *places]) if split - before >= MIN_SEGMENT]


def merge_pairs(x: Array, splits: Sequence[int], gain: float) -> list[int]:
    """Return the splits, pairs of neighbours merged into one where that leaves no more than `gain` more squares.

    Narrow intervals find a large step once on either side of it.
    """
    places = list(splits)
    place = 0
    while place + 1 < len(places):
        first = places[place - 1] if place else 0
        end = places[place + 2] if place + 2 < len(places) else len(x)
        one = best_split(x, first, end)
        if _squares(x, first, one, end) <= _squares(x, first, *places[place : place + 2], end) + gain:
            places[place : place + 2] = [one]
            place = max(0, place - 1)
        else:
            place += 1
    return places


def _squares(x: Array, *edges: int) -> float:
    """Return the sum of squares about the means of the segments between some edges."""
    return sum(float(((x[a:b] - x[a:b].mean()) ** 2).sum()) for a, b in pairwise(edges))


def possible_places(x: Array, first: int, split: int, end: int, variance: float) -> tuple[int, int]:
    """Return the first and the last split of x[first:end] that fit nearly as well as `split`.

    That is within 7 of its log likelihood ratio, twice over: about 95 % for independent normal noise of this variance
    (per point, with what neighbours have in common).
    """
    piece = x[first:end]
    sums = (piece - piece.mean()).cumsum()[MIN_SEGMENT - 1 : len(piece) - MIN_SEGMENT]
    left = np.arange(MIN_SEGMENT, len(piece) - MIN_SEGMENT + 1)
    gains = sums**2 * len(piece) / (left * (len(piece) - left))
    (near,) = np.nonzero(gains >= gains[split - first - MIN_SEGMENT] - 7 * variance)
    return first + MIN_SEGMENT + int(near[0]), first + MIN_SEGMENT + int(near[-1])


def slopes_better(piece: Array, split: int, variance: float) -> bool:
    """Return whether a straight line fits a stretch nearly as well as a step at `split`.

    Nearly is by 2 of its log likelihood ratio, twice over, as in `possible_places`.
    """
    places = np.arange(len(piece)) - (len(piece) - 1) / 2
    centred = piece - piece.mean()
    line = float(centred @ places) ** 2 / float(places @ places)
    step = float(centred[:split].sum()) ** 2 * len(piece) / (split * (len(piece) - split))
    return line >= step - 2 * variance


def count_flips(x: Array) -> int:
    """Return how often a row goes from one of two levels to the other; 0 unless it stays between two, several points.

    The two are apart where they leave a tenth of the variance, and points stay where flips are half as many as those of
    points in no order.
    """
    ordered = np.sort(x)
    sums, count = ordered.cumsum(), len(x)
    left = np.arange(1, count)
    gain = (sums[:-1] - left * ordered.mean()) ** 2 * count / (left * (count - left))
    best = int(gain.argmax())
    whole = float(((x - x.mean()) ** 2).sum())
    high = x > ordered[best]
    flips = int((high[1:] != high[:-1]).sum())
    by_chance = 2 * int(high.sum()) * int((~high).sum()) / count
    return flips if whole and gain[best] > 0.9 * whole and flips < by_chance / 2 else 0


def error_of_mean(count: Array, phi: Array | float) -> Array:
    """Return the standard error of the mean of `count` points of a first-order autoregression, whose deviation is 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = (1 + phi) / (1 - phi) - 2 * phi * (1 - phi**count) / (count * (1 - phi) ** 2)
        return np.where(count > 0, np.sqrt(np.maximum(whole, 0) / count), np.inf)


def effective_degrees(points: int, phi: Array) -> Array:
    """Return how many independent points tell as much of a variance as those of an autoregression (Bayley 1946)."""
    return points * (1 - phi**2) / (1 + phi**2)
