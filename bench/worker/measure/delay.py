"""A delay of exact size around every variant, which `bench selftest --real` plants in temporary worktrees.

Nothing imports this module, and nothing that is measured has a hook for it: `bench.verdicts.selftest.real` copies the
file into a worktree's `resnet/variants/` and wraps `prepare` there. It needs the standard library, and torch on CUDA.

The delay is a share of the call, added to it, so that both latency and throughput get worse by that share:

- On the host it is a busy wait for that share of the time that this very call took. Nothing is calibrated, so the delay
  adds no noise, and on a machine that is slow for a while it is longer by as much.
- On CUDA a kernel on the current stream spins too, for a time set once, when the variant is prepared. It is launched
  before the host's wait, so that the two overlap: a call bound by the device is slower by the device's wait, one bound
  by the host by the host's, and none by both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

WARM_UP_S = 0.3  # before the device's wait is sized: clocks ramp, libraries choose
TURNS = 30  # timings of each call, taken in turns; the median counts
SPIN_CYCLES = 1_000_000  # 0.6 ms at 1.7 GHz, which is long beside a launch


class Delayed:
    """A runner whose every call takes `share` longer (0.03: three percent)."""

    def __init__(self, runner: Any, share: float, device_wait: Callable[[], object] | None = None) -> None:
        self._runner, self._share, self._device_wait = runner, share, device_wait
        self.place = runner.place

    @property
    def details(self) -> dict[str, Any]:
        return dict(self._runner.details) | {"delayed": self._share}

    def __call__(self, x: Any) -> Any:
        start = time.perf_counter_ns()
        result = self._runner(x)
        end = time.perf_counter_ns()
        if self._device_wait:
            self._device_wait()
        end += round(self._share * (end - start))
        while time.perf_counter_ns() < end:
            pass
        return result


def delayed(prepare: Callable[..., Any], share: float) -> Callable[..., Any]:
    """Wrap `resnet.variants.prepare` so that every call of its runners takes `share` longer."""

    def prepare_delayed(
        name: str, model: Any, example: Any, precision: str, launch: str = "stream", *calibration: Any
    ) -> Delayed:
        runner = prepare(name, model, example, precision, launch, *calibration)  # of an older commit it takes none
        if example.device.type != "cuda":
            return Delayed(runner, share)
        x = runner.place(example)
        return Delayed(runner, share, _device_wait(lambda: runner(x), share))

    return prepare_delayed


def _device_wait(call: Callable[[], object], share: float) -> Callable[[], object]:
    """Return a function that enqueues a kernel that spins for `share` of what `call` takes on the device."""
    import torch

    sleep = torch.cuda._sleep

    def microseconds(work: Callable[[], object]) -> float:
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        work()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) * 1e3

    work: dict[str, Callable[[], object]] = {
        "call": call,
        "call and launch": lambda: (call(), sleep(1)),
        "launch": lambda: sleep(1),
        "spin": lambda: sleep(SPIN_CYCLES),
    }
    end = time.monotonic() + WARM_UP_S
    while time.monotonic() < end:
        microseconds(call)
    turns = [{name: microseconds(function) for name, function in work.items()} for _ in range(TURNS)]
    cycles = spin_cycles({name: median(turn[name] for turn in turns) for name in work}, share)
    return lambda: sleep(cycles)


def spin_cycles(us: Mapping[str, float], share: float) -> int:
    """Return the cycles for which the kernel spins, from the microseconds that `_device_wait` times.

    What its launch adds to a call is part of the delay. The least is one cycle: for a short call, the launch alone may
    take more than the share.
    """
    launch = us["call and launch"] - us["call"]
    cycles_per_us = SPIN_CYCLES / max(us["spin"] - us["launch"], 1e-3)
    return max(1, round(cycles_per_us * (share * us["call"] - launch)))
