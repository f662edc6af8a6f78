"""Splits in seeded intervals, and what is made of them, against plain loops."""

import numpy as np
import pytest

from bench.history.segments import (
    MIN_SEGMENT,
    best_split,
    count_flips,
    count_splits,
    error_of_mean,
    largest_splits,
    layers,
    levels,
    narrowest,
    scan,
    settle,
    slopes_better,
)


def t_of(x: np.ndarray, first: int, split: int, end: int) -> float:
    before, after = x[first:split], x[split:end]
    return abs(after.mean() - before.mean()) / (1 / len(before) + 1 / len(after)) ** 0.5


@pytest.mark.parametrize("points", [6, 7, 13, 40, 200])
def test_the_scan_has_the_best_split_of_each_interval(points: int) -> None:
    x = np.random.default_rng(points).normal(0, 1, (3, points))
    with np.errstate(divide="ignore"):
        errors = np.tile(1 / np.sqrt(np.arange(points + 1.0)), (3, 1))
    scanned = scan(x, errors, np.full(3, 2.0), np.full(3, 2.0))
    intervals = [(start, start + length) for length, starts in layers(points) for start in starts]
    assert list(zip(scanned.first, scanned.end, strict=True)) == intervals
    for row in range(3):
        for place, (first, end) in enumerate(intervals):
            scores = [t_of(x[row], first, k, end) for k in range(first + MIN_SEGMENT, end - MIN_SEGMENT + 1)]
            assert scanned.score[row, place] == pytest.approx(max(scores) / 2)
            assert scanned.split[row, place] == first + MIN_SEGMENT + int(np.argmax(scores))


def test_intervals_are_few_and_begin_and_end_with_the_row() -> None:
    for points in (6, 40, 1000, 10_000):
        for length, starts in layers(points):
            assert starts[0] == 0
            assert starts[-1] + length == points
        older, news = count_splits(points)
        assert older + news < 60 * points  # n log n
    assert layers(5) == ()


def test_both_edges_of_a_bump_are_candidates_however_it_ends() -> None:
    x = np.zeros((1, 40))
    x[0, 16:24] = 10
    x += np.random.default_rng(0).normal(0, 1, x.shape)
    with np.errstate(divide="ignore"):
        errors = 1 / np.sqrt(np.arange(41.0))[None, :]
    scanned = scan(x, errors, np.full(1, 5.0), np.full(1, 5.0))
    assert sorted(largest_splits(scanned, 2)[0]) == [16, 24]
    lengths = [end - first for first, _, end in narrowest(scanned, 0)]
    assert lengths == sorted(lengths)
    assert settle(x[0], [14, 25]) == [16, 24]


def test_levels_are_means_between_splits() -> None:
    x = np.random.default_rng(0).normal(0, 1, (2, 12))
    flat = levels(x, np.array([[4, 9], [0, 0]]))
    assert flat[0] == pytest.approx(np.repeat([x[0, :4].mean(), x[0, 4:9].mean(), x[0, 9:].mean()], [4, 5, 3]))
    assert flat[1] == pytest.approx(x[1].mean())
    assert best_split(np.repeat([0.0, 1.0], [5, 7]), 0, 12) == 5


def test_a_slope_is_no_step() -> None:
    assert slopes_better(np.arange(20.0), 10, 0.1)
    assert not slopes_better(np.repeat([0.0, 5.0], 10), 10, 1.0)


def test_flips_are_counted_where_points_stay_on_two_levels() -> None:
    draw = np.random.default_rng(0)
    sticky = np.repeat([0, 1, 0, 1, 0, 1, 0, 1], 10) + draw.normal(0, 0.05, 80)
    assert count_flips(sticky) == 7
    assert count_flips(draw.permutation(sticky)) == 0  # noise with two modes
    assert count_flips(draw.normal(0, 1, 80)) == 0
    assert count_flips(np.ones(10)) == 0


def test_the_error_of_a_mean_is_that_of_an_autoregression() -> None:
    for phi, count in ((0.0, 5), (0.5, 4), (0.9, 12)):
        places = np.arange(count)
        covariances = phi ** np.abs(places[:, None] - places)
        error = error_of_mean(np.array([float(count)]), phi)
        assert error[0] == pytest.approx(covariances.mean() ** 0.5)
