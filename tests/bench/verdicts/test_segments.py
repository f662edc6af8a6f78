"""The segments of rows of numbers, against every way to cut them, and p-values that must stay as they were."""

from itertools import combinations, pairwise, product

import numpy as np

from bench.verdicts.segments import MIN_SEGMENT, best_splits, permutation_p


def test_the_segments_are_the_best_of_all() -> None:
    """Every way to cut short series: none leaves less square error, and none that is longer than the points allow."""
    for seed, count in product(range(10), (1, 2, 3)):
        draw = np.random.default_rng(seed)
        x = draw.normal(0, 1, 8 + seed) + 2 * (np.arange(8 + seed) > 4)
        found = best_splits(x, count)
        assert len(found) == min(count, len(x) // MIN_SEGMENT - 1)
        ways = [
            [0, *splits, len(x)]
            for splits in combinations(range(MIN_SEGMENT, len(x) - MIN_SEGMENT + 1), len(found))
            if all(b - a >= MIN_SEGMENT for a, b in pairwise([*splits, len(x)]))
        ]
        best = min(ways, key=lambda edges: sum(np.var(x[a:b]) * (b - a) for a, b in pairwise(edges)))
        assert [0, *found, len(x)] == best


def between(x: np.ndarray) -> float:
    """The most square error that a split takes away, by its definition."""
    splits = range(MIN_SEGMENT, len(x) - MIN_SEGMENT + 1)
    return max(len(x) * np.var(x) - k * np.var(x[:k]) - (len(x) - k) * np.var(x[k:]) for k in splits)


def test_a_p_value_is_the_share_of_the_same_shuffled_orders_that_split_as_well() -> None:
    for seed in range(4):
        x = np.random.default_rng(seed).normal(0, 1, 12) + (np.arange(12) > 5) * seed
        kept = x.copy()
        permuted = np.random.default_rng(seed).permuted(np.tile(x, (400, 1)), axis=1)
        as_good = sum(between(row) >= between(x) - 1e-9 for row in permuted)
        assert permutation_p(x, 0.05, np.random.default_rng(seed)) == (as_good + 1) / 401
        assert (x == kept).all()
