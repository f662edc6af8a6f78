"""The noise that simulated sweeps have: what a machine does to processes on identical code.

A drawing is of base and of head, [sweeps, metrics, cases, rounds] each, as logarithms. The unit is the noise: the
standard deviation between the processes of a case that nothing ties to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from bench.verdicts.rule import Array

Size = tuple[int, int, int, int]  # sweeps, metrics, cases, rounds
Draw = Callable[[np.random.Generator, Size, bool], tuple[Array, Array]]
Series = Callable[[np.random.Generator, tuple[int, ...], float], Array]

SITTING = 1.5  # by how much the machine is another in the other sitting: 1.5 % at a noise of 1 %
DRIFT = 4.0  # by how much it slows over each sitting
STATES = 3.0  # between the two states of a clock
STAY = 0.9  # the chance that it is in the same state one round later
DISTURBED = 30.0  # by how much all processes of one round are slower: 30 % at a noise of 1 %


def _identical(draw_side: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Draw:
    """Return a drawing of both sides from one distribution, independent, so that taking turns changes nothing."""
    return lambda rng, size, paired: (draw_side(rng, size), draw_side(rng, size))


def _normal(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    return rng.standard_normal(size)


def _bimodal(share: float) -> Draw:
    def draw_side(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
        distance = sqrt(0.91 / (share * (1 - share)))  # with a deviation of 0.3 within a mode, a variance of 1 in all
        return 0.3 * rng.standard_normal(size) + distance * (rng.random(size) < share)

    return _identical(draw_side)


def _outliers(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    return rng.standard_normal(size) + 10 * np.abs(rng.standard_normal(size)) * (rng.random(size) < 0.05)


def _unequal(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
    deviation = np.exp(0.8 * rng.standard_normal((*size[:-1], 1)))
    return deviation * rng.standard_normal(size), deviation * rng.standard_normal(size)


def _noisier(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
    return rng.standard_normal(size), 2 * rng.standard_normal(size)


def _drift(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
    base, head = rng.standard_normal(size), rng.standard_normal(size)
    trend = np.linspace(0, DRIFT, size[-1])
    return base + trend, head + trend + (0 if paired else DRIFT)


def _sitting(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
    base, head = rng.standard_normal(size), rng.standard_normal(size)
    return base, head if paired else head + SITTING


def _disturbed(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
    base, head = rng.standard_normal(size), rng.standard_normal(size)
    places = rng.integers(size[-1], size=(size[0], 1, 1, 1))
    return base, head + DISTURBED * (np.arange(size[-1]) == places)


def _follows(rng: np.random.Generator, size: tuple[int, ...], correlation: float) -> Array:
    """Return an autoregressive series of first order along the last axis, of variance 1."""
    series = rng.standard_normal(size)
    for place in range(1, size[-1]):
        series[..., place] *= sqrt(1 - correlation**2)
        series[..., place] += correlation * series[..., place - 1]
    return series


def _states(rng: np.random.Generator, size: tuple[int, ...], correlation: float) -> Array:
    """Return a series of two states, each as likely, along the last axis."""
    changes = rng.random(size) < (1 - correlation) / 2
    changes[..., 0] = rng.random(size[:-1]) < 0.5
    return np.asarray(STATES * (np.cumsum(changes, -1) % 2 - 0.5), np.float64)


def _over_time(series: Series, correlation: float, *, machine: bool = False, alone: float = 0.0) -> Draw:
    """Return a drawing whose noise hangs together in time: of each case, or of the machine and so of all cases.

    `correlation` is that of a round with the next, `alone` the noise of each process beside it. Apart, head's rounds
    come after base's. In turns the processes of a round are half a round from each other, and either is the first.
    """

    def draw(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
        sweeps, metrics, cases, rounds = size
        shape = (sweeps, 1, 1, 2 * rounds) if machine else (sweeps, metrics, cases, 2 * rounds)
        values = series(rng, shape, sqrt(correlation) if paired else correlation)
        base, head = values[..., :rounds], values[..., rounds:]
        if paired:
            is_first = rng.random((*shape[:-1], rounds)) < 0.5
            first, second = values[..., 0::2], values[..., 1::2]
            base, head = np.where(is_first, first, second), np.where(is_first, second, first)
        return base + alone * rng.standard_normal(size), head + alone * rng.standard_normal(size)

    return draw


# The meaning of each shape and its drawing.
SHAPES: dict[str, tuple[str, Draw]] = {
    "normal": ("normal", _identical(_normal)),
    "heavy": ("Student's t, 3 degrees of freedom", _identical(lambda rng, size: rng.standard_t(3, size) / sqrt(3))),
    "outliers": ("normal, and one process in 20 much slower: by 8 times the noise on average", _identical(_outliers)),
    "slow": ("two modes: one process in five is slower by 2.4 times the noise", _bimodal(0.2)),
    "halves": ("two modes: every other process is slower by 1.9 times the noise", _bimodal(0.5)),
    "unequal": ("normal, cases between a fifth and five times the noise", _unequal),
    "noisier": ("normal, head twice as noisy as base", _noisier),
    "disturbed": ("normal, and one round of head slower by 30 times the noise in all cases", _disturbed),
    "sitting": ("normal, and a machine that is slower by 1.5 times the noise in the second sitting", _sitting),
    "drift": ("normal, and a machine that slows by 4 times the noise over each sitting", _drift),
    "machine-ar": (
        "normal, and a machine whose rounds are correlated by 0.7",
        _over_time(_follows, 0.7, machine=True, alone=1),
    ),
    "machine-states": (
        "normal, and a machine of two states, 3 times the noise apart, that stays in nine rounds of ten",
        _over_time(_states, 2 * STAY - 1, machine=True, alone=1),
    ),
    "ar-0.3": ("a case's neighbouring rounds are correlated by 0.3", _over_time(_follows, 0.3)),
    "ar-0.7": ("a case's neighbouring rounds are correlated by 0.7", _over_time(_follows, 0.7)),
    "ar-mixed": ("as ar-0.7, and normal noise as large beside it", _over_time(_follows, 0.7, alone=1)),
    "states": (
        "normal, and a case of two states, 3 times the noise apart, that stays in nine rounds of ten",
        _over_time(_states, 2 * STAY - 1, alone=1),
    ),
}  # fmt: skip
