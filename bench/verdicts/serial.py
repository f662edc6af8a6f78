"""Rounds that hang together with those before them: how much, and what that does to the error of a mean.

A clock that stays where it is for some rounds makes a side's rounds alike, and its variance small. So a mean is less
sure than its rounds seem to say. The correlation of rounds that are k apart is taken to be s r^k, as where an
autoregressive process of first order, or one of two states, has a share s of the variance, and the rest is of each
process alone. One case's ten rounds say little about s and r, all cases' together much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_CASES = 20  # the least number of cases from which something that all share is estimated
STANDS_OUT = 2.0  # standard errors
# Pairs of s and r, the first of which stands for independent rounds.
GRID = np.array([(0.0, 0.0), *((s / 10, r / 20) for s in range(1, 11) for r in range(2, 20))])
LAGS = 3
MOST_ROUNDS = 100  # with more, both factors are as with these, nearly, and their matrices large
NEAR = 1.0  # a pair whose chi-square is by no more above the least is as likely


def median_over(values: Array, axis: int) -> Array:
    """Return the median along an axis, which stays, without NaNs; NaN where there is nothing else."""
    if np.isfinite(values).all():
        return np.asarray(np.median(values, axis, keepdims=True), np.float64)
    finite = np.where(np.isfinite(values), values, np.nan)
    count = np.isfinite(finite).sum(axis, keepdims=True)
    ordered = np.sort(finite, axis)  # NaN last
    low, high = (np.take_along_axis(ordered, np.maximum((count - back) // 2, 0), axis) for back in (1, 0))
    return np.where(count > 0, (low + high) / 2, np.nan)


@dataclass(frozen=True)
class Serial:
    """How neighbouring rounds of a side hang together, [...]: their correlation, 0 for not, and the place in GRID."""

    correlation: Array
    place: NDArray[np.int64]


def serial(values: Array) -> Serial:
    """Return how the rounds of all tests hang together, from [..., tests, rounds].

    They do not where there are too few tests, and where the correlation of neighbours does not stand out of what
    independent rounds give: -1 / rounds, whatever their distribution, as each test's mean is taken off. Of the pairs in
    GRID that fit as well as any, it is the one that makes a mean least sure. What all tests did alike in a round is
    left out.
    """
    none = Serial(np.zeros(values.shape[:-2]), np.zeros(values.shape[:-2], np.int64))
    finite = np.isfinite(values)
    count = finite.sum(-1, keepdims=True)
    rounds = min(int(np.median(count[count > 0])), MOST_ROUNDS) if finite.any() else 0
    if values.shape[-2] < MIN_CASES or rounds <= LAGS:
        return none
    deviations = values - mean_over_rounds(values)
    deviations = deviations - median_over(deviations, -2)
    deviations = np.nan_to_num(deviations - mean_over_rounds(deviations))
    squares = (deviations**2).sum(-1)
    total = np.maximum(squares.sum(-1), np.finfo(np.float64).tiny)
    ratios, errors = [], []
    for lag in range(1, LAGS + 1):
        products = (deviations[..., lag:] * deviations[..., :-lag]).sum(-1)
        ratios.append(products.sum(-1) / total)
        errors.append(np.sqrt(((products - ratios[-1][..., None] * squares) ** 2).sum(-1)) / total)
    stands_out = ratios[0] + 1 / rounds > STANDS_OUT * errors[0]
    if not stands_out.any():
        return none
    expected, factor = _expected(rounds), _factors(rounds)[0]
    distances = sum(
        ((ratio[..., None] - expected[lag]) / np.maximum(error, 1e-9)[..., None]) ** 2
        for lag, (ratio, error) in enumerate(zip(ratios, errors, strict=True))
    )
    near = distances <= distances.min(-1, keepdims=True) + NEAR
    place = np.where(stands_out, np.where(near, factor, 0.0).argmax(-1), 0)
    return Serial(GRID[place].prod(-1), place)


def mean_over_rounds(values: Array) -> Array:
    """Return the means over the rounds that are finite, [..., 1]; 0 where none is."""
    finite = np.isfinite(values)
    return np.where(finite, values, 0.0).sum(-1, keepdims=True) / np.maximum(finite.sum(-1, keepdims=True), 1)


def mean_factors(place: NDArray[np.int64], counts: Array) -> tuple[Array, Array]:
    """Return by how much the variance of a mean is larger than variance / rounds, and the share of degrees left.

    `place`, of `serial`, is [..., sides] and `counts`, the rounds, [..., tests, sides], as both results. The factor has
    in it that the variance of such rounds is too small: E s^2 = (n - A) / (n - 1) of the process's, and that of the
    mean A / n, where A = 1 + 2 sum (1 - k / n) s r^k. The degrees are those of Satterthwaite of the variance.
    """
    factor, share = np.ones_like(counts), np.ones_like(counts)
    if place.any():
        wide = np.broadcast_to(place[..., None, :], counts.shape)
        for rounds in np.unique(counts[counts > 1]):
            at = counts == rounds
            factor[at], share[at] = (values[wide[at]] for values in _factors(min(int(rounds), MOST_ROUNDS)))
    return factor, share


@cache
def _matrices(rounds: int) -> tuple[Array, Array]:
    """Return the covariances of the rounds for each pair in GRID, and the matrix that takes the mean off."""
    apart = np.abs(np.subtract.outer(np.arange(rounds), np.arange(rounds)))
    covariances = np.where(apart == 0, 1.0, GRID[:, 0, None, None] * GRID[:, 1, None, None] ** apart)
    return covariances, np.eye(rounds) - 1 / rounds


@cache
def _expected(rounds: int) -> list[Array]:
    """Return the expected estimate at each lag for each pair in GRID: that of its numerator over its denominator's."""
    covariances, centre = _matrices(rounds)
    total = np.trace(centre @ covariances, axis1=1, axis2=2)
    shifts = (centre @ np.eye(rounds, k=lag) @ centre for lag in range(1, LAGS + 1))
    return [np.trace(shift @ covariances, axis1=1, axis2=2) / total for shift in shifts]


@cache
def _factors(rounds: int) -> tuple[Array, Array]:
    """Return both results of `mean_factors` for each pair in GRID."""
    covariances, centre = _matrices(rounds)
    inflation = covariances.sum((1, 2)) / rounds
    centred = centre @ covariances
    df = np.trace(centred, axis1=1, axis2=2) ** 2 / np.trace(centred @ centred, axis1=1, axis2=2)
    return inflation * (rounds - 1) / (rounds - inflation), df / (rounds - 1)
