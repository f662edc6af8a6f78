"""Numbers from samples: lists in, floats out. Standard library only, as both parent and child use it."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from statistics import NormalDist, median

# up to here the binomial is summed exactly; beyond, the normal approximation is within one rank of it
EXACT = 500


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """A distribution-free confidence interval of the median, from order statistics.

    None where there are too few samples for any such interval (under 6 for 95 %). Source: David and Nagaraja, Order
    Statistics, section 7.1.
    """
    n = len(samples)
    rank = _rank(n, (1 - confidence) / 2)
    if rank < 1:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[n - rank]


def _rank(n: int, tail: float) -> int:
    """The largest r with P(Binomial(n, 1/2) < r) <= tail: the r-th smallest sample is the lower bound."""
    if n > EXACT:
        return int(n / 2 + NormalDist().inv_cdf(tail) * sqrt(n) / 2)
    below, rank = 0.0, 0
    while rank < n and (below := below + comb(n, rank) / 2**n) <= tail:
        rank += 1
    return rank


def noise(samples: Sequence[float]) -> float | None:
    """Half the width of the median's 95 % interval, relative to the median; None with too few samples."""
    interval = median_interval(samples)
    if interval is None:
        return None
    return (interval[1] - interval[0]) / 2 / median(samples)
