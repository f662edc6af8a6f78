"""A simulated machine: a clock in seconds, a speed that changes as it goes, and processes that run on it one by one.

Nothing here draws "a round's noise". A schedule says when each process starts; the machine has a slowness at each
moment, each case has a state of its own that goes on beside it, and a process that starts then meets both. What two
sittings or two sides that take turns have in common follows from when they ran.

Slowness is a natural logarithm throughout: 0.01 is one per cent more time. Only numpy is used, and nothing of `bench`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SLOT = 20.0
"""Seconds between the starts of two processes."""
PAUSE = 1800.0
"""Seconds between the two sittings of an `apart` schedule."""


@dataclass(frozen=True)
class Part:
    """One source of slowness.

    `kind` is `wander` (an Ornstein-Uhlenbeck process of standard deviation `size` whose correlation over one pass is
    `rho`), `states` (a two-state Markov chain: slower by `size` in one of them, which it leaves after `dwell` passes on
    average), `slope` (slower by `size` from the
    beginning to the end of the whole schedule), `step` (slower by `size`
    from the middle of the schedule on), or `jolt` (slower by `size` for one round of one side). `of` is `machine`,
    where all cases meet the same, or `case`, where each has its own.
    """

    kind: str
    size: float
    of: str = "machine"
    rho: float = 0.0
    dwell: float = 3.0


@dataclass(frozen=True)
class Shape:
    """What a process meets: how processes differ (`law`, `noise`), and what the machine and the cases do meanwhile.

    `law` is `normal`, `t3` (Student's, 3 degrees of freedom, scaled to the standard deviation `noise`), `outliers`
    (normal, and one process in 20 slower by 8 times the noise on average), `modes` (one in five slower by 2.4 times it)
    or `rare` (normal, and one process in ten slower by 20 %). `head` multiplies the noise of the second side.
    `throttled` is the share of each throughput window in which the machine throttled, on the second side alone.
    """

    name: str
    law: str = "normal"
    noise: float = 0.01
    parts: tuple[Part, ...] = ()
    head: float = 1.0
    throttled: float = 0.0
    marked: bool = True
    about: str = field(default="", compare=False)


def levels(rng: Generator, law: str, noise: float, size: tuple[int, ...]) -> Floats:
    """Return how slow each of `size` processes is by itself, by the law of a `Shape`, in units of log time."""
    normal = noise * rng.standard_normal(size)
    if law == "normal":
        return normal
    if law == "t3":
        return noise * rng.standard_t(3, size) / np.sqrt(3.0)
    if law == "outliers":
        return normal + np.where(rng.random(size) < 0.05, rng.exponential(8 * noise, size), 0.0)
    if law == "modes":
        return 0.25 * normal + np.where(rng.random(size) < 0.2, 2.4 * noise, 0.0)
    if law == "rare":
        return normal + np.where(rng.random(size) < 0.1, np.log(1.2), 0.0)
    raise ValueError(f"no such law: {law}")


def wander(rng: Generator, times: Floats, tau: float) -> Floats:
    """Return an Ornstein-Uhlenbeck process of unit variance at `times` (rising along the last axis), correlation time
    `tau` seconds: exact at any spacing, since what follows depends on the last value alone.
    """
    keep = np.exp(-np.diff(times, axis=-1) / tau)
    fresh = rng.standard_normal(times.shape)
    value = np.empty(times.shape)
    value[..., 0] = fresh[..., 0]
    for i in range(1, times.shape[-1]):
        k = keep[..., i - 1]
        value[..., i] = k * value[..., i - 1] + np.sqrt(1 - k * k) * fresh[..., i]
    return value


def states(rng: Generator, times: Floats, dwell_s: float) -> Floats:
    """Return 0.0 or 1.0 at `times` (rising along the last axis): a Markov chain that leaves each state at a rate of one
    in `dwell_s` seconds.
    """
    other = 0.5 * (1 - np.exp(-2 * np.diff(times, axis=-1) / dwell_s))
    flips = rng.random(other.shape) < other
    first = rng.random((*times.shape[:-1], 1)) < 0.5
    return np.asarray(np.logical_xor.accumulate(np.concatenate([first, flips], axis=-1), axis=-1), np.float64)


def schedule(rng: Generator, design: str, rounds: int, cases: int, sides: int = 2) -> Floats:
    """Return when each process starts, in seconds, of shape [side, round, case].

    `apart`: all rounds of one side, a pause, all of the next. `turns`: within a round the sides of a case follow each
    other at once, which of them first drawn anew each time. A round takes the cases in an order drawn for it.
    """
    starts = np.empty((sides, rounds, cases))
    at = 0.0
    if design == "apart":
        for side in range(sides):
            for one in range(rounds):
                starts[side, one, rng.permutation(cases)] = at + SLOT * np.arange(cases)
                at += SLOT * cases
            at += PAUSE
        return starts
    if design != "turns":
        raise ValueError(f"no such design: {design}")
    for one in range(rounds):
        for case in rng.permutation(cases):
            for side in rng.permutation(sides):
                starts[side, one, case] = at
                at += SLOT
    return starts


def met(rng: Generator, part: Part, starts: Floats, pass_s: float) -> Floats:
    """Return what each process meets of one source, by its start, in the shape of `starts`; `pass_s` is the time that
    all cases once take in one sitting of an `apart` schedule.
    """
    if part.kind in ("wander", "states"):
        cases = starts.shape[-1]
        flat = starts.reshape(-1, cases).T if part.of == "case" else starts.reshape(1, -1)
        order = np.argsort(flat, axis=-1)
        rising = np.take_along_axis(flat, order, axis=-1)
        if part.kind == "wander":
            course = part.size * wander(rng, rising, -pass_s / np.log(part.rho))
        else:
            course = part.size * states(rng, rising, part.dwell * pass_s)
        value = np.empty_like(course)
        np.put_along_axis(value, order, course, axis=-1)
        return value.T.reshape(starts.shape) if part.of == "case" else value.reshape(starts.shape)
    if part.kind == "slope":
        return part.size * (starts - starts.min()) / max(float(np.ptp(starts)), 1.0)
    if part.kind == "step":
        return np.where(starts > (starts.min() + starts.max()) / 2, part.size, 0.0)
    if part.kind == "jolt":
        side, one = rng.integers(starts.shape[0]), rng.integers(starts.shape[1])
        within = starts[side, one]
        return np.where((starts >= within.min()) & (starts <= within.max()), part.size, 0.0)
    raise ValueError(f"no such part: {part.kind}")


@dataclass(frozen=True)
class Sweep:
    """What one simulated sweep left: starts in seconds, and slowness by metric (0 latency, 1 throughput).

    `starts` is of shape [side, round, case], `slow` of shape [metric, side, round, case].
    """

    starts: Floats
    slow: Floats


def sweep(rng: Generator, shape: Shape, design: str, rounds: int, cases: int) -> Sweep:
    """Run a sweep of two sides on the simulated machine. A process's two metrics meet the same machine and the same
    state of their case; how processes differ is drawn for each metric.
    """
    starts = schedule(rng, design, rounds, cases)
    met_by_all = sum((met(rng, part, starts, SLOT * cases) for part in shape.parts), np.zeros(starts.shape))
    slow = levels(rng, shape.law, shape.noise, (2, *starts.shape))
    slow[:, 1] *= shape.head
    return Sweep(starts, slow + met_by_all)


def correlated(rng: Generator, rho: float, size: tuple[int, ...]) -> Floats:
    """Return AR(1) series of unit variance along the last axis, correlation `rho` from one sample to the next."""
    if rho == 0:
        return rng.standard_normal(size)
    return wander(rng, np.broadcast_to(np.arange(float(size[-1])), size), -1 / np.log(rho))
