"""A queue in front of one device with dynamic batching, simulated over measured times; a request is a picture.

The policy is that of Triton Inference Server's dynamic batcher without preferred sizes. One batch runs at a time. When
the device is idle, the oldest requests, at most the largest batch, start together. They start at once or, with a batch
window, as soon as the largest batch is full or the oldest request has waited that long. A number of requests that was
not measured as a batch is padded up to the next one that was.

Each execution takes a time drawn from those measured at its batch. Source of the method: Law, Simulation Modeling and
Analysis, chapter 1 (next-event time advance) and 9 (independent replications).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING

from bench.plans.case import Case
from bench.records.record import Record
from bench.stats import samples_needed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times = NDArray[np.float64]

NS = 1_000_000_000
DRAWN = 4096  # times drawn at once: a call for each would cost as much as the rest of an event


@dataclass(frozen=True)
class Batching:
    """The batches that a device runs, ascending, and the batch window: how long the oldest request waits for others."""

    sizes: tuple[int, ...]
    wait_ns: float = 0.0

    def __post_init__(self) -> None:
        if not self.sizes or self.sizes[0] < 1 or list(self.sizes) != sorted(set(self.sizes)) or self.wait_ns < 0:
            raise ValueError(f"{self} is no way of batching: ascending sizes from 1, and a wait of 0 or more")

    @property
    def max_batch(self) -> int:
        return self.sizes[-1]

    def padded(self, requests: int) -> int:
        """Return the batch that a number of requests, at most `max_batch`, runs as."""
        return self.sizes[bisect_left(self.sizes, requests)]

    def up_to(self, max_batch: int) -> Batching:
        """Return the same without batches over `max_batch`."""
        return Batching(tuple(size for size in self.sizes if size <= max_batch), self.wait_ns)


@dataclass(frozen=True)
class Served:
    """The outcome of serving requests: the latency of each, and the end and the number of requests of each batch."""

    latency_ns: Times  # from arrival to answer, [requests], in the order of arrival
    ends_ns: Times  # [batches]
    counts: NDArray[np.int64]  # [batches]: requests in each


def simulate_queue(
    arrivals_ns: Times, times: Mapping[int, Sequence[float]], batching: Batching, seed: Sequence[int]
) -> Served:
    """Serve requests that arrive at `arrivals_ns`, ascending; `times` has the measured nanoseconds of each batch.

    The same seed draws the same times of each batch in the same order, whatever the arrivals, so that two rates are
    compared on common random numbers. A million requests take about a second.
    """
    import numpy as np

    arrivals = arrivals_ns.tolist()
    total, max_batch, window = len(arrivals), batching.max_batch, batching.wait_ns
    draws = {size: _draws(times[size], (*seed, size)) for size in batching.sizes}
    draw: list[Callable[[], float]] = [draws[batching.padded(max(1, n))].__next__ for n in range(max_batch + 1)]
    ends: list[float] = []
    counts: list[int] = []
    first, idle = 0, -inf  # the oldest request in the queue; when the device is next idle
    while first < total:
        oldest, beyond = arrivals[first], first + max_batch
        start = oldest if oldest > idle else idle
        if window:
            full = arrivals[beyond - 1] if beyond <= total else inf
            start = max(start, min(oldest + window, full))
        last = bisect_right(arrivals, start, first, beyond if beyond < total else total)
        count = last - first
        idle = start + draw[count]()
        ends.append(idle)
        counts.append(count)
        first = last
    ends_ns, requests = np.array(ends, np.float64), np.array(counts, np.int64)
    return Served(np.repeat(ends_ns, requests) - arrivals_ns, ends_ns, requests)


def _draws(times: Sequence[float], seed: Sequence[int]) -> Iterator[float]:
    """Draw measured times with replacement, without end."""
    import numpy as np

    random = np.random.default_rng(seed)
    measured = np.asarray(times, np.float64)
    while True:
        yield from random.choice(measured, DRAWN).tolist()


def poisson(requests: int, seed: Sequence[int]) -> Times:
    """Return the arrivals of a Poisson process of rate 1, [requests]; divided by a rate, they are at that rate."""
    import numpy as np

    return np.random.default_rng(seed).exponential(size=requests).cumsum()


@dataclass(frozen=True)
class Service:
    """A variant of a model with the execution times of every batch that it was measured at."""

    case: Case  # of its largest batch
    # batch -> processes that measured it -> nanoseconds of each execution
    rounds: Mapping[int, tuple[tuple[float, ...], ...]]
    records: tuple[Record, ...] = ()  # that have them

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted(self.rounds))

    def times(self, process: int) -> dict[int, tuple[float, ...]]:
        """Return by batch the times of one process: the `process`-th that measured it, modulo their number."""
        return {size: rounds[process % len(rounds)] for size, rounds in self.rounds.items()}

    @cached_property
    def mean_ns(self) -> dict[int, float]:
        """The mean over processes of their mean times, by batch."""
        return {size: sum(map(fmean, rounds)) / len(rounds) for size, rounds in self.rounds.items()}

    def saturation(self, max_batch: int) -> float:
        """Return the requests per second of a device that is never idle and always runs batches of `max_batch`."""
        return max_batch / self.mean_ns[max_batch] * NS

    @property
    def peak_rate(self) -> float:
        """The most requests per second that any batch gives: a bound for every dispatcher."""
        return max(map(self.saturation, self.sizes))

    @cached_property
    def few_samples(self) -> dict[int, int]:
        """The number of samples by batch, of the batches with too few to support the p99 of an execution."""
        samples = {size: sum(map(len, times)) for size, times in self.rounds.items()}
        return {size: count for size, count in samples.items() if count < samples_needed(0.99)}


def axes_of(case: Case) -> tuple[str, ...]:
    """Return all of a case but its batch: cases with equal axes are one service."""
    return case.model, case.variant, case.precision, str(case.image), case.launch


def services(records: Iterable[Record]) -> list[Service]:
    """Return the services of one machine's records: each model, variant, precision, image size and launch."""
    by_axes: dict[tuple[str, ...], dict[int, list[tuple[float, ...]]]] = {}
    cases: dict[tuple[str, ...], Case] = {}
    sources: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        case = record.case
        if record.status != "ok" or case.largest or not (times := tuple(record.kept("latency_ns"))):
            continue
        axes = axes_of(case)
        by_axes.setdefault(axes, {}).setdefault(case.batch, []).append(times)
        sources.setdefault(axes, []).append(record)
        cases[axes] = max(case, cases.get(axes, case), key=lambda case: case.batch)
    return [
        Service(cases[axes], {size: tuple(rounds) for size, rounds in batches.items()}, tuple(sources[axes]))
        for axes, batches in by_axes.items()
    ]
