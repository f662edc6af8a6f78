"""Statistics of samples, from lists to floats. scipy is imported inside functions: most processes need none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, comb, exp, log, sqrt
from statistics import NormalDist, fmean, median, stdev

from bench.dependence import independent_beyond, independent_of_median

# Up to so many samples the binomial is summed exactly; beyond, the normal approximation is within one rank of it.
EXACT_SAMPLES = 500


# the least samples of whose median there is an interval of 95 % confidence
LEAST_SAMPLES = 6


def median_interval(
    samples: Sequence[float], confidence: float = 0.95, ordered: Sequence[float] | None = None
) -> tuple[float, float] | None:
    """Return a distribution-free confidence interval of the median of samples in the order taken, by order statistics.

    Samples of one process follow each other: it is as wide as that of so many independent samples as they count for,
    and the whole range where these are too few for an interval. Returns None where there are too few samples for any
    (under LEAST_SAMPLES for 95 %). `ordered` are the same, ascending, where one has them. Source: David and Nagaraja,
    Order Statistics, section 7.1.
    """
    n, ordered = len(samples), _ordered(samples) if ordered is None else ordered
    if n < 2 or median_places(n, confidence) is None:
        return None
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    low, high = median_places(n, confidence, independent_of_median(samples, middle)) or (0, n - 1)
    return ordered[low], ordered[high]


def median_places(n: int, confidence: float = 0.95, independent: int | None = None) -> tuple[int, int] | None:
    """Return the indices, among n ordered samples, of the ends of `median_interval`; None of too few.

    `independent` is how many independent samples they count as; None: all.
    """
    rank = _rank(n, (1 - confidence) / 2)
    if independent is not None and independent < n and rank >= 1:
        rank = 1 + max(0, _rank(independent, (1 - confidence) / 2) - 1) * n // independent
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
    """A quantile of the samples of some processes, with a lower and an upper bound, each of which holds by itself.

    The bounds are of these processes: of all that they would give in these shares. `independent` is as how many
    independent samples theirs count.
    """

    value: float
    lower: float
    upper: float
    samples: int
    independent: int


def quantile(
    samples: Sequence[float], p: float, confidence: float = 0.99, ordered: Sequence[float] | None = None
) -> Quantile | None:
    """Return the p-quantile of one process, whose samples are in the order taken, as `quantile_of_processes` does."""
    return quantile_of_processes([samples], p, confidence, ordered)


def quantile_of_processes(
    processes: Sequence[Sequence[float]],
    p: float,
    confidence: float = 0.99,
    ordered: Sequence[float] | None = None,
) -> Quantile | None:
    """Return the p-quantile of the samples of some processes by nearest rank, with bounds from order statistics.

    The processes may differ: how many samples are beyond a number then varies less than among samples of one kind
    (Hoeffding 1956). Samples that follow each other count as fewer. Returns None where the samples count as too few to
    support it: an upper bound with this confidence would have no sample beyond it (at 99 %: p90 needs 64, p95 130,
    p99 662, p99.9 6636; the counts of MLPerf's early stopping with one query beyond the target). `ordered` are all
    samples, ascending, where one has them.
    """
    n = sum(map(len, processes))
    if n < samples_needed(p, confidence):
        return None
    if ordered is None:
        ordered = _ordered([sample for samples in processes for sample in samples])
    independent = independent_beyond(processes, ordered[ceil(n * p) - 1], ordered)
    places = quantile_places(n, p, confidence, independent)
    if places is None:
        return None
    value, lower, upper = (ordered[place] for place in places)
    return Quantile(value, lower, upper, n, independent)


@cache
def quantile_places(
    n: int, p: float, confidence: float = 0.99, independent: int | None = None
) -> tuple[int, int, int] | None:
    """Return the indices, among n ordered samples, of the p-quantile and its lower and upper bound; None of too few.

    `independent` is how many independent samples they count as; None: all.
    """
    count = n if independent is None else independent
    if count < samples_needed(p, confidence):
        return None
    from scipy.special import bdtr  # takes 0.3 s to import

    # the r-th smallest (from 1) is at least the quantile with probability P(Binomial(n, p) < r)
    upper = next(r for r in range(ceil(count * p), count + 1) if bdtr(r - 1, count, p) >= confidence)
    lower = next(r for r in range(ceil(count * p), -1, -1) if r == 0 or bdtr(r - 1, count, p) <= 1 - confidence)
    return ceil(n * p) - 1, (max(lower, 1) - 1) * n // count, ceil(upper * n / count) - 1


LEAST_PROCESSES = 3  # two that are alike by chance say nothing of another
LEAST_OF_EACH = 100  # samples of each: of fewer the p99 by nearest rank is the largest


def bound_of_another(processes: Sequence[Sequence[float]], p: float = 0.99, confidence: float = 0.99) -> float | None:
    """Return an upper bound of the p-quantile that another process has, with this confidence if such are log-normal.

    It is Student's prediction bound from the quantile of each of these, and no less than the bound of these. None of
    under LEAST_PROCESSES, or where one has under LEAST_OF_EACH samples.
    """
    these = quantile_of_processes(processes, p, confidence)
    n = len(processes)
    if these is None or n < LEAST_PROCESSES or min(map(len, processes)) < LEAST_OF_EACH:
        return None
    import numpy as np
    from scipy.special import stdtrit

    places = [ceil(len(samples) * p) - 1 for samples in processes]
    logs = [log(np.partition(samples, place)[place]) for samples, place in zip(processes, places, strict=True)]
    bound = exp(fmean(logs) + float(stdtrit(n - 1, confidence)) * stdev(logs) * sqrt(1 + 1 / n))
    return max(float(these.upper), bound)  # of arrays it is one of theirs


@cache
def samples_needed(p: float, confidence: float = 0.99) -> int:
    """Return the least sample count for the p-quantile: P(at most one sample beyond it) <= 1 - confidence.

    Source: MLCommons inference policies, appendix on early stopping.
    """
    n = 2
    while p**n + n * (1 - p) * p ** (n - 1) > 1 - confidence:
        n += 1
    return n


def is_beyond(within: int, samples: int, independent: int, p: float = 0.99, confidence: float = 0.99) -> bool:
    """Return whether so few of the samples are `within` a limit that the p-quantile is surely beyond it.

    `independent` is as how many independent samples these count, with the same share within.
    """
    from scipy.special import bdtr

    beyond = (samples - within) * independent // samples
    return bool(bdtr(independent - beyond, independent, p) <= 1 - confidence)


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
