"""How many requests a second a device can take while their p99 stays under a limit, and how many devices a load needs.

MLPerf's Server scenario by simulation: Poisson arrivals, and the highest rate at which at most 1 % of the requests take
longer than the limit (15 ms for ResNet-50). Requests of one run queue behind each other, so that they are not
independent and a binomial bound over them would be too narrow. The sample is a whole run (a replicate): each has its
own arrivals, draws its times from one process's measurements, and has its own highest rate; the interval is Student's
over the replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from bench.serving.queue import NS, Batching, Served, Service, poisson, simulate
from bench.stats import Ratio, ratio

if TYPE_CHECKING:
    from bench.serving.queue import Times

LATE = 0.01  # the share of requests that may take longer than the limit
# Together the 270,336 queries that MLPerf's Server scenario asks for.
REPLICATES, REQUESTS = 8, 33_792
SETTLING = 10  # the first of so many parts of a run does not count: it began with an empty queue
PILOT = 8_192  # requests of the one run that each largest batch is tried with
CURVE = 4_096  # requests of each run of a curve's points
STEP = 1 / 512  # of the saturation rate: the search for the highest rate ends at it
TRICKLE = 1 / 1000  # of the saturation rate: no queue, and so the least latency there is


@dataclass(frozen=True)
class Capacity:
    """Of a service under a limit: the largest batch that serves best, and the requests per second it can take."""

    service: Service
    batching: Batching
    limit_ns: float
    rate: Ratio | None  # over replicates; None where no rate keeps the limit

    @property
    def saturation(self) -> float:
        return self.service.saturation(self.batching.most)

    @property
    def single_ns(self) -> float:
        """What a request takes that comes alone, on average."""
        return self.service.mean_ns[self.batching.sizes[0]]

    @property
    def sure(self) -> float:
        """The rate to plan with: the low end of the interval; 0 where no rate keeps the limit."""
        return 0.0 if self.rate is None else self.rate.low or 0.0


@dataclass(frozen=True)
class Point:
    """What requests see at a rate: over all replicates, in nanoseconds; `late` is the share over a limit."""

    rate: float
    p50_ns: float
    p99_ns: float
    late: float
    batch: float  # requests in a batch, on average


def pilot(
    service: Service, limit_ns: float, wait_ns: float = 0.0, most: int | None = None, seed: int = 0
) -> Capacity | None:
    """The largest batch that allows the highest rate, by one short run each; or the largest up to `most`.

    The rate is that run's, without an interval: `precise` gives one. None if every batch measured is over `most`.
    """
    whole = Batching(service.sizes, wait_ns)
    ways = [whole.up_to(size) for size in service.sizes if most is None or size <= most]
    ways = ways if most is None else ways[-1:]
    if not ways:
        return None
    rates = [bearable(service, way, limit_ns, PILOT, 0, seed) for way in ways]
    best = max(rates)
    return Capacity(service, ways[rates.index(best)], limit_ns, ratio([(best, 1.0)]) if best else None)


def precise(found: Capacity, seed: int = 0) -> Capacity:
    """The highest rate that keeps the p99 within the limit, from REPLICATES whole runs."""
    way = found.service, found.batching, found.limit_ns
    rates = [bearable(*way, REQUESTS, number, seed) for number in range(REPLICATES)]
    return Capacity(*way, ratio([(rate, 1.0) for rate in rates]) if all(rates) else None)


def ranked(
    among: Iterable[Service], limit_ns: float, wait_ns: float, most: int | None, seed: int, shown: int
) -> tuple[list[Capacity], int]:
    """The `shown` services with the highest rates, best first, and how many more there are.

    Those that no rate is low enough for come last, by the time of their smallest batch.
    """
    pilots = [found for service in among if (found := pilot(service, limit_ns, wait_ns, most, seed))]
    pilots.sort(key=lambda found: (-(found.rate.value if found.rate else 0.0), found.single_ns))
    best = [precise(found, seed) for found in pilots[:shown]]
    return sorted(best, key=lambda found: (-found.sure, found.single_ns)), max(0, len(pilots) - shown)


def bearable(service: Service, batching: Batching, limit_ns: float, requests: int, number: int, seed: int) -> float:
    """Requests per second: the highest rate that replicate `number` takes; 0 where even single requests are late.

    By bisection between no load and saturation, as lateness grows with the rate. It does not everywhere (a pair that is
    padded to a large batch is slower than one request): `broken` says whether a lower rate fails.
    """
    saturation = service.saturation(batching.most)

    def holds(rate: float) -> bool:
        latency = _settled(run(service, batching, rate, requests, number, seed))
        return bool((latency > limit_ns).mean() <= LATE)

    low, high = TRICKLE * saturation, saturation
    if not holds(low):
        return 0.0
    if holds(high):
        return high
    while high - low > STEP * saturation:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def run(service: Service, batching: Batching, rate: float, requests: int, number: int, seed: int) -> Served:
    """Replicate `number` at a rate: its arrivals are the same at every rate, closer together or further apart."""
    arrivals = poisson(requests, (seed, number)) * (NS / rate)
    return simulate(arrivals, service.times(number), batching, (seed, number))


def _settled(served: Served) -> Times:
    return served.latency_ns[len(served.latency_ns) // SETTLING :]


def curve(
    service: Service, batching: Batching, rates: Sequence[float], limit_ns: float, requests: int = CURVE, seed: int = 0
) -> list[Point]:
    """What requests see at each rate, over REPLICATES runs of so many requests."""
    import numpy as np

    points = []
    for rate in rates:
        runs = [run(service, batching, rate, requests, number, seed) for number in range(REPLICATES)]
        latency = np.concatenate([_settled(served) for served in runs])
        p50, p99 = np.quantile(latency, (0.5, 0.99), method="inverted_cdf").tolist()
        mean = sum(len(served.latency_ns) for served in runs) / sum(len(served.counts) for served in runs)
        points.append(Point(rate, p50, p99, float((latency > limit_ns).mean()), mean))
    return points


def steps(saturation: float, count: int = 24) -> list[float]:
    """Rates for a curve: evenly up to just under saturation."""
    return [saturation * 0.98 * (number + 1) / count for number in range(count)]


def broken(found: Capacity, points: Sequence[Point]) -> list[Point]:
    """Rates under the one found at which more than 1 % are late nevertheless."""
    return [point for point in points if point.rate < found.sure and point.late > LATE]


@dataclass(frozen=True)
class Fleet:
    """Devices for a load, in requests per second.

    `split`: each request goes to a device at random, whatever the others do. A part of a Poisson process, picked at
    random, is one too, so each device sees the scenario that was simulated, at load / devices. `pooled`: the bound for
    any dispatcher, however good: devices never idle and always at their best batch, and no limit on latency.
    """

    load: float
    split: int | None
    pooled: int


def fleet(found: Capacity, load: float) -> Fleet:
    return Fleet(load, ceil(load / found.sure) if found.sure else None, ceil(load / found.service.peak))
