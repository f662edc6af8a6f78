"""How long the noise of rows lasts, and what estimates of it are worth: by simulated rows of the same length.

The few largest changes of level of a row are taken off before its noise is looked at. What that does to estimates of an
autoregression is known from simulated ones, [rows, points], of unit deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.history.segments import Array, largest_splits, levels, scan

PHIS = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96])
LAGS = ((1, 1), (2, 3), (4, 7))  # whose mean autocorrelations tell how long the noise lasts
SIMULATED_ROWS, SIMULATED_POINTS = 80, 400  # of each of PHIS; longer rows are taken for as long as that
CANDIDATE = 4.5  # standard errors of a level's change that is taken off before the noise is estimated
LEAST_SPREAD = 1e-4  # relative standard deviation: below it a number counts as one without noise


def residuals(x: Array) -> tuple[Array, Array]:
    """Return rows without their few largest changes of level, and without half as many."""
    points = x.shape[1]
    most = most_taken_off(points)
    squares = np.sort(np.diff(x, axis=1) ** 2, 1)
    left = squares[:, : max(1, squares.shape[1] - most)]
    spread = np.maximum(np.sqrt(left.mean(1) / 2), LEAST_SPREAD)
    with np.errstate(divide="ignore"):
        errors = spread[:, None] / np.sqrt(np.arange(points + 1.0))
    limit = np.full(len(x), CANDIDATE)
    splits = largest_splits(scan(x, errors, limit, limit), most)
    return x - levels(x, splits), x - levels(x, splits[:, : most // 2])


def most_taken_off(points: int) -> int:
    """Return the number of changes of level that a row of noise is freed of, at the most."""
    return 2 + points // 100


def autocorrelations(left: Array) -> Array:
    """Return the mean autocorrelation of rows over each of LAGS, [rows, lags]; 0 where rows are too short or still."""
    squares = (left**2).sum(1)
    means = np.zeros((len(left), len(LAGS)))
    for place, (first, last) in enumerate(LAGS):
        if left.shape[1] >= 3 * (last + 1):
            sums = [(left[:, lag:] * left[:, :-lag]).sum(1) for lag in range(first, last + 1)]
            means[:, place] = sum(sums) / len(sums) / np.where(squares > 0, squares, np.inf)
    return means


@dataclass(frozen=True)
class Known:
    """Expectations of the estimates at each of PHIS: `lags` is [phis, lags], `share` that of the variance left."""

    lags: Array
    errors: Array  # standard deviations of a row's estimates, of white noise
    share: Array
    shared_lags: Array  # with half as many changes taken off
    shared_share: Array


@lru_cache(maxsize=32)
def _simulated(points: int) -> Known:
    draw = np.random.default_rng(points)
    burn = 100
    steps = draw.standard_normal((len(PHIS), SIMULATED_ROWS, points + burn))
    steps[0, :, :] = steps[0]
    x = np.zeros_like(steps)
    scale = np.sqrt(1 - PHIS**2)[:, None]
    x[:, :, 0] = steps[:, :, 0]
    for place in range(1, points + burn):
        x[:, :, place] = PHIS[:, None] * x[:, :, place - 1] + scale * steps[:, :, place]
    x = x[:, :, burn:]
    of_lags, shares = [], []
    for left in residuals(x.reshape(-1, points)):
        of_lags.append(autocorrelations(left).reshape(len(PHIS), SIMULATED_ROWS, -1))
        shares.append((left**2).mean(1).reshape(len(PHIS), -1).mean(1))
    own, shared = (np.maximum.accumulate(lags.mean(1)) for lags in of_lags)
    return Known(own, of_lags[0][0].std(0), shares[0], shared, shares[1])


def _nearest_length(points: int) -> int:
    """Return the nearest length, within a twentieth, whose expectations are simulated."""
    return points if points < 20 else min(SIMULATED_POINTS, round(1.1 ** round(np.log(points) / np.log(1.1))))


def expected_of(points: int) -> Known:
    """Return the expectations for rows of so many points, those of the nearest length that is simulated."""
    return _simulated(_nearest_length(points))
