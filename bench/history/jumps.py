"""Jumps of rows: levels that differ by many times what neighbours do, which noise that wanders never makes of itself.

How far a row wanders is badly known from a few dozen points, and so is the error of a mean of many; what neighbours
differ by is known well. So where a level changes within one point by many of these differences, that is sure however
the row wanders. Rows are [rows, points] of logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from bench.history.segments import FLIPS, MIN_SEGMENT, Array, count_flips
from bench.history.wander import LEAST_SPREAD

# Standard deviations of neighbours' differences by which the means of such points differ in a random walk, that wanders
# most: the weights of its steps are 1/3, 2/3, 1, 2/3 and 1/3.
OF_RANDOM_WALK = (19 / 9) ** 0.5
TRIMMED = 4  # differences that may be jumps, and say nothing of the others
OF_STATES = 5.0  # deviations of differences from which a jump may be between states of the noise
SHARE_OF_STATES = 0.1  # the largest share of the other rows that may jump at other points
GROWN = 1.15  # times that the unit of a row grows by a jump, which is trimmed off in place of another difference
UNEVEN = 5.0  # times: how much oftener uneven noise may reach so far


@dataclass(frozen=True)
class Gaps:
    """The gap between the points before and after each split, [rows, points + 1]: 0 without MIN_SEGMENT on either side.

    And, [rows]: the standard deviation of neighbours' differences by their median, which no few jumps change, and by
    all but the few largest; and by how much points overlap in nine of ten splits.
    """

    size: Array
    median: Array
    trimmed: Array
    overlap: Array


def gaps_of(x: Array) -> Gaps:
    """Return the gaps of some rows."""
    rows, points = x.shape
    sizes = np.zeros((rows, points + 1))
    median = trimmed = overlap = np.full(rows, np.inf)
    if points >= 2 * MIN_SEGMENT + TRIMMED:
        differences = np.sort(np.abs(np.diff(x, axis=1)), 1)
        trimmed = np.sqrt((differences[:, :-TRIMMED] ** 2).mean(1))
        median = 1.4826 * np.median(differences, 1)
        windows = sliding_window_view(x, MIN_SEGMENT, axis=1)
        low, high = windows.min(2), windows.max(2)
        gaps = low[:, MIN_SEGMENT:] - high[:, :-MIN_SEGMENT], low[:, :-MIN_SEGMENT] - high[:, MIN_SEGMENT:]
        sizes[:, MIN_SEGMENT : points - MIN_SEGMENT + 1] = np.maximum(0, np.maximum(*gaps))
        overlap = -np.quantile(np.concatenate(gaps, 1), 0.1, axis=1)
    return Gaps(sizes, median, trimmed, overlap)


def degrees_of(points: int) -> float:
    """Return the degrees of freedom of the unit: neighbours' differences hang together, and some are left out."""
    return max(1.0, (points - 1 - TRIMMED) / 2)


@dataclass(frozen=True)
class Rows:
    """Rows of one length, [rows, points], the kind of each, and the place of each point in its history."""

    x: Array
    kind: NDArray[np.int64]
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Jumps:
    """The p-value of a jump at each split of rows of one length, [rows, points + 1], not corrected.

    And, [rows]: the unit, which is what neighbours differ by, infinite where jumps are noise; and the overlap of gaps.
    """

    p: Array
    unit: Array
    overlap: Array

    def least(self, row: int, alpha: float) -> float:
        """Return the jump of a row that is significant at `alpha`, two-sided, nine times in ten."""
        t = float(-stdtrit(degrees_of(self.p.shape[1] - 1), alpha / 2 / UNEVEN))
        return t * OF_RANDOM_WALK * GROWN * float(self.unit[row]) + float(self.overlap[row])


def jumps_of_rows(groups: Sequence[Rows]) -> list[Jumps]:
    """Return the jumps of the rows of each group.

    A p-value is 1 where none counts: in a row that flips between two levels, and where many other rows of the kind jump
    at other places, as jumps are their noise. What many rows did at one place is no such thing.
    """
    every, marks = [], []
    length = max((int(group.places.max()) for group in groups), default=0) + 2
    for group in groups:
        gaps = gaps_of(group.x)
        median = np.maximum(gaps.median, LEAST_SPREAD)
        unit = np.maximum(median, gaps.trimmed)
        jumps = gaps.size > OF_STATES * median[:, None]
        unit[[row for row in np.flatnonzero(jumps.any(1)) if count_flips(group.x[row]) >= FLIPS]] = np.inf
        p = 2 * UNEVEN * stdtr(degrees_of(group.x.shape[1]), -gaps.size / unit[:, None] / OF_RANDOM_WALK)
        mark = np.zeros((len(p), length), dtype=bool)
        np.put_along_axis(mark, group.places, jumps[:, :-1], 1)
        every.append(Jumps(np.minimum(1.0, p), unit, gaps.overlap))
        marks.append(mark)
    if not groups:
        return []
    kinds, mark = np.concatenate([group.kind for group in groups]), np.concatenate(marks)
    of_states = np.zeros(mark.shape, dtype=bool)
    for kind in np.unique(kinds[mark.any(1)]):
        of_states[kinds == kind] = _jump_elsewhere(mark[kinds == kind])
    start = 0
    for group, of_group in zip(groups, every, strict=True):
        noise = np.take_along_axis(of_states[start : start + len(of_group.p)], group.places, 1)
        of_group.p[:, :-1][noise] = 1.0
        of_group.unit[noise.any(1)] = np.inf
        start += len(noise)
    return every


def _jump_elsewhere(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where more than SHARE_OF_STATES of the other rows jump at places that are not near, [rows, places]."""
    sums = np.pad(marks, ((0, 0), (MIN_SEGMENT, MIN_SEGMENT - 1))).cumsum(1)
    near = sums[:, 2 * MIN_SEGMENT - 1 :] - sums[:, : -2 * MIN_SEGMENT + 1]
    elsewhere = marks.sum(1, keepdims=True) > near
    return np.asarray(elsewhere.sum(0) - elsewhere > SHARE_OF_STATES * (len(marks) - 1))
