"""The capacity of a device: the highest request rate whose p99 latency stays under a limit; devices for a load.

It is MLPerf's Server scenario by simulation: Poisson arrivals, and the highest rate at which at max_batch 1 % of the
requests take longer than the limit (15 ms for ResNet-50). Requests of one run queue behind each other, so that they are
not independent and a binomial bound over them would be too narrow. The sample is a whole run (a replicate): each has
arrivals for itself, draws its times from one process's measurements, and has its highest rate. The confidence interval
is Student's over the replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from bench.serving.queue import NS, Batching, Served, Service, poisson, simulate_queue
from bench.stats import Ratio, ratio

if TYPE_CHECKING:
    from bench.serving.queue import Times

LATE_SHARE = 0.01  # the share of requests that may take longer than the limit
# Together they are the 270,336 queries that MLPerf's Server scenario requires.
REPLICATES, REQUESTS = 8, 33_792
WARM_UP_PARTS = 10  # the first of this many parts of a run does not count, because it begins with an empty queue
PILOT_REQUESTS = 8_192  # of the one run that each largest batch is tried with
CURVE_REQUESTS = 4_096  # of each run of a curve's points
RESOLUTION = 1 / 512  # of the highest rate, as a utilisation: a share of the saturation rate
LOW_UTILISATION = 1 / 1000  # so low that there is no queue, and latency is at its minimum


@dataclass(frozen=True)
class Capacity:
    """The capacity of a service under a latency limit: its best batching and the highest rate in time."""

    service: Service
    batching: Batching
    limit_ns: float
    rate: Ratio | None  # requests per second, over replicates; None where no rate keeps the limit

    @property
    def saturation(self) -> float:
        return self.service.saturation(self.batching.max_batch)

    @property
    def single_ns(self) -> float:
        """The mean latency of a request that arrives alone."""
        return self.service.mean_ns[self.batching.sizes[0]]

    @property
    def safe_rate(self) -> float:
        """The rate to plan with: the low end of the confidence interval; 0 where no rate keeps the limit."""
        return 0.0 if self.rate is None else self.rate.low or 0.0


@dataclass(frozen=True)
class Point:
    """The latency at a rate, over all replicates, and the share of requests that are late."""

    rate: float
    p50_ns: float
    p99_ns: float
    late: float
    batch: float  # requests in a batch, on average


def pilot_capacity(
    service: Service, limit_ns: float, wait_ns: float = 0.0, max_batch: int | None = None, seed: int = 0
) -> Capacity | None:
    """Return the capacity with the batching that allows the highest rate in one short run, without an interval.

    With `max_batch`, only the batching up to it is tried. The result is None if every measured batch is larger.
    """
    every = Batching(service.sizes, wait_ns)
    batchings = [every.up_to(size) for size in service.sizes if max_batch is None or size <= max_batch]
    batchings = batchings if max_batch is None else batchings[-1:]
    if not batchings:
        return None
    rates = [highest_rate(service, batching, limit_ns, PILOT_REQUESTS, 0, seed) for batching in batchings]
    best = max(rates)
    return Capacity(service, batchings[rates.index(best)], limit_ns, ratio([(best, 1.0)]) if best else None)


def replicated_capacity(pilot: Capacity, seed: int = 0) -> Capacity:
    """Return the capacity with the rate of REPLICATES whole runs and its confidence interval.

    The low end of the interval is lowered to the least rate of a run where the requests of all runs, taken together,
    are late at it: close to saturation a little more than one run's highest rate makes most of that run's late.
    """
    setting = pilot.service, pilot.batching, pilot.limit_ns
    rates = [highest_rate(*setting, REQUESTS, replicate, seed) for replicate in range(REPLICATES)]
    if not all(rates):
        return Capacity(*setting, None)
    rate = ratio([(rate, 1.0) for rate in rates])
    (point,) = latency_curve(*setting[:2], [rate.low or min(rates)], pilot.limit_ns, REQUESTS, seed)
    if point.late > LATE_SHARE:
        rate = replace(rate, low=min(*rates, point.rate))
    return Capacity(*setting, rate)


def rank_services(
    services: Iterable[Service], limit_ns: float, wait_ns: float, max_batch: int | None, seed: int, shown: int
) -> tuple[list[Capacity], int]:
    """Return the capacities of the `shown` services with the highest rates, best first, and the number of the others.

    Services that no rate is low enough for come last, by the time of their smallest batch.
    """
    pilots = [pilot for service in services if (pilot := pilot_capacity(service, limit_ns, wait_ns, max_batch, seed))]
    pilots.sort(key=lambda pilot: (-(pilot.rate.value if pilot.rate else 0.0), pilot.single_ns))
    best = [replicated_capacity(pilot, seed) for pilot in pilots[:shown]]
    return sorted(best, key=lambda capacity: (-capacity.safe_rate, capacity.single_ns)), max(0, len(pilots) - shown)


def highest_rate(
    service: Service, batching: Batching, limit_ns: float, requests: int, replicate: int, seed: int
) -> float:
    """Return the highest requests per second that a replicate serves in time; 0 where even single requests are late.

    The search bisects between no load and saturation, because more requests are late at a higher rate. There are
    exceptions (a pair padded to a large batch is slower than one request): `late_below` finds them.
    """
    saturation = service.saturation(batching.max_batch)

    def in_time(rate: float) -> bool:
        latency = _steady_state(simulate_replicate(service, batching, rate, requests, replicate, seed))
        return bool((latency > limit_ns).mean() <= LATE_SHARE)

    low, high = LOW_UTILISATION * saturation, saturation
    if not in_time(low):
        return 0.0
    if in_time(high):
        return high
    while high - low > RESOLUTION * saturation:
        middle = (low + high) / 2
        low, high = (middle, high) if in_time(middle) else (low, middle)
    return low


def simulate_replicate(
    service: Service, batching: Batching, rate: float, requests: int, replicate: int, seed: int
) -> Served:
    """Simulate a replicate at a rate; its arrivals are the same at every rate, closer together or further apart."""
    arrivals = poisson(requests, (seed, replicate)) * (NS / rate)
    return simulate_queue(arrivals, service.times(replicate), batching, (seed, replicate))


def _steady_state(served: Served) -> Times:
    return served.latency_ns[len(served.latency_ns) // WARM_UP_PARTS :]


def latency_curve(
    service: Service,
    batching: Batching,
    rates: Sequence[float],
    limit_ns: float,
    requests: int = CURVE_REQUESTS,
    seed: int = 0,
) -> list[Point]:
    """Return the latency at each rate, over REPLICATES runs of `requests` requests."""
    import numpy as np

    points = []
    for rate in rates:
        runs = [simulate_replicate(service, batching, rate, requests, number, seed) for number in range(REPLICATES)]
        latency = np.concatenate([_steady_state(served) for served in runs])
        p50, p99 = np.quantile(latency, (0.5, 0.99), method="inverted_cdf").tolist()
        mean = sum(len(served.latency_ns) for served in runs) / sum(len(served.counts) for served in runs)
        points.append(Point(rate, p50, p99, float((latency > limit_ns).mean()), mean))
    return points


def curve_rates(saturation: float, count: int = 24) -> list[float]:
    """Return the rates of a curve's points, evenly spaced up to 98 % of saturation."""
    return [saturation * 0.98 * (number + 1) / count for number in range(count)]


def late_below(capacity: Capacity, points: Sequence[Point]) -> list[Point]:
    """Return the points below the capacity at which more than 1 % are late nevertheless."""
    return [point for point in points if point.rate < capacity.safe_rate and point.late > LATE_SHARE]


@dataclass(frozen=True)
class Fleet:
    """The devices that an offered load needs, in requests per second.

    `split` is their number where each request goes to a random device. A random part of a Poisson process is a Poisson
    process, so each device sees the simulated scenario at load / devices. `pooled` is the lower bound for every
    dispatcher: devices that are never idle and always run their best batch, without a limit on latency.
    """

    load: float
    split: int | None
    pooled: int


def fleet_for(load: float, capacity: Capacity) -> Fleet:
    split = ceil(load / capacity.safe_rate) if capacity.safe_rate else None
    return Fleet(load, split, ceil(load / capacity.service.peak_rate))
