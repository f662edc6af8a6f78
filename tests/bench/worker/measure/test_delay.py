"""A delay of known size in every call, on a clock that is made up."""

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from bench.worker.measure.delay import SPIN_CYCLES, Delayed, delayed, spin_cycles


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Each look at it takes 10 ns."""
    kept = SimpleNamespace(now=0)

    def look() -> int:
        kept.now += 10
        return int(kept.now)

    monkeypatch.setattr(time, "perf_counter_ns", look)
    return kept


class Runner:
    """Of so many nanoseconds as it is given."""

    def __init__(self, clock: SimpleNamespace, told: Callable[[str], None] = lambda text: None) -> None:
        self.clock, self.told, self.details = clock, told, {"graph": False}

    def place(self, batch: int) -> int:
        return batch + 1

    def __call__(self, x: int) -> int:
        self.told("call")
        self.clock.now += x
        return x


@pytest.mark.parametrize("share", [0.01, 0.03, 0.5])
def test_every_call_is_longer_by_the_share_of_what_it_took_itself(clock: SimpleNamespace, share: float) -> None:
    example = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    slower = delayed(lambda *words: Runner(clock), share)("eager", None, example, "fp32")
    assert slower.place(1) == 2
    assert slower.details == {"graph": False, "delayed": share}
    for took in (1_000_000, 5_000_000, 20_000):
        before = clock.now
        assert slower(took) == took
        assert clock.now - before == pytest.approx(took * (1 + share), abs=50)


def test_the_device_waits_while_the_host_does(clock: SimpleNamespace) -> None:
    done = list[tuple[str, int]]()
    Delayed(Runner(clock, lambda text: done.append((text, clock.now))), 0.5, lambda: done.append(("wait", clock.now)))(
        1000
    )
    (first, _), (second, enqueued) = done
    assert (first, second) == ("call", "wait")
    assert enqueued < 1100  # before the host's wait
    assert clock.now >= 1500


def test_the_launch_of_the_devices_wait_is_part_of_the_delay() -> None:
    us = {"call": 1000.0, "call and launch": 1002.0, "launch": 5.0, "spin": 505.0}
    assert spin_cycles(us, 0.03) == round(SPIN_CYCLES / 500 * 28)
    assert spin_cycles(us, 0.001) == 1  # the launch alone is more
