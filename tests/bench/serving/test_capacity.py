from math import log

import numpy as np
import pytest

from bench.plans.case import Case
from bench.serving.capacity import (
    LATE_SHARE,
    REPLICATES,
    REQUESTS,
    Capacity,
    curve_rates,
    fleet_for,
    late_below,
    latency_curve,
    pilot_capacity,
    rank_services,
    replicated_capacity,
)
from bench.serving.queue import Batching, Service
from bench.stats import Ratio

MS = 1e6


def service(**times: float) -> Service:
    """Executions that always take the same, in ms by batch."""
    return drawn({int(size[1:]): [ms * MS] for size, ms in times.items()})


def drawn(times: dict[int, list[float]], variant: str = "eager") -> Service:
    case = Case.parse(f"resnet50/{variant}/fp32/b{max(times)}/i224/stream")
    return Service(case, {size: (tuple(ns),) for size, ns in times.items()})


def test_the_runs_are_together_as_long_as_mlperf_asks() -> None:
    assert REPLICATES * REQUESTS == 270_336


def test_the_highest_rate_of_an_m_m_1_queue_is_the_known_one() -> None:
    """The time in the system is exponential with rate 1/service - rate: its p99 is ln(100) over that."""
    exponential = np.random.default_rng(1).exponential(MS, 100_000).tolist()
    limit = 10 * MS
    capacity = pilot_capacity(drawn({1: exponential}), limit)
    assert capacity
    sure = replicated_capacity(capacity)
    assert sure.rate
    expected = (1 / MS - log(100) / limit) * 1e9
    assert sure.rate.value == pytest.approx(expected, rel=0.02)
    assert sure.safe_rate < sure.rate.value < sure.saturation == pytest.approx(1000, rel=0.02)


def test_no_more_than_one_in_a_hundred_is_late_at_the_rate_found() -> None:
    capacity = replicated_capacity(pilot_capacity(service(b1=5, b8=10), 25 * MS))  # type: ignore[arg-type]
    at, beyond = latency_curve(
        capacity.service,
        capacity.batching,
        [capacity.safe_rate, 1.05 * capacity.safe_rate],
        capacity.limit_ns,
        REQUESTS,
    )
    assert at.late <= LATE_SHARE < beyond.late
    assert at.p99_ns <= 25 * MS < beyond.p99_ns


def test_close_to_saturation_the_sure_rate_is_one_that_all_runs_together_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.serving.capacity.REQUESTS", 2_000)
    times = np.random.default_rng(1).normal(0.72, 0.03, 192).clip(0.6) * MS
    capacity = replicated_capacity(pilot_capacity(drawn({8: times.tolist()}), 6 * MS))  # type: ignore[arg-type]
    (point,) = latency_curve(capacity.service, capacity.batching, [capacity.safe_rate], 6 * MS, 2_000)
    assert capacity.safe_rate > 0.95 * capacity.saturation
    assert point.late <= LATE_SHARE


def test_the_largest_batch_is_the_one_that_serves_best() -> None:
    # a batch of 32 is the max_batch efficient, and alone takes longer than the limit
    capacity = pilot_capacity(service(b1=5, b8=10, b32=30), 25 * MS)
    assert capacity
    assert capacity.batching.max_batch == 8
    assert pilot_capacity(service(b1=5, b8=10, b32=30), 200 * MS).batching.max_batch == 32  # type: ignore[union-attr]
    assert pilot_capacity(service(b1=5, b8=10, b32=30), 200 * MS, max_batch=16).batching.max_batch == 8  # type: ignore[union-attr]
    assert pilot_capacity(service(b8=10), 200 * MS, max_batch=4) is None


def test_a_limit_under_a_single_request_s_time_is_kept_at_no_rate() -> None:
    capacity = pilot_capacity(service(b1=5, b8=10), 4 * MS)
    assert capacity
    assert replicated_capacity(capacity).rate is None
    assert replicated_capacity(capacity).safe_rate == 0
    assert fleet_for(100, capacity).split is None


def test_waiting_for_others_is_part_of_the_latency() -> None:
    alone = service(b8=10)
    assert pilot_capacity(alone, 14 * MS).rate  # type: ignore[union-attr]
    assert pilot_capacity(alone, 14 * MS, wait_ns=10 * MS).rate is None  # type: ignore[union-attr]
    # a batch of one is full at once
    assert pilot_capacity(service(b1=5, b8=10), 14 * MS, wait_ns=10 * MS).batching.max_batch == 1  # type: ignore[union-attr]


def test_processes_that_differ_widen_the_interval() -> None:
    """A replicate draws from one process: where a process is slow, so is a device."""
    case = Case.parse("resnet50/eager/fp32/b1/i224/stream")
    rates = [
        replicated_capacity(pilot_capacity(Service(case, {1: rounds}), 25 * MS)).rate  # type: ignore[arg-type]
        for rounds in (((5 * MS,), (5 * MS,)), ((4.5 * MS,), (5.5 * MS,)))
    ]
    alike, unlike = (rate.half_width for rate in rates if rate)
    assert alike is not None
    assert unlike is not None
    assert unlike > 5 * alike


def test_services_come_best_first_and_the_hopeless_by_their_time() -> None:
    among = [drawn({1: [30 * MS]}, "compile"), service(b1=8), service(b1=5), drawn({1: [20 * MS]}, "onnxruntime")]
    capacity, more = rank_services(among, 15 * MS, 0, None, 0, shown=3)
    assert [one.service.mean_ns[1] / MS for one in capacity] == [5, 8, 20]
    assert more == 1
    assert capacity[2].rate is None


def test_devices_are_counted_for_the_sure_rate_and_bounded_by_the_peak() -> None:
    capacity = Capacity(service(b1=5, b8=10), Batching((1,)), 25 * MS, Ratio(110, 100, 120, 8))
    assert (fleet_for(100, capacity).split, fleet_for(100, capacity).pooled) == (1, 1)
    assert (fleet_for(101, capacity).split, fleet_for(801, capacity).pooled) == (2, 2)
    assert (fleet_for(1e6, capacity).split, fleet_for(1e6, capacity).pooled) == (10_000, 1_250)


def test_a_lower_rate_that_fails_is_found() -> None:
    """Pairs padded to a slow batch: late where they are rare enough to come, and early in a queue that is long."""
    capacity = Capacity(service(b1=5, b2=50), Batching((1, 2)), 30 * MS, Ratio(90, 90, 90, 8))
    points = latency_curve(capacity.service, capacity.batching, [1, 20, 80], capacity.limit_ns)
    assert [point.rate for point in late_below(capacity, points)] == [20, 80]


def test_a_curve_ends_just_before_saturation_and_rises() -> None:
    one = service(b1=5)
    points = latency_curve(one, Batching((1,)), curve_rates(200)[::6], 15 * MS)
    assert curve_rates(200)[-1] == pytest.approx(196)
    assert [point.p99_ns for point in points] == sorted(point.p99_ns for point in points)
    assert points[0].p50_ns == pytest.approx(5 * MS)
