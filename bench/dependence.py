"""How samples of a process depend on each other, in the order taken: as how many independent ones they count.

A number of a median or of a quantile rests on an indicator: on which side of it each sample is. The variance of its
mean is that of independent samples times the correlation time, 1 + 2 * (the sum of the autocorrelations). So n samples
count as n / (correlation time). Where the autocorrelation does not stand out of chance, they count as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import isqrt, sin, sqrt
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Fewer samples do not show how they depend on each other, and count as they are.
LEAST_SHOWN = 20
# Standard errors by which the autocorrelation of neighbours stands out: of sides of the median (5 % do by chance), and
# of a tail (1 %: one in a hundred runs that took just the samples that a p99 needs is without one by chance).
STANDS_OUT, TAIL_STANDS_OUT = 1.645, 2.326
MORE_OF_BLOCKS = 1.0  # standard errors: of the sums of blocks, which see what is slow and small, the tail is longer
# Standard errors by which that autocorrelation is taken larger than estimated: a rule that stops where an interval is
# narrow prefers those that are narrow by chance (of rho 0.9, 94 % then hold where 92 % would).
CAUTION = 0.75
LAGS = 400  # of an autoregression: with 0.97 of the one before, a sample has under 1e-5 of one so many before
# Samples, and multiples of it, at which a stopping rule looks at their noise. Fewer do not show how they follow each
# other: of intervals that ended the sampling at 10, half would hold with rho 0.9.
LOOK = 64
BEYOND = 50  # samples beyond a level show how these follow each other


def next_look(count: int) -> int:
    """Return the count of samples at which their noise is looked at after `count`: at least a tenth more.

    Each look may find an interval that is narrow by chance, and thousands of samples take milliseconds to judge.
    """
    return max((count // LOOK + 1) * LOOK, count * 11 // 10)


def independent_of_median(samples: Sequence[float], middle: float) -> int:
    """Return how many independent samples tell the median as surely as these, in the order taken; at most their number.

    `middle` is their median. The correlation time is the larger of two: Geyer's, and that of a normal autoregression of
    the first order with the same autocorrelation between neighbours, of which few samples tell more.
    """
    n = len(samples)
    if n < LEAST_SHOWN:
        return n
    import numpy as np

    series = _centred(np.sign(np.asarray(samples, np.float64) - middle))
    neighbours = _stands_out([series], STANDS_OUT)
    if neighbours is None:
        return n
    # the mean that was subtracted took (1 + 3 * rho) / n (Marriott and Pope 1954)
    unbiased = (neighbours * n + 1) / (n - 3) + sqrt(max(0.0, 1 - neighbours**2) / n) * CAUTION
    rho = sin(min(max(unbiased, 0.0), 1.0) * np.pi / 2)  # of normal values whose signs have that autocorrelation
    of_autoregression = 1 + 4 / np.pi * float(np.arcsin(rho ** np.arange(1, min(n, LAGS))).sum())
    return max(1, int(n / max(1.0, of_autoregression, _correlation_time([series]))))


def independent_beyond(
    processes: Sequence[Sequence[float]], level: float, ordered: Sequence[float] | None = None
) -> int:
    """Return as how many independent samples these count for the share from a level on; at most their number.

    Each process has its samples in the order taken. The level is lowered until BEYOND of them, or half, are from it on,
    as fewer do not show how they follow each other. `ordered` are all, ascending, where one has them.
    """
    n = sum(map(len, processes))
    if n < LEAST_SHOWN:
        return n
    import numpy as np

    if ordered is None:
        ordered = cast(Sequence[float], np.sort(np.concatenate(processes)))
    level = min(level, ordered[max(n // 2, n - BEYOND)])
    # most samples may be one tick of a clock
    is_from = np.greater_equal if 2 * bisect_left(ordered, level) >= n else np.greater
    series = [_centred(is_from(samples, level).astype(np.float64)) for samples in processes if len(samples)]
    return n if _stands_out(series, TAIL_STANDS_OUT) is None else max(1, int(n / _correlation_time(series)))


def _centred(series: Array) -> Array:
    return series - series.sum() / len(series)


def _stands_out(processes: Sequence[Array], errors: float) -> float | None:
    """Return the autocorrelation of neighbours in centred series; None where nothing stands out of chance.

    What stands out is the autocorrelation itself, by so many standard errors, or the variance of the sums of blocks,
    which is their length times that of a sample where samples are independent.
    """
    squares = [float(series @ series) for series in processes]
    if not (square := sum(squares)):
        return None
    # of processes that differ some have more to say, as if there were so many samples
    n = square**2 / sum(one**2 / len(series) for one, series in zip(squares, processes, strict=True))
    neighbours = sum(float(series[1:] @ series[:-1]) for series in processes) / square
    if neighbours + 1 / len(processes[0]) > errors / sqrt(n):
        return neighbours
    import numpy as np

    length = isqrt(int(n))
    sums = [series[: len(series) // length * length].reshape(-1, length).sum(1) for series in processes]
    expected = sum(
        len(one) * length * square / len(series) for one, square, series in zip(sums, squares, processes, strict=True)
    )
    excess = float(np.square(np.concatenate(sums)).sum()) / expected - 1 if expected else 0.0
    return neighbours if excess > (errors + MORE_OF_BLOCKS) * sqrt(2 * length / n) else None


def _correlation_time(processes: Sequence[Array]) -> float:
    """Return the correlation time of centred series by Geyer's initial monotone sequence, at least 1.

    Sums of two neighbouring autocorrelations of a reversible process are positive and fall: the sequence ends where
    they are not. What the subtracted means took is added (Wolff 2004, equation 49). Source: Geyer (1992), Practical
    Markov chain Monte Carlo, Statistical Science 7, 473.
    """
    import numpy as np

    n, longest = sum(map(len, processes)), max(map(len, processes))
    products: Any = 0.0
    for series in processes:
        spectrum = np.fft.rfft(series, 1 << (2 * longest - 1).bit_length())
        products = products + np.fft.irfft(spectrum * spectrum.conj())[:longest]
    correlations = products[: longest // 2 * 2] / products[0]
    pairs = correlations[::2] + correlations[1::2]
    over = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: over[0] if len(over) else None])
    window = 2 * len(pairs)
    return max(1.0, (2 * float(pairs.sum()) - 1) / max(0.1, 1 - window * len(processes) / n))
