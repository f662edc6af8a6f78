"""Two constants of a card computed from the times of matrix products.

A tiled product of steps fetches (block_m + block_n) * block_k values a step from L2 to shared memory, and multiplies
2 * block_m * block_n * block_k times. The difference between the times of one kernel at two depths is the time of the
further steps alone: launch, first loads and epilogue are in both and cancel out. With dF bytes, dP operations and dt
seconds between the two depths,

    dF / dt <= B, the bandwidth from L2 to shared memory of all SMs,
    dP / dt <= S, the rate of the tensor cores in such a loop,

and the one that holds with equality is what bounds the kernel. Two tiles show which: 128x128 fetches 4/3 of what
128x256 does for the same products. If it takes 4/3 of the time, both are bound by L2, and dF / dt is B; if it takes the
same time, by the tensor cores, and dP / dt is S; between, by both in turns, and each is a lower bound of its constant.

Assumed: every value is fetched once a step by each program (cp.async.cg and bulk copies go past L1), L2 holds what
programs next to each other share, clocks are those of the sample, and both depths fill the SMs equally.
"""

from __future__ import annotations

from dataclasses import dataclass

FETCH_BOUND, TENSOR_BOUND = 1.25, 1.1  # the time of 128x128 over that of 128x256: 4/3 and 1, with room for noise


@dataclass(frozen=True)
class Work:
    """The work of a kernel's loop: `fetched` bytes from L2, `operations` (two per product), padding included."""

    fetched: float
    operations: float

    @staticmethod
    def of(tiles: int, steps: int, block_m: int, block_n: int, block_k: int, size: int = 2) -> Work:
        count = tiles * steps * block_k
        return Work(count * (block_m + block_n) * size, 2.0 * count * block_m * block_n)


@dataclass(frozen=True)
class Rates:
    """The bytes fetched and the operations done per second of the loop alone, and the seconds it took."""

    fetched: float
    operations: float
    seconds: float


def rates_between(short: Work, long: Work, short_s: float, long_s: float) -> Rates | None:
    """Return the rates of what `long` does more than `short`; None where it took no longer, which is noise."""
    seconds = long_s - short_s
    if seconds <= 0:
        return None
    return Rates((long.fetched - short.fetched) / seconds, (long.operations - short.operations) / seconds, seconds)


def bottleneck(square: Rates, wide: Rates) -> str:
    """Return what bounds 128x128 and 128x256 on one problem: "L2", "tensor cores" or "both"."""
    ratio = square.seconds / wide.seconds
    return "L2" if ratio >= FETCH_BOUND else "tensor cores" if ratio <= TENSOR_BOUND else "both"
