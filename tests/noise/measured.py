"""A count beside what was claimed, and folders that last as long as a sweep."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.stats import beta, binom


@dataclass(frozen=True)
class Measured:
    """`hits` of `trials`, beside a bound on the true rate: `most` it may be, or `least`; neither where it is only told.

    It holds unless the bound is outside the 95 % interval of Clopper and Pearson, on the wrong side.
    """

    claim: str
    shape: str
    hits: int
    trials: int
    most: float | None = None
    least: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the rate."""
        low = 0.0 if self.hits == 0 else float(beta.ppf(0.025, self.hits, self.trials - self.hits + 1))
        high = 1.0 if self.hits == self.trials else float(beta.ppf(0.975, self.hits + 1, self.trials - self.hits))
        return low, high

    @property
    def holds(self) -> bool | None:
        """Whether the bound may be true; None without one."""
        low, high = self.interval
        if self.most is not None:
            return low <= self.most
        return None if self.least is None else high >= self.least

    @property
    def row(self) -> str:
        """Its line of the table, claim and bound first."""
        low, high = self.interval
        bound = (
            f" <= {self.most:.0%}" if self.most is not None else "" if self.least is None else f" >= {self.least:.0%}"
        )
        rate = self.hits / self.trials if self.trials else float("nan")
        word = {True: "yes", False: "NO", None: "(told)"}[self.holds]
        measured = f"{100 * rate:5.1f} % ({100 * low:.1f} to {100 * high:.1f}), {self.hits} of {self.trials}"
        return f"{self.claim + bound:<66} | {self.shape:<20} | {measured:<36} | {word}"


def bears(measured: Measured, chance: float = 1e-4) -> bool:
    """Return whether the count is one that comes oftener than by `chance` where the bound is the true rate."""
    if measured.most is not None:
        return bool(measured.hits <= binom.isf(chance, measured.trials, measured.most))
    return measured.least is None or bool(measured.hits >= binom.ppf(chance, measured.trials, measured.least))


class Lab:
    """A place for folders of sweeps, and seeded chance for each check by its name."""

    def __init__(self, place: Path, seed: int = 1) -> None:
        self.place = place
        self.seed = seed
        self._next = count()

    def chance(self, *names: object) -> Generator:
        """Return a generator of random numbers that depends on the seed and these names alone."""
        return np.random.default_rng([self.seed, zlib.crc32(repr(names).encode())])

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a folder that no sweep had before, and remove it: nothing kept of an earlier one can be read."""
        path = self.place / f"sweep{next(self._next)}"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path)
