"""The segments of a row of numbers: how many changes of level it has, and where.

Permutation tests give the number of change points: how often is the best split of the shuffled points, anywhere, as
good as that of the points in order? The test pays for every split that it tries, whatever the distribution of the
noise. After a significant split both halves are tested again (the hierarchical scheme of Matteson and James, 2014, with
sums of squares in place of energy distances). Their places are those of the best segmentation with that number of
change points, by dynamic programming.
"""

from __future__ import annotations

from math import ceil, expm1

import numpy as np
from numpy.typing import NDArray

MIN_SEGMENT = 3  # points on either side of a change: fewer may be a passing disturbance, and are reported as such
SPIKE_SIGMAS = 5.0  # standard deviations that a single point must stand out on the same side of both neighbours
MAX_PERMUTATIONS = 20_000  # few series need fewer


def _noise(x: NDArray[np.float64]) -> float:
    """Estimate the standard deviation from the differences of neighbours, which a few changes of level hardly affect.

    It is the median absolute difference, times 1.4826 for the normal distribution.
    """
    return float(1.4826 * np.median(np.abs(np.diff(x))) / 2**0.5) if len(x) > 2 else 0.0


def spikes_of(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark single points far from both neighbours, on the same side, where the neighbours agree."""
    spikes = np.zeros(len(x), dtype=bool)
    sigma = _noise(x)
    if len(x) < 5 or not sigma:
        return spikes
    left, right = x[1:-1] - x[:-2], x[1:-1] - x[2:]
    far = np.minimum(np.abs(left), np.abs(right)) > SPIKE_SIGMAS * sigma
    agree = np.abs(x[2:] - x[:-2]) < np.minimum(np.abs(left), np.abs(right)) / 2
    spikes[1:-1] = far & agree & (np.sign(left) == np.sign(right))
    return spikes


def count_changes(x: NDArray[np.float64], alpha: float, draw: np.random.Generator) -> int:
    """Count the change points: the best split of the whole, if it is significant, and those of both parts."""
    if len(x) < 2 * MIN_SEGMENT or not np.ptp(x) or permutation_p(x, alpha, draw) > alpha:
        return 0
    split = MIN_SEGMENT + int(_between_groups(x[None, :]).argmax())
    return 1 + count_changes(x[:split], alpha, draw) + count_changes(x[split:], alpha, draw)


def best_splits(x: NDArray[np.float64], count: int) -> list[int]:
    """Return the `count` change points with the least sum of squares; fewer where segments would be too short.

    By dynamic programming: for each last change the best of one change less before it.
    """
    sums, places = np.concatenate([[0.0], (x - x.mean()).cumsum()]), np.arange(len(x) + 1)
    lengths = places - places[:, None]
    # what a segment [start, end] takes off the sum of squares
    gains = np.where(lengths < MIN_SEGMENT, -np.inf, (sums - sums[:, None]) ** 2 / np.maximum(lengths, 1))
    best, lasts, splits = gains[0], list[NDArray[np.intp]](), [len(x)]
    for _ in range(min(count, len(x) // MIN_SEGMENT - 1)):
        totals = best[:, None] + gains
        best, lasts = totals.max(0), [totals.argmax(0), *lasts]
    for last in lasts:
        splits.append(int(last[splits[-1]]))
    return splits[:0:-1]


def permutation_p(x: NDArray[np.float64], alpha: float, draw: np.random.Generator, split: int | None = None) -> float:
    """Return the p-value of the best split of `x`, or of the one at `split`, against the best of shuffled points.

    Points are shuffled 500 times at once, because most series are settled by the first 500.
    """
    statistics = _between_groups(x[None, :])[0]
    statistic = statistics.max() if split is None else statistics[split - MIN_SEGMENT]
    permutations = int(min(MAX_PERMUTATIONS, ceil(20 / alpha)))
    drawn, exceeding = 0, 0
    while drawn < permutations:
        count = min(500, permutations - drawn)
        shuffled = draw.permuted(np.broadcast_to(x, (count, len(x))), axis=1)
        exceeding += int((_between_groups(shuffled).max(1) >= statistic * (1 - 1e-12)).sum())
        drawn += count
        if exceeding > 5 and exceeding / drawn > 4 * alpha:
            break
    return (exceeding + 1) / (drawn + 1)


def _between_groups(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the between-group sum of squares of each split with MIN_SEGMENT points on either side, [rows, splits]."""
    n = x.shape[1]
    centred = x - x.mean(1, keepdims=True)
    sums = centred.cumsum(1, out=centred)[:, MIN_SEGMENT - 1 : n - MIN_SEGMENT]
    left = np.arange(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    # in place: a new array of a batch for each step costs three times as much as the arithmetic
    sums *= sums
    sums *= n
    sums /= left * (n - left)
    return sums


def unsure_newest(x: NDArray[np.float64], minimum: float) -> tuple[str, int]:
    """Return a sentence on newest points that left the level and are too few for a change, and their number."""
    limit = max(SPIKE_SIGMAS * _noise(x), minimum)
    for count in range(1, MIN_SEGMENT):
        if len(x) < MIN_SEGMENT + count + 1:
            break
        level = float(np.median(x[-count - MIN_SEGMENT : -count]))
        deviations = x[-count:] - level
        steady = np.abs(x[-count - MIN_SEGMENT : -count] - level).max() <= limit
        if steady and np.abs(deviations).min() > limit and abs(np.sign(deviations).sum()) == count:
            which = "the newest point is" if count == 1 else f"the newest {count} points are"
            percent = 100 * expm1(float(deviations.mean()))
            return f"{which} {percent:+.0f} % off the level before: too few to tell", count
    return "", 0
