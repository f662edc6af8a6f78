"""Latency, throughput and cold-cache samples under a clock that is played, and what throttling spoils of them."""

import random
from itertools import chain, cycle
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.machine.readings import Readings
from bench.plans.plan import Settings
from bench.stats import median_places, noise
from bench.worker.measure.measure import measure, measure_flushed
from bench.worker.measure.measured import Measured, as_ranges
from tests.bench.worker.measure.clocks import INPUTS, MS, FakeClock, forever, throttled_between


def test_quiet_samples_stop_by_the_noise_rule() -> None:
    clock = FakeClock(forever(10 * MS))
    found = measure(clock.run, INPUTS, clock, Settings())
    assert found.latency.stop == {"rule": "noise", "asked": 0.02, "reached": 0.0}
    assert set(found.latency.ns) == {10 * MS}
    assert sum(found.latency.ns) == pytest.approx(1e9, rel=0.05)  # latency_s, and no longer
    assert found.warmup["stationary"]


def test_noisy_samples_stop_at_the_time_limit_and_say_so() -> None:
    draw = random.Random(0)
    clock = FakeClock(iter(lambda: int(draw.lognormvariate(0, 1) * 20 * MS), None))
    found = measure(clock.run, INPUTS, clock, Settings(noise=0.001))
    assert found.latency.stop["rule"] == "time"
    assert found.latency.stop["reached"] > 0.001
    assert sum(found.latency.ns) / 1e9 == pytest.approx(4.0, rel=0.1)


def test_samples_that_follow_each_other_go_on_until_their_own_interval_is_narrow() -> None:
    """As independent ones they would end at the first look, with an interval that holds four times in ten."""
    draw, last = random.Random(1), 0.0

    def following() -> int:
        nonlocal last
        last = 0.9 * last + 0.436 * draw.gauss(0, 1)
        return int(10 * MS * (1 + 0.04 * last))

    clock = FakeClock(iter(following, None))
    found = measure(clock.run, INPUTS, clock, Settings(latency_limit_s=30.0))
    ns = found.latency.ns
    assert found.latency.stop == {"rule": "noise", "asked": 0.02, "reached": noise(ns)}  # as tables print it
    assert len(ns) > 300
    low, high = median_places(100) or (0, 0)
    assert (sorted(ns[:100])[high] - sorted(ns[:100])[low]) / 2 <= 0.02 * median(ns[:100])


def test_slow_executions_get_the_least_count_of_samples() -> None:
    clock = FakeClock(forever(2000 * MS))
    assert len(measure(clock.run, INPUTS, clock, Settings(samples=6)).latency.ns) == 6


def test_the_warm_up_ends_when_times_no_longer_fall() -> None:
    times = [int(10 * MS * (1 + 20 * 0.9**k)) for k in range(100)]
    clock = FakeClock([*times, *[10 * MS] * 100_000])
    found = measure(clock.run, INPUTS, clock, Settings(warmup_limit_s=60))
    assert found.warmup["stationary"]
    assert max(found.latency.ns) < 1.1 * median(found.latency.ns)


def test_a_warm_up_that_never_settles_is_cut_and_told() -> None:
    clock = FakeClock(chain((int(1e9 * 0.9**k) for k in range(10)), forever(10 * MS)))
    found = measure(clock.run, INPUTS, clock, Settings(warmup_limit_s=5))
    assert not found.warmup["stationary"]


def test_throughput_is_over_windows_of_together_at_least_what_was_asked() -> None:
    class Pipelined(FakeClock):
        """One at a time costs 20 ms; enqueued, only the wait at the end costs, 5 ms an execution."""

        queued = 0

        def run(self, x: Tensor) -> Tensor:
            self.queued += 1
            return x

        def sample(self, call: object) -> tuple[int, Tensor]:
            result = call()  # type: ignore[operator]
            self.queued = 0
            self.time += 20 * MS
            return 20 * MS, result

        def wait(self) -> None:
            self.time += 5 * MS * self.queued
            self.queued = 0

    clock = Pipelined([])
    found = measure(clock.run, INPUTS, clock, Settings())
    fields = found.fields(Readings(), 0.1)
    assert len(fields["windows"]) == 6
    assert sum(window["ns"] for window in fields["windows"]) >= 1e9
    assert fields["throughput"]["images"] / fields["throughput"]["ns"] * 1e9 == pytest.approx(2 / 0.005)


def test_inputs_rotate_and_witnesses_say_which_they_saw() -> None:
    clock = FakeClock(forever(20 * MS))
    seen: list[float] = []

    def run(x: Tensor) -> Tensor:
        seen.append(x[0, 0].item())
        return clock.run(x)

    found = measure(run, INPUTS, clock, Settings())
    counts = [seen.count(k) for k in (0.0, 1.0, 2.0)]
    assert max(counts) - min(counts) <= 3
    assert len(found.latency.witnesses) == 3
    for number, output in found.latency.witnesses:
        assert output.item() == INPUTS[number].sum()


def test_verify_runs_each_measurement_once() -> None:
    from bench.plans.plan import ONCE

    clock = FakeClock(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings(**ONCE))  # type: ignore[arg-type]
    assert len(found.latency.ns) == 1
    assert "throughput" not in found.fields(Readings(), 0.1)
    assert found.warmup["executions"] == len(INPUTS)
    assert len(found.latency.witnesses) >= 1


def test_flushed_samples_leave_the_flushing_out_and_say_how_they_ended() -> None:
    clock = FakeClock(forever(20 * MS))
    found = Measured()
    measure_flushed(clock.run, INPUTS, clock, Settings(flush_batch=2), found)
    assert set(found.flushed.ns) == {20 * MS}
    assert clock.flushed == len(found.flushed.ns)
    assert found.flushed.stop["flush_bytes"] == 1000
    assert found.flushed.stop["rule"] == "noise"


def test_a_large_batch_is_not_flushed() -> None:
    clock = FakeClock(forever(20 * MS))
    found = Measured()
    measure_flushed(clock.run, INPUTS, clock, Settings(flush_batch=1), found)
    assert found.flushed.ns == []
    assert clock.flushed == 0


def test_samples_taken_under_throttling_are_found_and_only_those() -> None:
    clock = FakeClock(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings())
    begins = found.latency.spans[0][0] / 1e9
    told = found.fields(throttled_between(begins + 0.3, begins + 0.5), 0.1)
    fallen = [place for first, last in told["throttled"]["latency"] for place in range(first, last + 1)]
    for place, (begun, _) in enumerate(found.latency.spans):
        inside = begins + 0.4 <= begun / 1e9 < begins + 0.5  # whatever the phase of the readings
        near = begins + 0.1 <= begun / 1e9 <= begins + 0.7  # a reading every 0.1 s knows no better
        assert (place in fallen) >= inside
        assert (place in fallen) <= near
    assert told["latency_ns"] == found.latency.ns  # none is thrown away
    assert 0.15 < told["watch"]["spoilt_s"]["steal"] < 0.45
    assert "throughput_s" not in told["throttled"]


def test_less_stolen_time_than_was_set_spoils_nothing() -> None:
    clock = FakeClock(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings())
    assert found.fields(throttled_between(0, 40), 0.3)["throttled"] == {}
    assert found.fields(throttled_between(0, 40), 0.2)["throttled"]["throughput_s"] > 0.9


def test_cold_samples_and_the_energy_are_judged_by_the_readings_of_their_own_time() -> None:
    clock = FakeClock(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings())
    quiet_s = clock.time / 1e9
    found.energy = {"joules": 9.0, "images": 3, "start_ns": clock.time, "s": 5.0}
    clock.time += 5000 * MS
    measure_flushed(clock.run, INPUTS, clock, Settings(flush_batch=2), found)
    told = found.fields(throttled_between(quiet_s + 1, quiet_s + 40), 0.1)
    assert "spoilt_s" not in told["watch"]
    assert told["flushed_watch"]["spoilt_s"]["steal"] > 0.9
    assert told["throttled"] == {"flushed": [[0, len(told["flushed_ns"]) - 1]]}
    assert told["energy"]["unreadable"].startswith("the machine spoilt 4.")
    assert found.fields(throttled_between(0, 0), 0.1)["energy"] == found.energy


def test_places_become_ranges() -> None:
    assert as_ranges([]) == []
    assert as_ranges([4]) == [[4, 4]]
    assert as_ranges([0, 1, 2, 7, 9, 10]) == [[0, 2], [7, 7], [9, 10]]


@given(
    st.lists(st.integers(MS, 50 * MS), min_size=20, max_size=20),
    st.integers(2, 1000),
)
def test_all_times_scale_with_the_clock(law: list[int], factor: int) -> None:
    """A clock that counts in another unit gives every figure in that unit, and the same decisions."""

    def found(scale: int) -> dict[str, object]:
        clock = FakeClock(cycle(value * scale for value in law))
        seconds = {name: scale * value for name, value in SECONDS.items()}
        told = measure(clock.run, INPUTS, clock, Settings(**seconds, samples=10))  # type: ignore[arg-type]
        return told.fields(Readings(), 0.1)

    one, many = found(1), found(factor)
    assert [factor * ns for ns in one["latency_ns"]] == many["latency_ns"]  # type: ignore[attr-defined]
    assert one["throughput"]["images"] == many["throughput"]["images"]  # type: ignore[index]
    assert factor * one["throughput"]["ns"] == many["throughput"]["ns"]  # type: ignore[index]
    assert one["latency_stop"] == many["latency_stop"]


SECONDS = {"warmup_s": 0.1, "warmup_limit_s": 0.5, "latency_s": 0.2, "latency_limit_s": 0.4, "throughput_s": 0.2}


def test_few_quiet_samples_are_no_proof_of_low_noise() -> None:
    """Of a slow case the limit ends them, as fewer than 64 do not show how they follow each other."""
    clock = FakeClock(forever(100 * MS))
    found = measure(clock.run, INPUTS, clock, Settings())
    assert len(found.latency.ns) == 40  # latency_limit_s
    assert found.latency.stop["rule"] == "noise"  # which is what it is at the end
