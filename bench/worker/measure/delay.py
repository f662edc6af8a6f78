"""A delay of known size around every variant: what `bench selftest --real` puts into worktrees of its own.

Nothing here imports this module, and nothing that is measured has a hook for it: `bench.verdicts.selftest.real` copies
this file into a worktree's `resnet/variants/` and has `prepare` there wrapped. It needs the standard library, on CUDA
torch.

The delay is a share of the call, on top of it, so that latency and throughput both are worse by that share:

- On the host a busy wait of that share of what this very call took there. Nothing is calibrated, so that the delay adds
  no noise of its own, and a machine that is slow for a while delays by as much more.
- On CUDA also a kernel on the current stream that spins, sized once when the variant is prepared. It comes before the
  host's wait, so that the two overlap: what the device bounds is slower by the device's wait, what the host bounds by
  the host's, and neither by both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

WARM_S = 0.3  # of calls before the device's wait is sized: clocks ramp, libraries choose
TURNS = 30  # timings of each, in turns, of which the median counts
SPIN = 1_000_000  # cycles: 0.6 ms at 1.7 GHz, long beside a launch


class Delayed:
    """A runner each call of which takes `share` longer (0.03: three percent)."""

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
    """`resnet.variants.prepare` whose runners take `share` longer a call."""

    def slower(name: str, model: Any, example: Any, precision: str, launch: str = "stream") -> Delayed:
        runner = prepare(name, model, example, precision, launch)
        if example.device.type != "cuda":
            return Delayed(runner, share)
        x = runner.place(example)
        return Delayed(runner, share, _device_wait(lambda: runner(x), share))

    return slower


def _device_wait(call: Callable[[], object], share: float) -> Callable[[], object]:
    """Enqueues a kernel that makes `call` take `share` longer, as events on the current stream tell."""
    import torch

    def sleep(cycles: int) -> None:
        torch.cuda._sleep(cycles)

    def call_and_launch() -> None:
        call()
        sleep(1)

    def microseconds(work: Callable[[], object]) -> float:
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        work()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) * 1e3

    work: dict[str, Callable[[], object]] = {
        "call": call,
        "call and launch": call_and_launch,
        "launch": lambda: sleep(1),
        "spin": lambda: sleep(SPIN),
    }
    end = time.monotonic() + WARM_S
    while time.monotonic() < end:
        microseconds(call)
    turns = [{name: microseconds(one) for name, one in work.items()} for _ in range(TURNS)]
    cycles = spin_cycles({name: median(turn[name] for turn in turns) for name in work}, share)
    return lambda: sleep(cycles)


def spin_cycles(us: Mapping[str, float], share: float) -> int:
    """How long the kernel spins, from the times of `_device_wait`: what its launch adds to a call is part of the delay.

    At least one cycle: of a short call the launch alone may be more than was asked.
    """
    launch = us["call and launch"] - us["call"]
    per_us = SPIN / max(us["spin"] - us["launch"], 1e-3)
    return max(1, round(per_us * (share * us["call"] - launch)))
