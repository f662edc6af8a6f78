"""Device times: samples of their own, held and flushed, on a device that is played."""

import random

import pytest

from bench.machine.readings import Readings
from bench.plans.plan import Settings
from bench.worker.measure.measure import measure, measure_flushed
from bench.worker.measure.measured import Measured
from tests.bench.worker.measure.clocks import INPUTS, MS, FakeClock, FakeGpu, forever, throttled_between


def test_a_cpu_has_no_device_times() -> None:
    clock = FakeClock(forever(20 * MS))
    told = measure(clock.run, INPUTS, clock, Settings()).fields(Readings(), 0.1)
    assert (told["gpu_ns"], told["gpu_how"], told["gpu_stop"]) == ([], "", {})


def test_device_times_are_samples_of_their_own_behind_those_of_latency() -> None:
    clock = FakeGpu(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings(latency_s=6.0, latency_limit_s=9.0))
    told = found.fields(Readings(), 0.1)
    assert set(told["latency_ns"]) == {20 * MS}  # without the hold
    assert set(told["gpu_ns"]) == {5 * MS}
    assert told["gpu_how"] == "held"
    assert told["gpu_stop"] == {"rule": "noise", "asked": 0.02, "reached": 0.0, "late": 1}
    assert clock.order == sorted(clock.order, reverse=True), "the two take no turns"
    (first, _), (_, last) = found.gpu.spans[0], found.gpu.spans[-1]
    assert (last - first) / 1e9 == pytest.approx(2, rel=0.1)  # a third of latency_s, holds included


def test_noisy_device_times_stop_at_a_third_of_the_limit() -> None:
    draw = random.Random(0)
    clock = FakeGpu(iter(lambda: int(draw.lognormvariate(0, 1) * 20 * MS), None))
    found = measure(clock.run, INPUTS, clock, Settings(noise=0.001))
    assert found.gpu.stop["rule"] == "time"
    assert (found.gpu.spans[-1][1] - found.gpu.spans[0][0]) / 1e9 == pytest.approx(4 / 3, rel=0.1)


def test_what_cannot_be_held_has_no_device_time_and_says_why() -> None:
    clock = FakeGpu(forever(20 * MS))
    clock.fails = 3
    told = measure(clock.run, INPUTS, clock, Settings()).fields(Readings(), 0.1)
    assert (told["gpu_ns"], told["gpu_how"]) == ([], "")
    assert told["gpu_stop"] == {"rule": "not held", "why": "it waits"}
    assert len(told["latency_ns"]) > 10
    assert told["throughput"]["images"] > 0


def test_one_execution_for_a_profiler_is_not_held() -> None:
    from bench.plans.plan import ONCE

    clock = FakeGpu(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings(**ONCE))  # type: ignore[arg-type]
    assert found.gpu.ns == []
    assert "device" not in clock.order


def test_the_cache_is_flushed_before_each_hold() -> None:
    clock = FakeGpu(forever(20 * MS))
    found = Measured()
    measure_flushed(clock.run, INPUTS, clock, Settings(flush_batch=2), found)
    latencies, devices = len(found.flushed.ns), len(found.flushed_gpu.ns)
    assert clock.order == ["flush", "latency"] * latencies + ["flush", "device"] * devices
    assert set(found.flushed_gpu.ns) == {5 * MS}
    assert latencies > devices >= 10


def test_device_times_taken_under_throttling_are_found_among_themselves() -> None:
    clock = FakeGpu(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings(throughput_s=0.0))
    begins = found.gpu.spans[0][0] / 1e9
    told = found.fields(throttled_between(begins + 0.15, begins + 9), 0.1)
    assert "latency" not in told["throttled"]
    ((first, last),) = told["throttled"]["gpu"]
    assert last == len(found.gpu.ns) - 1
    assert first > 0
    assert found.gpu.spans[first][1] / 1e9 > begins  # a reading every 0.1 s knows no better
    assert found.gpu.spans[first][0] / 1e9 < begins + 0.3
