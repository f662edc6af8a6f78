"""Statistics of samples, from lists to floats. scipy is imported inside functions: most processes need none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, comb, exp, log, sqrt
from statistics import NormalDist, fmean, median, stdev

# Up to so many samples the binomial is summed exactly; beyond, the normal approximation is within one rank of it.
EXACT_SAMPLES = 500


# the least samples of whose median there is an interval of 95 % confidence
LEAST_SAMPLES = 6


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return a distribution-free confidence interval of the median, from order statistics.

    Returns None where there are too few samples for any such interval (under LEAST_SAMPLES for 95 %). Source: David and
    Nagaraja, Order Statistics, section 7.1.
    """
    places = median_places(len(samples), confidence)
    if places is None:
        return None
    ordered = _ordered(samples)
    return ordered[places[0]], ordered[places[1]]


def median_places(n: int, confidence: float = 0.95) -> tuple[int, int] | None:
    """Return the indices, among n ordered samples, of the ends of `median_interval`; None of too few."""
    rank = _rank(n, (1 - confidence) / 2)
    return None if rank < 1 else (rank - 1, n - rank)


def _ordered(samples: Sequence[float]) -> list[float]:
    """Sort samples, ascending. Raises ValueError for NaN, which has no place in an order."""
    if any(sample != sample for sample in samples):
        raise ValueError("a sample is not a number")
    return sorted(samples)


@cache
def _rank(n: int, tail: float) -> int:
    """Return the largest r with P(Binomial(n, 1/2) < r) <= tail: the r-th smallest sample is the lower bound."""
    if n > EXACT_SAMPLES:
        return int(n / 2 + NormalDist().inv_cdf(tail) * sqrt(n) / 2)
    below, rank = 0.0, 0
    while rank < n and (below := below + comb(n, rank) / 2**n) <= tail:
        rank += 1
    return rank


@dataclass(frozen=True)
class Quantile:
    """An empirical quantile with a lower and an upper confidence bound, each of which holds by itself."""

    value: float
    lower: float
    upper: float
    samples: int


def quantile(samples: Sequence[float], p: float, confidence: float = 0.99) -> Quantile | None:
    """Return the p-quantile by nearest rank, with distribution-free confidence bounds from order statistics.

    Returns None where `samples` are too few to support it: an upper bound with this confidence would have no sample
    beyond it (at 99 %: p90 needs 64, p95 130, p99 662, p99.9 6636; the counts of MLPerf's early stopping with one query
    beyond the target).
    """
    places = quantile_places(len(samples), p, confidence)
    if places is None:
        return None
    ordered = _ordered(samples)
    value, lower, upper = (ordered[place] for place in places)
    return Quantile(value, lower, upper, len(samples))


@cache
def quantile_places(n: int, p: float, confidence: float = 0.99) -> tuple[int, int, int] | None:
    """Return the indices, among n ordered samples, of the p-quantile and its lower and upper bound; None of too few."""
    if n < samples_needed(p, confidence):
        return None
    from scipy.special import bdtr  # takes 0.3 s to import

    # the r-th smallest (from 1) is at least the quantile with probability P(Binomial(n, p) < r)
    upper = next(r for r in range(ceil(n * p), n + 1) if bdtr(r - 1, n, p) >= confidence)
    lower = next(r for r in range(ceil(n * p), -1, -1) if r == 0 or bdtr(r - 1, n, p) <= 1 - confidence)
    return ceil(n * p) - 1, max(lower, 1) - 1, upper - 1


@cache
def samples_needed(p: float, confidence: float = 0.99) -> int:
    """Return the least sample count for the p-quantile: P(at most one sample beyond it) <= 1 - confidence.

    Source: MLCommons inference policies, appendix on early stopping.
    """
    n = 2
    while p**n + n * (1 - p) * p ** (n - 1) > 1 - confidence:
        n += 1
    return n


def is_beyond(within: int, samples: int, p: float = 0.99, confidence: float = 0.99) -> bool:
    """Return whether so few of the samples are `within` a limit that the p-quantile is surely beyond it."""
    from scipy.special import bdtr

    return bool(bdtr(within, samples, p) <= 1 - confidence)


@dataclass(frozen=True)
class Interval:
    """A ratio and its 95 % confidence interval; `low` and `high` are None where samples are too few for one."""

    value: float
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval, relative to the ratio."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2 / self.value


@dataclass(frozen=True)
class Ratio(Interval):
    """A ratio over rounds: the geometric mean, with an interval from two rounds on."""

    rounds: int


def ratio(pairs: Sequence[tuple[float, float]], confidence: float = 0.95) -> Ratio:
    """Return the ratio of the first of each pair to the second; a pair is the times of two cases in the same round.

    The interval is Student's t interval of the mean of the logarithms: a process is one sample, however many executions
    it timed. (scipy.stats.ttest_1samp gives the same, but takes 1 s to import where scipy.special takes 0.3 s.)
    """
    logs = [log(numerator / denominator) for numerator, denominator in pairs]
    mean, n = fmean(logs), len(logs)
    if n < 2:
        return Ratio(exp(mean), None, None, n)
    from scipy.special import stdtrit

    half_width = float(stdtrit(n - 1, (1 + confidence) / 2)) * stdev(logs) / sqrt(n)
    return Ratio(exp(mean), exp(mean - half_width), exp(mean + half_width), n)


# A sweep that tests after each round and stops at the first narrow interval often stops at one narrow by chance: of
# nominal 95 % intervals 90 % then cover. With these limits at least 93.5 % did (40,000 simulated sweeps at each of
# eight levels of noise, 2026-11; tests/bench/test_stats.py simulates fewer).
LEAST_ROUNDS = 8
IN_A_ROW = 3


def is_precise(pairs: Sequence[tuple[float, float]], threshold: float) -> bool:
    """Return whether the relative half-width of a ratio's 95 % interval is at most `threshold`.

    It must be so after each of the last IN_A_ROW rounds, and there must be LEAST_ROUNDS.
    """
    if len(pairs) < LEAST_ROUNDS:
        return False
    widths = (ratio(pairs[: len(pairs) - back]).half_width for back in range(IN_A_ROW))
    return all(width is not None and width <= threshold for width in widths)


def noise(samples: Sequence[float]) -> float | None:
    """Return half the width of the median's 95 % interval, relative to the median; None for too few samples."""
    interval = median_interval(samples)
    if interval is None:
        return None
    return (interval[1] - interval[0]) / 2 / median(samples)


def share_interval(count: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided confidence interval of a share, from `count` of `total`: Clopper and Pearson's, exact."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    return low, float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0


def paired_interval(lost: float, gained: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of (lost - gained) / total, of `total` pairs that differ in one way or the other.

    It is Tango's score interval, which has a width where no pair differs, too. Source: Tango (1998), Statistics in
    Medicine 17, 891.
    """
    estimate, z = (lost - gained) / total, NormalDist().inv_cdf((1 + confidence) / 2)

    def is_within(difference: float) -> bool:
        a, b = 2 * total, (2 * total - lost + gained) * difference - lost - gained
        c = -gained * difference * (1 - difference)
        least = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)  # the likeliest share of `gained` at the difference
        variance = total * (2 * least + difference * (1 - difference))
        return (total * (estimate - difference)) ** 2 <= z * z * max(0.0, variance)

    def bound(outside: float) -> float:
        inside = estimate
        for _ in range(50):  # halves the distance until floats end
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_within(middle) else (inside, middle)
        return inside

    return bound(-1.0), bound(1.0)


def loss_interval(lost: float, gained: float | None, total: float) -> tuple[float, float]:
    """Return the 95 % interval of the share lost, net of what is gained: None where nothing can be."""
    return share_interval(lost, total) if gained is None else paired_interval(lost, gained, total)


GROWTH, MOST_STEPS = 1.1, 60  # up to 300 times as many pictures: what takes more is as close as makes no difference


def pictures_to_tell(lost: float, gained: float | None, total: int, limit: float) -> int | None:
    """Return about how many pictures would tell a loss from a limit, if they differ as often as these `total`."""
    for step in range(1, MOST_STEPS):
        times = GROWTH**step
        low, high = loss_interval(lost * times, None if gained is None else gained * times, total * times)
        if high <= limit or low > limit:
            return ceil(total * times / 100) * 100
    return None
