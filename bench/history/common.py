"""The movement that all series of a machine share, commit by commit: of the machine itself, or what the cases share.

It is a robust mean over the series of how far each is off its level. Where it stands out of what independent noise
would leave, it is taken off the series before they are judged, and judged as a series for itself. Arrays are [series,
commits] of logarithms, a NaN where a series has no point.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bench.history.noise import MANY_ALIKE
from bench.history.segments import Array
from bench.history.wander import LEAST_SPREAD

FEWEST_AT_A_COMMIT = 10  # series of a commit from which its common movement is estimated
FAR = 4.0  # standard deviations beyond which a series says nothing of what is common
STANDS_OUT = 2.0  # times the variance of the mean of independent noise
UNMOVED = 0.15  # share of the series, over that by chance, that makes a movement one of some series


def common_movement(x: Array) -> Array:
    """Return the common movement at each commit, [commits]; 0 everywhere if it does not stand out, or of few series.

    A commit with too few series has the movement of the commit before. The mean is Tukey's biweight, in units of each
    series' noise between neighbouring commits, so that a third of the series with another level does not pull it.
    """
    still = np.zeros(x.shape[1])
    if len(x) < MANY_ALIKE:
        return still
    spread = neighbours_spread(x)
    common = still
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a number
        for turn in range(3):
            off = x - np.nanmedian(x - common, axis=1)[:, None]
            common = np.nanmedian(off, axis=0)
            for _ in range(5 if turn == 2 else 1):
                far = (off - common) / (FAR * spread[:, None])
                weight = np.where(np.abs(far) < 1, (1 - far**2) ** 2, 0.0) / spread[:, None] ** 2
                total = weight.sum(0)
                common = np.where(total > 0, np.where(weight > 0, off * weight, 0.0).sum(0) / total, common)
        error = np.sqrt((weight**2 * spread[:, None] ** 2).sum(0)) / total
    enough = np.isfinite(x).sum(0) >= FEWEST_AT_A_COMMIT
    sure = enough & np.isfinite(common) & np.isfinite(error)
    if not sure.any() or ((common[sure] / error[sure]) ** 2).mean() < STANDS_OUT:
        return still
    places = np.where(sure, np.arange(len(sure)), -1)
    last = np.maximum.accumulate(places)
    return np.asarray(np.where(last >= 0, common[last], common[np.flatnonzero(sure)[0]]))


def neighbours_spread(x: Array) -> Array:
    """Return the standard deviation of each series, from the differences of points that are neighbours in it."""
    spreads = np.full(len(x), LEAST_SPREAD)
    for place, row in enumerate(x):
        there = row[np.isfinite(row)]
        if len(there) > 2:
            spreads[place] = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(np.diff(there)))) / 2**0.5)
    return spreads


def moved_alike(x: Array, stretch: tuple[int, int, int], size: float) -> NDArray[np.bool_] | None:
    """Return which series have points on both sides of a step of the common movement; None if not all moved with it.

    That is so where many more series than by chance moved by less than half of it: then it is a change of some.
    """
    first, split, end = stretch
    spread = neighbours_spread(x)
    before, after = x[:, first:split], x[:, split:end]
    counts = np.isfinite(before).sum(1), np.isfinite(after).sum(1)
    there = np.minimum(*counts) > 0
    if not there.any():
        return None
    means = [np.nanmean(side[there], axis=1) for side in (before, after)]
    error = spread[there] * np.sqrt(1 / counts[0][there] + 1 / counts[1][there])
    moved = (means[1] - means[0]) * np.sign(size)
    by_chance = float(ndtr(-abs(size) / 2 / error).mean())
    return None if (moved < abs(size) / 2).mean() > by_chance + UNMOVED else there
