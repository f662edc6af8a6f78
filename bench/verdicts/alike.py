"""The movement that all cases share: in one round of a side, and from base to head.

A machine slows all cases of a round, or of a sitting; a commit seldom does. So what all cases share is taken off before
each is judged, with its error added. It says nothing about one case, and a sentence tells it once. All arrays are
logarithms, [..., tests, rounds], as in `bench.verdicts.rule`; the tests are the cases of one metric.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from bench.verdicts.rule import Array, Estimate, estimate
from bench.verdicts.serial import MIN_CASES, Mask, mean_over_rounds, median_over

MAJORITY = 0.75  # the least share of cases that must have moved alike
OUTSIDE = 0.01  # the share of cases of which no more than noise is outside the interval that says alike
# A round is disturbed if what its cases did alike is so many times what they do in other rounds, and in noise alone.
OF_ROUNDS, OF_NOISE = 5.0, 2.0
DISTURBED = 0.25  # the largest share of a side's rounds that may be; more are no exceptions
NORMAL = 1.4826  # standard deviation over median absolute deviation
STANDS_OUT = 3.0  # standard errors


@dataclass(frozen=True)
class Movement:
    """The change from base to head that most cases share, [...]: its size, its standard error, the cases' share.

    `taken_off` is true where it is, which it is apart alone: in turns the machine is the same on both sides.
    """

    size: Array
    error: Array
    share: Array
    taken_off: bool

    @property
    def stands_out(self) -> Array:
        """1 where most cases moved alike, and by more than chance; else 0."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.share >= MAJORITY) & (np.abs(self.size) > STANDS_OUT * self.error), np.float64)


@dataclass(frozen=True)
class Effects:
    """The effects of a metric, and what was alike; `disturbance` is what was taken off base and head, [..., rounds]."""

    estimate: Estimate
    movement: Movement
    disturbance: tuple[Array, Array]
    base: Array
    head: Array


def effects(base: Array, head: Array, paired: bool) -> Effects:
    """Estimate the effect of each test without disturbed rounds and, apart, without what all cases share."""
    base, head, disturbance, square = _undisturbed(base, head, paired)
    if paired:
        estimates = estimate(base, head, True)
        movement = replace(_movement(estimates), taken_off=False)
    else:
        estimates = estimate(levelled(base), levelled(head), False, in_order=True)
        movement = _movement(estimates)
        alike = movement.share >= MAJORITY
        if not alike.all():  # what rounds share is noise there, like any other
            estimates = _either(alike, estimates, estimate(base, head, False, in_order=True))
        size, error = (np.where(alike, value, 0.0)[..., None] for value in (movement.size, movement.error))
        square = square + error**2
        estimates = replace(estimates, common=size)
    varies = estimates.error > 0
    error = np.where(varies, np.sqrt(estimates.error**2 + np.where(varies, square, 0.0)), estimates.error)
    return Effects(replace(estimates, error=error), movement, disturbance, base, head)


def unmoved(base: Array, head: Array, paired: bool) -> Effects:
    """Estimate the effect of each test where no machine moves all cases, as of memory: nothing is taken off."""
    estimates, nothing = estimate(base, head, paired), np.zeros(base.shape[:-2])
    off = np.zeros((*base.shape[:-2], base.shape[-1]))
    return Effects(estimates, Movement(nothing, nothing, nothing, False), (off, off), base, head)


def _either(chosen: Mask, first: Estimate, second: Estimate) -> Estimate:
    """Return the first estimate of the tests, [...], that are `chosen`, and the second of the others."""
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in vars(first)}
    return Estimate(**{name: np.where(chosen[..., None], *pair) for name, pair in pairs.items()})


def _movement(estimates: Estimate) -> Movement:
    """Return what most cases share: the mean of those within their noise of it, from the median on."""
    counts = np.isfinite(estimates.effect) & (estimates.error > 0)
    number = counts.sum(-1)
    if counts.shape[-1] < MIN_CASES:
        nothing = np.zeros(number.shape)
        return Movement(nothing, nothing, nothing, True)
    effect = np.where(counts, estimates.effect, np.nan)
    reach = stdtrit(estimates.df, 1 - OUTSIDE / 2) * estimates.error
    centre = np.nan_to_num(median_over(effect, -1))
    for _ in range(5):
        alike = counts & (np.abs(effect - centre) <= reach)
        size = alike.sum(-1, keepdims=True)
        centre = np.where(alike, effect, 0.0).sum(-1, keepdims=True) / np.maximum(size, 1)
    squares = np.where(alike, (effect - centre) ** 2, 0.0).sum(-1)
    few = size[..., 0] < 2
    error = np.sqrt(squares / np.maximum(size[..., 0] - 1, 1) / np.maximum(size[..., 0], 1))
    share = np.where(few | (number < MIN_CASES), 0.0, alike.sum(-1) / np.maximum(number, 1))
    return Movement(centre[..., 0], error, share, True)


def levelled(values: Array) -> Array:
    """Return a side's rounds without what all cases did alike in each, relative to their mean over the rounds."""
    if values.shape[-2] < MIN_CASES:
        return values
    alike = median_over(values - mean_over_rounds(values), -2)
    alike = np.where(np.isfinite(alike), alike, 0.0) - mean_over_rounds(alike)
    return np.asarray(values - alike, np.float64)


def _undisturbed(base: Array, head: Array, paired: bool) -> tuple[Array, Array, tuple[Array, Array], Array]:
    """Return both sides without what disturbed single rounds, what that was, and the square of its error, [..., 1].

    Of sides in turns the differences count, as what disturbs a round of both is gone in these.
    """
    off: tuple[Array, Array]
    if not paired:
        (first, first_square), (second, second_square) = _disturbance(base), _disturbance(head)
        off, square = (first, second), first_square + second_square
    else:
        change, square = _disturbance(head - base)
        levels = [np.abs(np.nan_to_num(_alike(side)[..., 0, :])) for side in (base, head)]
        of_base = levels[0] > levels[1]
        off = np.where(of_base, -change, 0.0), np.where(of_base, 0.0, change)
    return base - off[0][..., None, :], head - off[1][..., None, :], off, square


def _alike(values: Array) -> Array:
    """Return what the tests of a round did alike, [..., 1, rounds]: the median of the deviations from their medians."""
    return median_over(values - median_over(values, -1), -2)


def _disturbance(values: Array) -> tuple[Array, Array]:
    """Return what disturbed the rounds of a side, [..., rounds], 0 for most, and its share of a mean's variance."""
    nothing = np.zeros((*values.shape[:-2], values.shape[-1]))
    if values.shape[-2] < MIN_CASES or values.shape[-1] < 3:
        return nothing, nothing[..., :1]
    deviations = values - median_over(values, -1)
    alike = median_over(deviations, -2)
    noise = NORMAL * median_over(np.abs(deviations - alike), -2)
    apart = np.abs(alike - median_over(alike, -1))
    spread = NORMAL * median_over(apart, -1)
    with np.errstate(invalid="ignore"):
        near = (np.abs(deviations - alike) < np.abs(alike) / 2).sum(-2, keepdims=True)
        most = near >= MAJORITY * np.isfinite(deviations).sum(-2, keepdims=True)
        out = (most & (apart > np.maximum(OF_ROUNDS * spread, OF_NOISE * noise)))[..., 0, :]
    rounds = np.isfinite(alike[..., 0, :]).sum(-1, keepdims=True)
    out &= out.sum(-1, keepdims=True) <= DISTURBED * rounds
    count = np.maximum(np.isfinite(deviations).sum(-2), 1)
    square = np.where(out, np.pi / 2 * noise[..., 0, :] ** 2 / count, 0.0).sum(-1, keepdims=True) / rounds**2
    return np.where(out, alike[..., 0, :], 0.0), square
