"""One device that serves requests as they come, each a picture: dynamic batching, simulated over measured times.

The policy is that of Triton Inference Server's dynamic batcher without preferred sizes. One batch runs at a time. When
the device is idle, the oldest requests, at most the largest batch, start together: at once, or, with a longest wait, as
soon as the largest batch is full or the oldest has waited so long. A number of requests that was not measured as a
batch is padded up to the next one that was.

Each execution takes a time drawn from those measured at its batch. Source of the method: Law, Simulation Modeling and
Analysis, chapter 1 (next-event time advance) and 9 (independent replications).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

from bench.plans.case import Case
from bench.records.record import Record
from bench.stats import samples_needed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times = NDArray[np.float64]

NS = 1_000_000_000
DRAWN = 4096  # times drawn at once: a call for each would cost as much as all the rest of an event


@dataclass(frozen=True)
class Batching:
    """The batches a device runs, ascending, and how long the oldest request may wait for others, in nanoseconds."""

    sizes: tuple[int, ...]
    wait_ns: float = 0.0

    def __post_init__(self) -> None:
        if not self.sizes or self.sizes[0] < 1 or list(self.sizes) != sorted(set(self.sizes)) or self.wait_ns < 0:
            raise ValueError(f"{self} is no way of batching: ascending sizes from 1, and a wait of 0 or more")

    @property
    def most(self) -> int:
        return self.sizes[-1]

    def padded(self, requests: int) -> int:
        """The batch that so many requests, at most `most`, run as."""
        return self.sizes[bisect_left(self.sizes, requests)]

    def up_to(self, most: int) -> Batching:
        """The same without batches over `most`."""
        return Batching(tuple(size for size in self.sizes if size <= most), self.wait_ns)


@dataclass(frozen=True)
class Served:
    """What came of some requests: the time of each from arrival to answer, and when and how full each batch ended."""

    latency_ns: Times  # [requests], in the order of their arrivals
    ends_ns: Times  # [batches]
    counts: NDArray[np.int64]  # [batches]: requests in each


def simulate(
    arrivals_ns: Times, times: Mapping[int, Sequence[float]], batching: Batching, seed: Sequence[int]
) -> Served:
    """Serve requests that arrive at `arrivals_ns`, ascending; `times` has the measured nanoseconds of each batch.

    The same seed draws the same times of each batch in the same order, whatever the arrivals: two rates are compared on
    the same luck. A million requests take about a second.
    """
    import numpy as np

    at = arrivals_ns.tolist()
    total, most, wait = len(at), batching.most, batching.wait_ns
    of = {size: _draws(times[size], (*seed, size)) for size in batching.sizes}
    draw: list[Callable[[], float]] = [of[batching.padded(max(1, count))].__next__ for count in range(most + 1)]
    ends: list[float] = []
    counts: list[int] = []
    first, free = 0, -inf  # the oldest request that waits; when the device is idle
    while first < total:
        oldest, beyond = at[first], first + most
        start = oldest if oldest > free else free
        if wait:
            full = at[beyond - 1] if beyond <= total else inf
            start = max(start, min(oldest + wait, full))
        last = bisect_right(at, start, first, beyond if beyond < total else total)
        count = last - first
        free = start + draw[count]()
        ends.append(free)
        counts.append(count)
        first = last
    ended, held = np.array(ends, np.float64), np.array(counts, np.int64)
    return Served(np.repeat(ended, held) - arrivals_ns, ended, held)


def _draws(times: Sequence[float], seed: Sequence[int]) -> Iterator[float]:
    """Measured times, drawn with replacement, without end."""
    import numpy as np

    random = np.random.default_rng(seed)
    measured = np.asarray(times, np.float64)
    while True:
        yield from random.choice(measured, DRAWN).tolist()


def poisson(requests: int, seed: Sequence[int]) -> Times:
    """Arrivals of a Poisson process at one request per unit of time, [requests]; divided by a rate, at that rate."""
    import numpy as np

    return np.random.default_rng(seed).exponential(size=requests).cumsum()


@dataclass(frozen=True)
class Service:
    """A way of running a model, at every batch it was measured at: what a server would be made of."""

    case: Case  # of its largest batch
    # batch -> nanoseconds of each execution, of each process that measured it
    rounds: Mapping[int, tuple[tuple[float, ...], ...]]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted(self.rounds))

    def times(self, process: int) -> dict[int, tuple[float, ...]]:
        """By batch, what one process measured: of each batch the `process`-th, in turns if there are fewer."""
        return {size: found[process % len(found)] for size, found in self.rounds.items()}

    @cached_property
    def mean_ns(self) -> dict[int, float]:
        """By batch: the mean over processes of their means."""
        return {
            size: sum(sum(times) / len(times) for times in found) / len(found) for size, found in self.rounds.items()
        }

    def saturation(self, most: int) -> float:
        """Requests per second of a device that is never idle and whose queue always fills a batch of `most`."""
        return most / self.mean_ns[most] * NS

    @property
    def peak(self) -> float:
        """The most requests per second that any batch gives: no dispatcher, however good, gets more of a device."""
        return max(map(self.saturation, self.sizes))

    @cached_property
    def thin(self) -> dict[int, int]:
        """Batch -> samples, where these are too few to tell the p99 of an execution."""
        found = {size: sum(map(len, times)) for size, times in self.rounds.items()}
        return {size: count for size, count in found.items() if count < samples_needed(0.99)}


def services(records: Iterable[Record]) -> list[Service]:
    """Of one machine's records: every model, variant, precision, image size and launch, with its batches."""
    found: dict[tuple[str, ...], dict[int, list[tuple[float, ...]]]] = {}
    cases: dict[tuple[str, ...], Case] = {}
    for record in records:
        case = record.case
        if record.status != "ok" or case.largest or not (times := tuple(record.kept("latency_ns"))):
            continue
        way = (case.model, case.variant, case.precision, str(case.image), case.launch)
        found.setdefault(way, {}).setdefault(case.batch, []).append(times)
        cases[way] = max(case, cases.get(way, case), key=lambda case: case.batch)
    return [
        Service(cases[way], {size: tuple(rounds) for size, rounds in batches.items()}) for way, batches in found.items()
    ]
