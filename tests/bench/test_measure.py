import random
from itertools import chain
from statistics import median

import pytest
import torch
from torch import Tensor

from bench.measure import measure
from bench.plan import Settings

MS = 1_000_000


class FakeClock:
    """Time that passes only when something runs, by a law of the test's."""

    def __init__(self, law: object) -> None:
        self.law = iter(law)  # type: ignore[call-overload]
        self.time = 0
        self.waited = 0

    def run(self, x: Tensor) -> Tensor:
        self.time += next(self.law)
        return x.sum().reshape(1)

    def sample(self, call: object) -> tuple[int, None, Tensor]:
        before = self.time
        result = call()  # type: ignore[operator]
        return self.time - before, None, result

    def wait(self) -> None:
        self.waited += 1

    def now(self) -> int:
        return self.time


def forever(value: int):
    while True:
        yield value


INPUTS = [torch.full((2, 3), float(k)) for k in range(3)]


def test_quiet_samples_stop_by_the_noise_rule() -> None:
    clock = FakeClock(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings())
    assert found.latency_stop == {"rule": "noise", "asked": 0.02, "reached": 0.0}
    assert set(found.latency_ns) == {20 * MS}
    assert sum(found.latency_ns) == pytest.approx(1e9, rel=0.05)  # latency_s, and no longer
    assert found.warmup["stationary"]


def test_noisy_samples_stop_at_the_time_limit_and_say_so() -> None:
    draw = random.Random(0)
    clock = FakeClock(iter(lambda: int(draw.lognormvariate(0, 1) * 20 * MS), None))
    found = measure(clock.run, INPUTS, clock, Settings(noise=0.001))
    assert found.latency_stop["rule"] == "time"
    assert found.latency_stop["reached"] > 0.001
    assert sum(found.latency_ns) / 1e9 == pytest.approx(4.0, rel=0.1)


def test_slow_executions_get_the_least_count_of_samples() -> None:
    clock = FakeClock(forever(2000 * MS))
    assert len(measure(clock.run, INPUTS, clock, Settings(samples=6)).latency_ns) == 6


def test_the_warm_up_ends_when_times_no_longer_fall() -> None:
    times = [int(10 * MS * (1 + 20 * 0.9**k)) for k in range(100)]
    clock = FakeClock([*times, *[10 * MS] * 100_000])
    found = measure(clock.run, INPUTS, clock, Settings(warmup_limit_s=60))
    assert found.warmup["stationary"]
    assert max(found.latency_ns) < 1.1 * median(found.latency_ns)


def test_a_warm_up_that_never_settles_is_cut_and_told() -> None:
    clock = FakeClock(chain((int(1e9 * 0.9**k) for k in range(10)), forever(10 * MS)))
    found = measure(clock.run, INPUTS, clock, Settings(warmup_limit_s=5))
    assert not found.warmup["stationary"]


def test_throughput_is_over_a_window_of_at_least_what_was_asked() -> None:
    class Pipelined(FakeClock):
        """One at a time costs 20 ms; enqueued, only the wait at the end costs, 5 ms an execution."""

        queued = 0

        def run(self, x: Tensor) -> Tensor:
            self.queued += 1
            return x

        def sample(self, call: object) -> tuple[int, None, Tensor]:
            result = call()  # type: ignore[operator]
            self.queued = 0
            self.time += 20 * MS
            return 20 * MS, None, result

        def wait(self) -> None:
            self.time += 5 * MS * self.queued
            self.queued = 0

    clock = Pipelined([])
    found = measure(clock.run, INPUTS, clock, Settings())
    assert found.throughput["ns"] >= 1e9
    assert found.throughput["images"] / found.throughput["ns"] * 1e9 == pytest.approx(2 / 0.005)


def test_inputs_rotate_and_witnesses_say_which_they_saw() -> None:
    clock = FakeClock(forever(20 * MS))
    seen: list[float] = []

    def run(x: Tensor) -> Tensor:
        seen.append(x[0, 0].item())
        return clock.run(x)

    found = measure(run, INPUTS, clock, Settings())
    counts = [seen.count(k) for k in (0.0, 1.0, 2.0)]
    assert max(counts) - min(counts) <= 3
    assert len(found.witnesses) == 3
    for number, output in found.witnesses:
        assert output.item() == INPUTS[number].sum()


def test_verify_runs_each_measurement_once() -> None:
    from bench.plan import ONCE

    clock = FakeClock(forever(20 * MS))
    found = measure(clock.run, INPUTS, clock, Settings(**ONCE))  # type: ignore[arg-type]
    assert len(found.latency_ns) == 1
    assert found.throughput == {}
    assert found.warmup["executions"] == len(INPUTS)
    assert len(found.witnesses) >= 1
