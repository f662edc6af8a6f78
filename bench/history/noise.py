"""The noise of the rows of a history: its size, how long it lasts, and how heavy its tails are.

A row's noise is what is left when its few largest changes of level are taken off. It may wander: then it is taken for a
first-order autoregression, as strong as the row itself and the others of its kind show. The bias of the estimates, also
by the changes taken off, is that of simulated rows of the same length (indirect inference; C. Gourieroux, A. Monfort
and E. Renault, 1993). Rows are [rows, points] of logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr, stdtrit

from bench.history.segments import Array, effective_degrees, error_of_mean
from bench.history.wander import (
    LEAST_SPREAD,
    LEFT_OUT,
    PHI_OF_PAIRS,
    SHORT_LEFT_OUT,
    Expected,
    expected_of,
    log_likelihoods,
    longest,
    most_taken_off,
    residuals,
)

THETAS = np.linspace(-8, 8, 65)  # at which the cumulant generating function of the noise is computed
UNEVEN = 5.0  # times, what uneven noise adds to a p-value counts: runs of it come at more places than a mean's do
LEVELS_BETWEEN = np.linspace(0, 1, 17)
SHARED_POINTS = 100  # the noise of all rows counts for so many points in the tails of each
STANDS_OUT = 2.0  # standard errors by which a row's variance must be over its kind's to count by itself
FEWEST_DEGREES = 3.0  # of freedom of a variance
FARTHEST = 6.0  # standard deviations: points and levels farther off count for as far
SHORT = 30  # points under which a row is taken to have one change at the most
MANY_ALIKE = 20  # rows of a kind, most of which have no change
FEWEST_ALIKE = 5  # rows from which a prior of the variance is estimated


@dataclass(frozen=True)
class Noise:
    """The noise of rows of one length.

    `spread` is the standard deviation, `degrees` how sure it is, `phi` the correlation of neighbours, each
    [rows]; `cumulants` is the cumulant generating function at THETAS, [rows, thetas], of
    noise in units of `unit`, the spread of the single row, with its spikes.
    """

    spread: Array
    degrees: Array
    phi: Array
    cumulants: Array
    unit: Array
    points: int

    def errors(self) -> Array:
        """Return the standard error of the mean of k points, [rows, k], from 0 on: infinite of none."""
        counts = np.arange(self.points + 1.0)
        return np.asarray(self.spread[:, None] * error_of_mean(counts, self.phi[:, None]))

    def least(self, alpha: float) -> Array:
        """Return the t statistic that is significant at `alpha`, two-sided, of each row."""
        return np.asarray(-stdtrit(self.degrees, alpha / 2))

    def p_value(self, row: int, before: Array, after: Array) -> float:
        """Return the p-value, two-sided, of the difference of the means of two stretches of a row, not corrected."""
        return self.p_of_means(row, (len(before), len(after)), (float(before.mean()), float(after.mean())))

    def p_of_means(self, row: int, counts: tuple[int, int], of_counts: tuple[float, float]) -> float:
        """Return the same of the means of so many points.

        It is Student's, or that of an exponential family through the row's noise if that is larger: noise with heavy or
        uneven tails has runs that a t statistic does not expect (R. Lugannani and S. Rice, 1980; never more than
        Chernoff's bound).
        """
        shares = error_of_mean(np.array(counts, np.float64), self.phi[row]) ** 2  # of the variance of a point
        means = np.array(of_counts)
        t = abs(means[1] - means[0]) / self.spread[row] / np.sqrt(shares.sum())
        means /= self.unit[row]
        # the level that both stretches may come from, wherever between them it makes that most likely
        levels_between = means[0] + (means[1] - means[0]) * LEVELS_BETWEEN
        centred = np.clip(means - levels_between[:, None], -FARTHEST, FARTHEST)
        rates = centred[..., None] * THETAS - self.cumulants[row]
        ratios = (np.maximum(rates.max(2), 0) / shares).sum(1)
        likeliest = int(ratios.argmin())
        log_ratio, rates = float(ratios[likeliest]), rates[likeliest]
        best = rates.argmax(1).clip(1, len(THETAS) - 2)
        curved = -np.diff(rates, 2, axis=1)[[0, 1], best - 1] / (THETAS[1] - THETAS[0]) ** 2
        root = np.sqrt(2 * log_ratio)
        tilt = np.sqrt(float((THETAS[best] ** 2 * np.maximum(curved, 0) / shares).sum()))
        bound = np.exp(-log_ratio)
        more = bound / np.sqrt(2 * np.pi) * max(0.0, 1 / tilt - 1 / root) if tilt > 0 and root > 0 else bound
        return float(2 * max(stdtr(self.degrees[row], -t), ndtr(-root) + UNEVEN * min(bound, more)))


@dataclass(frozen=True)
class Sample:
    """Rows of one length, [rows, points], with the kind of each; and of each how far its spikes are off, left out."""

    x: Array
    kind: NDArray[np.int64]
    spikes: Sequence[Array]


@dataclass(frozen=True)
class _Estimates:
    left: Array
    squares: Array  # mean squares of `left`
    shared_squares: Array  # the same with half as many changes taken off
    likelihoods: Array  # of each pair of `bench.history.wander`, logarithms
    shared_likelihoods: Array
    expected: tuple[Expected, Expected]
    unit: Array


def noise_of_rows(samples: Sequence[Sample]) -> list[Noise]:
    """Return the noise of the rows of some samples.

    Rows of one kind, such as a metric, say something of each other's noise.
    """
    estimates = [_estimates(sample) for sample in samples]
    kinds = np.concatenate([sample.kind for sample in samples])
    single, shared = (
        np.concatenate(parts)
        for parts in zip(*((one.likelihoods, one.shared_likelihoods) for one in estimates), strict=True)
    )
    for kind in np.unique(kinds):
        if (kinds == kind).sum() < MANY_ALIKE:
            shared[kinds == kind] = single[kinds == kind]
    left_out = np.concatenate(
        [np.full(len(one.left), LEFT_OUT if one.left.shape[1] >= SHORT else SHORT_LEFT_OUT) for one in estimates]
    )
    edges = np.cumsum([len(one.left) for one in estimates])[:-1]
    places = np.split(longest(single, shared, kinds, left_out), edges)
    raw = []
    for one, place in zip(estimates, places, strict=True):
        points, (every, fewer) = one.left.shape[1], one.expected
        degrees = effective_degrees(max(1, points - most_taken_off(points)), PHI_OF_PAIRS[place])
        shared_variance = one.shared_squares / fewer.share[place]
        raw.append((one.squares / every.share[place], np.maximum(FEWEST_DEGREES, degrees), shared_variance))
    variances, degrees, others = (np.concatenate(parts) for parts in zip(*raw, strict=True))
    variances, degrees = _moderated(variances, degrees, others, kinds)
    spreads = np.maximum(np.sqrt(variances), LEAST_SPREAD)
    parts = np.split(spreads, edges), np.split(degrees, edges), places, _moments_by_row(estimates, samples, kinds)
    return [
        Noise(spread, degree, PHI_OF_PAIRS[place], np.log(moment), one.unit, one.left.shape[1])
        for one, spread, degree, place, moment in zip(estimates, *parts, strict=True)
    ]


def _estimates(sample: Sample) -> _Estimates:
    left, shared = residuals(sample.x)
    points = left.shape[1]
    every, fewer = expected_of(points)
    of_spikes = _squares_of(sample.spikes, (left**2).mean(1)) / points
    squares = (left**2).mean(1) + of_spikes
    of_shared = log_likelihoods(shared, fewer)
    likelihoods = of_shared if points < SHORT else log_likelihoods(left, every)
    unit = np.maximum(np.sqrt(squares), LEAST_SPREAD)
    shared_squares = (shared**2).mean(1) + of_spikes
    return _Estimates(left, squares, shared_squares, likelihoods, of_shared, (every, fewer), unit)


def _squares_of(spikes: Sequence[Array], squares: Array) -> Array:
    """Return the sum of squares of the spikes of rows, each no farther than FARTHEST deviations of the other points."""
    most = FARTHEST * np.sqrt(squares)
    return np.array([float((np.minimum(np.abs(off), far) ** 2).sum()) for off, far in zip(spikes, most, strict=True)])


def _moderated(variances: Array, degrees: Array, others: Array, kinds: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return variances shrunk towards those of the kind, or the row's alone if surely more; and their degrees.

    `others` are the variances with fewer changes taken off, from which the prior comes. As `bench.verdicts.rule` does
    it (G. Smyth, 2004), with the trigamma function's inverse nearly 1/x + 1/2.
    """
    variances, degrees = variances.copy(), degrees.copy()
    for kind in np.unique(kinds):
        some = (kinds == kind) & (variances > LEAST_SPREAD**2)
        if some.sum() < FEWEST_ALIKE:
            continue
        logs = np.log(others[some])
        low, middle, high = np.quantile(logs, (0.25, 0.5, 0.75))
        spread = ((high - low) / 1.349) ** 2 - (2 / degrees[some]).mean()
        prior_degrees = 1 + 2 / max(float(spread), 1e-3)
        prior = np.exp(middle)
        single, sure = variances[some], degrees[some]
        shrunk = (prior_degrees * prior + sure * single) / (prior_degrees + sure)
        surely = single * np.maximum(0, 1 - STANDS_OUT * np.sqrt(2 / sure))
        variances[some] = np.maximum(shrunk, surely)
        degrees[some] += prior_degrees
    return variances, degrees


def _moments_by_row(
    estimates: Sequence[_Estimates], samples: Sequence[Sample], kinds: NDArray[np.int64]
) -> list[Array]:
    """Return the moment generating functions at THETAS, each with a part of the mean one of the row's kind."""
    mine = [_moments(one, sample.spikes) for one, sample in zip(estimates, samples, strict=True)]
    every = np.concatenate(mine)
    shared = np.empty_like(every)
    for kind in np.unique(kinds):
        shared[kinds == kind] = every[kinds == kind].mean(0)
    mixed, start = [], 0
    for one, moments in zip(estimates, mine, strict=True):
        points = one.left.shape[1]
        some = slice(start, start := start + len(moments))
        mixed.append((points * moments + SHARED_POINTS * shared[some]) / (points + SHARED_POINTS))
    return mixed


def _moments(one: _Estimates, spikes: Sequence[Array]) -> Array:
    """Return the moments of rows in their units; their spikes, though left out, may come in a row, and count."""
    unit = np.clip(one.left / one.unit[:, None], -FARTHEST, FARTHEST)
    sums = np.stack([np.exp(theta * unit).sum(1) for theta in THETAS], 1)
    counts = np.full(len(unit), float(unit.shape[1]))
    for row, off in enumerate(spikes):
        if len(off):
            far = np.clip(off / one.unit[row], -FARTHEST, FARTHEST)
            sums[row] += np.exp(THETAS[:, None] * far).sum(1)
            counts[row] += len(off)
    return np.asarray(sums / counts[:, None])
