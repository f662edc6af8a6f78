"""Samples that follow each other: as how many independent ones they count, and the numbers that rest on that."""

import random
from itertools import pairwise

import pytest

from bench.dependence import LOOK, independent_beyond, independent_of_median, next_look
from bench.stats import (
    bound_of_another,
    median_interval,
    median_places,
    noise,
    quantile,
    quantile_of_processes,
    quantile_places,
)


def chain(draw: random.Random, rho: float, count: int, level: float = 0.0) -> list[float]:
    """A normal autoregression around `level`, of variance 1."""
    values, last = [], draw.gauss(0, 1)
    for _ in range(count):
        last = rho * last + (1 - rho**2) ** 0.5 * draw.gauss(0, 1)
        values.append(level + last)
    return values


@pytest.mark.parametrize("n", [50, 300, 2000])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_interval_covers_the_median_of_samples_that_follow_each_other(n: int, rho: float) -> None:
    """At least 93 % of nominal 95 %; as of independent samples 84 % at rho 0.5 and 43 % at 0.9 would."""
    draw, trials, covered = random.Random(n), 400 if n < 2000 else 200, 0
    for _ in range(trials):
        interval = median_interval(chain(draw, rho, n))
        assert interval
        covered += interval[0] <= 0 <= interval[1]
    assert covered / trials >= 0.92  # 93 % of 400 are under that once in five


def test_independent_samples_count_as_they_are() -> None:
    draw, alike, trials = random.Random(1), 0, 300
    for _ in range(trials):
        samples = [draw.lognormvariate(0, 0.1) for _ in range(200)]
        alike += independent_of_median(samples, sorted(samples)[100]) == 200
    assert alike / trials >= 0.92
    assert independent_of_median(list(range(10)), 4.5) == 10  # so few do not show it


def test_ticks_of_a_clock_are_no_dependence() -> None:
    draw = random.Random(2)
    samples = [round(draw.gauss(0, 1)) for _ in range(1000)]
    assert independent_of_median(samples, 0) >= 500
    assert median_interval([7] * 100) == (7, 7)


def test_what_is_left_of_the_samples_is_what_their_correlation_time_leaves() -> None:
    """Of signs with rho 0.9 it is 13 samples; of 4,000 some 300 are left."""
    counts = sorted(independent_of_median(chain(random.Random(seed), 0.9, 4000), 0.0) for seed in range(15))
    assert 200 < counts[7] < 340


def test_the_rule_ends_where_the_interval_holds() -> None:
    """At least 93 % from 64 samples on, at rho 0.9; as of independent samples 40 % would."""
    draw, trials, covered = random.Random(3), 250, 0
    for _ in range(trials):
        samples = [1 + 0.03 * value for value in chain(draw, 0.9, 1500)]
        count = LOOK
        while count < len(samples) and (noise(samples[:count]) or 1) > 0.02:
            count = next_look(count)
        interval = median_interval(samples[:count])
        assert interval
        covered += interval[0] <= 1 <= interval[1]
    assert covered / trials >= 0.91  # 93 % of 250 are under that once in ten


def test_looks_grow_apart() -> None:
    looks = [LOOK]
    while looks[-1] < 100_000:
        looks.append(next_look(looks[-1]))
    assert all(before < after for before, after in pairwise(looks))
    assert len(looks) < 100


def test_bounds_of_a_tail_hold_though_its_samples_follow_each_other() -> None:
    """As of independent samples, 80 % of the bounds of 99 % would hold."""
    draw, trials, stated, held_up = random.Random(4), 60, 0, 0
    for _ in range(trials):
        processes = [chain(draw, 0.9, 729) for _ in range(10)]
        if tail := quantile_of_processes(processes, 0.99):
            stated += 1
            held_up += tail.upper >= 2.3263
            assert tail.independent < 3000
    assert stated >= 50
    assert held_up / stated >= 0.93


def test_a_burst_is_fewer_slow_samples_than_it_has() -> None:
    spread = ([0.0] * 19 + [1.0]) * 100
    burst = [0.0] * 900 + [1.0] * 100 + [0.0] * 1000
    assert independent_beyond([spread], 0.5) == 2000
    assert independent_beyond([burst], 0.5) < 100
    assert quantile(burst, 0.99) is None
    # nor where most samples are one tick of a clock, and fewer are beyond it than show most
    assert independent_beyond([[0.0] * 100 + [1.0] * 12 + [0.0] * 88], 0.5) < 100
    # what processes differ in is no dependence of their samples
    draw = random.Random(5)
    processes = [[draw.gauss(level, 1) for _ in range(700)] for level in (0, 5)]
    assert independent_beyond(processes, 5.0) == 1400


def test_a_bound_is_of_these_processes_and_another_may_be_beyond_it() -> None:
    draw, stated, these, another = random.Random(6), 0, 0, 0
    for _ in range(150):
        levels = [0.02 * draw.gauss(0, 1) for _ in range(4)]
        *processes, _ = [[level + 0.001 * draw.random() + 1 for _ in range(400)] for level in levels]
        tail, bound = quantile_of_processes(processes, 0.99), bound_of_another(processes)
        if tail and bound:
            assert bound >= tail.upper
            stated += 1
            these += tail.upper >= 1 + levels[3]
            another += bound >= 1 + levels[3]
    assert stated >= 140
    assert these / stated < 0.9
    assert another / stated >= 0.96


def test_nothing_is_told_of_another_process_by_two_or_by_few_samples() -> None:
    draw = random.Random(7)
    processes = [[draw.lognormvariate(0, 0.1) for _ in range(400)] for _ in range(3)]
    assert bound_of_another(processes)
    assert bound_of_another(processes[:2]) is None
    assert bound_of_another([*processes, [1.0] * 99]) is None


@pytest.mark.parametrize(("n", "p"), [(100, 0.5), (700, 0.99), (3000, 0.9)])
def test_fewer_independent_samples_never_narrow_anything(n: int, p: float) -> None:
    whole, before = median_places(n), quantile_places(n, p)
    assert whole and before  # noqa: PT018
    assert median_places(n, independent=n) == whole
    assert quantile_places(n, p, independent=n) == before
    for independent in (n - 1, n // 2, n // 10, 1):
        places, tail = median_places(n, independent=independent), quantile_places(n, p, independent=independent)
        assert places
        assert 0 <= places[0] <= whole[0] <= whole[1] <= places[1] < n
        assert tail is None or 0 <= tail[1] <= before[1] <= before[2] <= tail[2] < n
