"""Jumps of rows: levels that differ by many times what neighbours do, which noise that wanders never makes of itself.

How far a row wanders is badly known from a few dozen points, and so is the error of a mean of many; what neighbours
differ by is known well. So where a level changes within one point by many of these differences, that is sure however
the row wanders. Rows are [rows, points] of logarithms.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from bench.history.segments import FLIPS, Array, count_flips

POINTS = 3  # on either side, all of which must be apart
# Standard deviations of neighbours' differences by which the means of such points differ in a random walk, that wanders
# most: the weights of its steps are 1/3, 2/3, 1, 2/3 and 1/3.
OF_RANDOM_WALK = (19 / 9) ** 0.5
TRIMMED = 4  # differences that may be jumps, and say nothing of the others
OF_STATES = 5.0  # deviations of differences from which a jump may be between states of the noise
SHARE_OF_STATES = 0.1  # the largest share of the other rows that may jump at other points
UNEVEN = 5.0  # times: how much oftener uneven noise may reach so far


def jumps_of(x: Array) -> tuple[Array, Array]:
    """Return the gap between the points before and after each split, [rows, points + 1], and the unit, [rows].

    The unit is the standard deviation of neighbours' differences, by their median or without the few largest,
    whichever is larger. A split without POINTS points on either side has 0.
    """
    rows, points = x.shape
    sizes, unit = np.zeros((rows, points + 1)), np.full(rows, np.inf)
    if points >= 2 * POINTS + TRIMMED:
        differences = np.sort(np.abs(np.diff(x, axis=1)), 1)
        trimmed = np.sqrt((differences[:, :-TRIMMED] ** 2).mean(1))
        unit = np.maximum(1.4826 * np.median(differences, 1), trimmed)
        windows = sliding_window_view(x, POINTS, axis=1)
        low, high = windows.min(2), windows.max(2)
        gaps = np.maximum(low[:, POINTS:] - high[:, :-POINTS], low[:, :-POINTS] - high[:, POINTS:])
        sizes[:, POINTS : points - POINTS + 1] = np.maximum(gaps, 0)
    return sizes, unit


def degrees_of(points: int) -> float:
    """Return the degrees of freedom of the unit: neighbours' differences hang together, and some are left out."""
    return max(1.0, (points - 1 - TRIMMED) / 2)


def jump_p_values(x: Array, kinds: NDArray[np.int64], least_spread: float) -> Array:
    """Return the p-value of a jump at each split of each row, [rows, points + 1], not corrected; 1 where none counts.

    None does in a row that flips between two levels, nor where many other rows of the kind jump at other points: jumps
    are their noise. What all rows did at one commit is no such thing.
    """
    sizes, unit = jumps_of(x)
    unit = np.maximum(unit, least_spread)[:, None]
    p = np.minimum(1.0, 2 * UNEVEN * stdtr(degrees_of(x.shape[1]), -sizes / unit / OF_RANDOM_WALK))
    jumps = sizes > OF_STATES * unit
    for kind in np.unique(kinds):
        some = np.flatnonzero(kinds == kind)
        near = np.zeros((len(some), x.shape[1] + 1), np.int64)
        for shift in range(-POINTS + 1, POINTS):
            near += _shifted(jumps[some], shift)
        elsewhere = jumps[some].sum(1, keepdims=True) > near
        others = elsewhere.sum(0) - elsewhere  # but the row itself
        p[some] = np.where(others > SHARE_OF_STATES * (len(some) - 1), 1.0, p[some])
    flipping = [row for row in np.flatnonzero(jumps.any(1)) if count_flips(x[row]) >= FLIPS]
    p[flipping] = 1.0
    return np.asarray(p, np.float64)


def _shifted(marks: NDArray[np.bool_], shift: int) -> NDArray[np.bool_]:
    moved = np.roll(marks, shift, 1)
    moved[:, : max(0, shift)] = False
    moved[:, marks.shape[1] + min(0, shift) :] = False
    return moved


def least_jump(unit: float, points: int, alpha: float) -> float:
    """Return the least jump, as a logarithm, that is significant at `alpha`, two-sided, in a row with this unit."""
    return float(-stdtrit(degrees_of(points), alpha / 2 / UNEVEN)) * OF_RANDOM_WALK * unit
