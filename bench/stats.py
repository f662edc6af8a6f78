"""Numbers from samples: lists in, floats out. Both parent and child use it, so scipy is imported where it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, comb, exp, log, sqrt
from statistics import NormalDist, fmean, median, stdev

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
    ordered = _ordered(samples)
    return ordered[rank - 1], ordered[n - rank]


def _ordered(samples: Sequence[float]) -> list[float]:
    """Ascending. Raises ValueError for what is no number, which would sort anywhere."""
    if any(sample != sample for sample in samples):
        raise ValueError("a sample is not a number")
    return sorted(samples)


@cache
def _rank(n: int, tail: float) -> int:
    """The largest r with P(Binomial(n, 1/2) < r) <= tail: the r-th smallest sample is the lower bound."""
    if n > EXACT:
        return int(n / 2 + NormalDist().inv_cdf(tail) * sqrt(n) / 2)
    below, rank = 0.0, 0
    while rank < n and (below := below + comb(n, rank) / 2**n) <= tail:
        rank += 1
    return rank


@dataclass(frozen=True)
class Quantile:
    """An empirical quantile, and bounds that hold with the confidence asked, each by itself."""

    value: float
    lower: float
    upper: float
    samples: int


def quantile(samples: Sequence[float], p: float, confidence: float = 0.99) -> Quantile | None:
    """The p-quantile by nearest rank, with distribution-free bounds from order statistics.

    None where `samples` are too few to support it: an upper bound with this confidence would have no sample beyond it
    (at 99 %: p90 needs 64, p95 130, p99 662, p99.9 6636; the counts of MLPerf's early stopping with one query over).
    """
    n = len(samples)
    if n < samples_needed(p, confidence):
        return None
    from scipy.special import bdtr  # half a second to import, for those who want quantiles

    ordered = _ordered(samples)
    # the r-th smallest (from 1) is at least the quantile with probability P(Binomial(n, p) < r)
    upper = next(r for r in range(ceil(n * p), n + 1) if bdtr(r - 1, n, p) >= confidence)
    lower = next(r for r in range(ceil(n * p), -1, -1) if r == 0 or bdtr(r - 1, n, p) <= 1 - confidence)
    return Quantile(ordered[ceil(n * p) - 1], ordered[max(lower, 1) - 1], ordered[upper - 1], n)


@cache
def samples_needed(p: float, confidence: float = 0.99) -> int:
    """The least count that supports the p-quantile: at most one sample beyond it, with probability 1 - confidence.

    Source: MLCommons inference policies, appendix on early stopping.
    """
    n = 2
    while p**n + n * (1 - p) * p ** (n - 1) > 1 - confidence:
        n += 1
    return n


@dataclass(frozen=True)
class Ratio:
    """A ratio over rounds: the geometric mean, and its 95 % interval where there are rounds enough for one."""

    value: float
    low: float | None
    high: float | None
    rounds: int

    @property
    def half_width(self) -> float | None:
        """Of the interval, relative."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2 / self.value


def ratio(pairs: Sequence[tuple[float, float]], confidence: float = 0.95) -> Ratio:
    """The ratio of the first of each pair to the second; a pair is what two cases left in the same round.

    Student's interval of the mean of the logarithms: a process is one sample, whatever number of executions it timed.
    """
    logs = [log(one / two) for one, two in pairs]
    middle, n = fmean(logs), len(logs)
    if n < 2:
        return Ratio(exp(middle), None, None, n)
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * stdev(logs) / sqrt(n)
    return Ratio(exp(middle), exp(middle - half), exp(middle + half), n)


# Looking after each round, and stopping as soon as the interval is narrow, stops too often where it is narrow by luck:
# of nominal 95 %, 90 % then cover. With these at least 93.5 % did (40,000 simulated sweeps at each of eight levels of
# noise, 2026-11; tests/bench/test_stats.py does it with fewer).
LEAST_ROUNDS = 8
IN_A_ROW = 3


def settled(pairs: Sequence[tuple[float, float]], asked: float) -> bool:
    """Whether a ratio is known to within `asked`: half the width of its 95 % interval, relative.

    It must have been after each of the last IN_A_ROW rounds, and of at least LEAST_ROUNDS.
    """
    if len(pairs) < LEAST_ROUNDS:
        return False
    widths = (ratio(pairs[: len(pairs) - back]).half_width for back in range(IN_A_ROW))
    return all(width is not None and width <= asked for width in widths)


def noise(samples: Sequence[float]) -> float | None:
    """Half the width of the median's 95 % interval, relative to the median; None with too few samples."""
    interval = median_interval(samples)
    if interval is None:
        return None
    return (interval[1] - interval[0]) / 2 / median(samples)
