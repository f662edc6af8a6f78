import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench.stats import _rank, median_interval, noise


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 10, 31, 100, 499, 500])
def test_ranks_are_the_binomials(n: int) -> None:
    # the r-th smallest is a lower bound with error P(Binomial(n, 1/2) < r)
    exact = next(r for r in range(n + 2) if scipy_stats.binom.cdf(r, n, 0.5) > 0.025)
    assert _rank(n, 0.025) == exact


@pytest.mark.parametrize("n", [501, 1000, 10_000])
def test_large_counts_agree_to_a_rank(n: int) -> None:
    exact = next(r for r in range(n) if scipy_stats.binom.cdf(r, n, 0.5) > 0.025)
    assert abs(_rank(n, 0.025) - exact) <= 1


def test_too_few_samples_have_no_interval() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)
    assert noise([1.0]) is None


@pytest.mark.parametrize("n", [10, 40, 700])
def test_the_interval_covers_the_true_median(n: int) -> None:
    """At least 93 % for a nominal 95 %, on skewed times such as latencies have (log-normal, median 1)."""
    draw = random.Random(n)
    trials, covered = 1000, 0
    for _ in range(trials):
        interval = median_interval([draw.lognormvariate(0, 0.3) for _ in range(n)])
        assert interval is not None
        covered += interval[0] <= 1.0 <= interval[1]
    assert covered / trials >= 0.93


@given(st.lists(st.integers(1, 10**12), min_size=6, max_size=200), st.integers(2, 1000), st.randoms())
def test_scale_and_order_change_nothing(samples: list[int], factor: int, shuffled: random.Random) -> None:
    interval = median_interval(samples)
    assert interval is not None
    assert interval[0] <= median(samples) <= interval[1]
    mixed = list(samples)
    shuffled.shuffle(mixed)
    assert median_interval(mixed) == interval
    assert noise([factor * sample for sample in samples]) == pytest.approx(noise(samples))
