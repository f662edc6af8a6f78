"""Rounds that hang together with those before them."""

import numpy as np
import pytest

from bench.verdicts.rule import Array, estimate
from bench.verdicts.serial import GRID, mean_factors, median_over, serial

rng = np.random.default_rng


def follows(seed: int, correlation: float, size: tuple[int, ...]) -> Array:
    series = rng(seed).standard_normal(size)
    for place in range(1, size[-1]):
        series[..., place] *= (1 - correlation**2) ** 0.5
        series[..., place] += correlation * series[..., place - 1]
    return series


@pytest.mark.parametrize("correlation", [0.3, 0.5, 0.7])
def test_the_correlation_is_found_whatever_all_cases_do_alike(correlation: float) -> None:
    values = follows(1, correlation, (20, 450, 10)) + 5 * rng(2).standard_normal((20, 1, 10))
    assert serial(values).correlation.mean() == pytest.approx(correlation, abs=0.06)


@pytest.mark.parametrize("shape", ["normal", "heavy", "modes"])
def test_independent_rounds_seldom_seem_to_hang_together(shape: str) -> None:
    size = (400, 40, 10)
    values = {
        "normal": rng(3).standard_normal(size),
        "heavy": rng(3).standard_t(3, size),
        "modes": 3.0 * (rng(3).random(size) < 0.2) + rng(3).standard_normal(size),
    }[shape]
    assert (serial(values).correlation > 0).mean() <= 0.0228 + 3 * (0.0228 / 400) ** 0.5 + 0.01


def test_few_cases_and_few_rounds_say_nothing() -> None:
    assert not serial(follows(4, 0.9, (19, 10))).correlation.any()
    assert not serial(follows(4, 0.9, (400, 3))).correlation.any()


@pytest.mark.parametrize(("share", "correlation"), [(1.0, 0.7), (0.5, 0.8)])
def test_the_factors_are_those_of_simulated_means(share: float, correlation: float) -> None:
    series = follows(5, correlation, (200_000, 10))
    values = share**0.5 * series + (1 - share) ** 0.5 * rng(6).standard_normal(series.shape)
    place = int(np.argmin(np.abs(GRID - (share, correlation)).sum(-1)))
    factor, degrees = mean_factors(np.array([place]), np.full((1, 1), 10.0))
    variances = values.var(-1, ddof=1)
    assert values.mean(-1).var() == pytest.approx(factor[0, 0] * variances.mean() / 10, rel=0.02)
    assert degrees[0, 0] * 9 == pytest.approx(2 * variances.mean() ** 2 / variances.var(), rel=0.03)


def test_intervals_cover_where_rounds_hang_together() -> None:
    covered = []
    for seed in range(20):
        base, head = follows(seed, 0.7, (2, 450, 10))
        estimates = estimate(base, head, False, in_order=True)
        covered.append((np.abs(estimates.effect) <= estimates.half_width(0.05)).mean())
    assert 0.93 < np.mean(covered) < 0.99
    plain = estimate(base, head, False)
    assert (np.abs(plain.effect) <= plain.half_width(0.05)).mean() < 0.7


def test_the_median_leaves_out_what_is_missing() -> None:
    values = np.array([[1.0, 5.0, np.nan, 3.0], [np.nan] * 4, [2.0, 4.0, 1.0, 3.0]])
    assert median_over(values, -1)[:, 0].tolist() == pytest.approx([3.0, np.nan, 2.5], nan_ok=True)
