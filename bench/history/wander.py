"""How long the noise of rows lasts: as those of simulated rows of the same length that look most like them.

The few largest changes of level of a row are taken off before its noise is looked at. What that does to estimates is
read from simulated rows, [rows, points], of unit deviation. As in `bench.verdicts.serial`, the correlation of points k
apart is s r^k: a share s of the variance is a first-order autoregression, and the rest is independent. How common each
pair is among rows of a kind is estimated from all of them (empirical Bayes; J. Kiefer and J. Wolfowitz, 1956).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.history.segments import FLIPS, Array, Places, count_flips, largest_splits, levels, scan

PHIS = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96])
# Pairs of s and r, from independent points on to those that make a mean least sure.
PAIRS = np.array(
    sorted(
        [(0.0, 0.0), *((s, r) for s in (0.5, 1.0) for r in PHIS[1:])],
        key=lambda pair: pair[0] * pair[1] / (1 - pair[1]),
    )
)
_SUM = PAIRS[:, 0] * PAIRS[:, 1] / (1 - PAIRS[:, 1])
PHI_OF_PAIRS = _SUM / (1 + _SUM)  # of an autoregression alone that makes a mean of many points as unsure
LAGS = ((1, 1), (2, 3), (4, 7))  # whose mean autocorrelations say how long the noise lasts
SIMULATED_ROWS, SIMULATED_POINTS = 80, 400  # of each of PAIRS; longer rows are taken for as long as that
# Deviations of neighbours' differences that are a jump, the points on either side, and the fewest points for each jump:
# an autoregression makes none.
JUMP, JUMP_POINTS, JUMPS_APART = 7.0, 3, 8
CANDIDATE = 4.5  # standard errors of a level's change that is taken off before the noise is estimated
LEAST_SPREAD = 1e-4  # relative standard deviation: below it a number counts as one without noise
INDEPENDENT_ROWS = 0.6  # the chance, before any row is seen, that its points are independent
LEFT_OUT = 0.08  # the chance that a row's noise lasts longer than it is taken to
SHORT_LEFT_OUT = 0.15  # the same of a short row, in which a change and such noise look alike
LEFT_OUT_OF_KIND = 0.25  # the same of the median row, than which none of its kind is taken to be steadier
TURNS = 100  # of expectation and maximisation


def residuals(x: Array) -> tuple[Array, Array]:
    """Return rows without their few largest changes of level, and without half as many."""
    x = without_jumps(x)
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


def without_jumps(x: Array) -> Array:
    """Return rows without the jumps of those that have some, no more than one in JUMPS_APART points, and no flips.

    Several jumps fit an autoregression that lasts, and one has none. A jump is from the mean of JUMP_POINTS points to
    that of the next.
    """
    rows, points = x.shape
    if points < 4 * JUMP_POINTS:
        return x
    spread = np.maximum(1.4826 * np.median(np.abs(np.diff(x, axis=1)), 1), LEAST_SPREAD)
    sums = np.concatenate([np.zeros((rows, 1)), x.cumsum(1)], 1)
    means = (sums[:, JUMP_POINTS:] - sums[:, :-JUMP_POINTS]) / JUMP_POINTS
    sizes = np.abs(means[:, JUMP_POINTS:] - means[:, :-JUMP_POINTS]) / (JUMP * spread[:, None])
    steady = x.copy()
    for row in np.flatnonzero(sizes.max(1) > 1):
        splits = []
        while sizes[row].max() > 1:
            place = int(sizes[row].argmax())
            splits.append(place + JUMP_POINTS)
            sizes[row, max(0, place - JUMP_POINTS + 1) : place + JUMP_POINTS] = 0
        some = most_taken_off(points) < len(splits) <= points // JUMPS_APART
        if some and count_flips(x[row]) < FLIPS:
            steady[row] -= levels(x[row : row + 1], np.array([splits]))[0]
    return steady


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
class Expected:
    """The estimates of rows of each of PAIRS: normal of `means` [pairs, lags]; `share` is that of the variance left."""

    means: Array
    precisions: Array  # inverse covariances, [pairs, lags, lags]
    log_determinants: Array  # of the covariances, [pairs]
    share: Array


@lru_cache(maxsize=64)
def _simulated(points: int) -> tuple[Expected, Expected]:
    draw = np.random.default_rng(points)
    burn = 100
    steps = draw.standard_normal((SIMULATED_ROWS, points + burn))
    beside = draw.standard_normal((SIMULATED_ROWS, points))
    chain = np.repeat(steps[None], len(PHIS), 0)
    for place in range(1, points + burn):
        chain[:, :, place] = PHIS[:, None] * chain[:, :, place - 1] + np.sqrt(1 - PHIS**2)[:, None] * steps[:, place]
    share = PAIRS[:, 0, None, None]
    x = np.sqrt(share) * chain[np.searchsorted(PHIS, PAIRS[:, 1]), :, burn:] + np.sqrt(1 - share) * beside
    every, fewer = (_expected(left) for left in residuals(x.reshape(-1, points)))
    return every, fewer


def _expected(left: Array) -> Expected:
    estimates = autocorrelations(left).reshape(len(PAIRS), SIMULATED_ROWS, -1)
    means = estimates.mean(1)
    off = estimates - means[:, None]
    covariances = np.einsum("prk,prl->pkl", off, off) / SIMULATED_ROWS + 1e-4 * np.eye(len(LAGS))
    share = (left**2).mean(1).reshape(len(PAIRS), -1).mean(1)
    return Expected(means, np.linalg.inv(covariances), np.linalg.slogdet(covariances)[1], share)


def expected_of(points: int) -> tuple[Expected, Expected]:
    """Return the expectations for rows of so many points, those of the nearest length that is simulated.

    The first are of rows without their few largest changes of level, the second of those without half as many.
    """
    nearest = points if points < 20 else min(SIMULATED_POINTS, round(1.1 ** round(np.log(points) / np.log(1.1))))
    return _simulated(nearest)


def log_likelihoods(left: Array, expected: Expected) -> Array:
    """Return the logarithm of how likely each of PAIRS makes the estimates, [rows, pairs], but for a constant."""
    off = autocorrelations(left)[:, None] - expected.means
    distances = np.einsum("rpk,pkl,rpl->rp", off, expected.precisions, off)
    return np.asarray(-(distances + expected.log_determinants) / 2)


def longest(single: Array, shared: Array, kinds: NDArray[np.int64], left_out: Array) -> Places:
    """Return the place in PAIRS of each row: the last that its noise reaches with a chance of `left_out`.

    None lasts less long than that of half of its kind: flips between states that were taken off as changes leave rows
    that seem steady.

    `single` are the log likelihoods, [rows, pairs], from which each row is judged, and `shared` those from which it is
    estimated how common each pair is among the rows of a kind.
    """
    prior = np.full(len(PAIRS), (1 - INDEPENDENT_ROWS) / (len(PAIRS) - 1))
    prior[0] = INDEPENDENT_ROWS
    places = np.zeros(len(kinds), np.int64)
    for kind in np.unique(kinds):
        some = kinds == kind
        count, common = int(some.sum()), prior
        for _ in range(TURNS if count > 1 else 0):
            common = (_posterior(shared[some], common).sum(0) + prior) / (count + 1)
        beyond = _posterior(single[some], common)[:, ::-1].cumsum(1)
        least = int(np.median((beyond >= LEFT_OUT_OF_KIND).sum(1))) - 1
        places[some] = np.maximum((beyond >= left_out[some, None]).sum(1) - 1, least)
    return places


def _posterior(log_likelihood: Array, prior: Array) -> Array:
    weights = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True)) * prior
    return np.asarray(weights / weights.sum(1, keepdims=True))
