"""Device time of a call, on a stream that is blocked until the host has enqueued all of the call.

Events around a call on an idle stream time the host as well: the first is over before the host has launched anything.
nvbench blocks the stream with a kernel that spins until the host releases it, which deadlocks where the call waits for
the device (a module loaded lazily, a graph of ONNX Runtime's). Here a kernel spins for a bounded time instead, longer
than enqueueing took before; where that was too short, the sample is dropped and the next spin is longer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch

T = TypeVar("T")

FIRST_CYCLES = 400_000  # 0.2 ms at 2 GHz: what most graphs and short networks need
RECENT = 8  # calls whose enqueueing is remembered: a host that was busy once is forgotten after so many
MARGIN = 2  # a spin is so many times the longest of them
LEAST_NS, LIMIT_NS = 100_000, 100_000_000  # of a spin
SLOWEST_GHZ = 0.5  # no card at work clocks lower: a spin that seems so long had a module's loading in it
TRIES = 12  # in a row; from the shortest spin to the longest it takes ten doublings


class StartedEarly(RuntimeError):
    """The device began a call before the host had enqueued it, however long the spin: it has no device time."""


class DeviceTime(NamedTuple, Generic[T]):
    """An execution's nanoseconds between its events, its result, which is ready, and how many tries were dropped."""

    ns: int
    result: T
    retries: int


class SpinLength:
    """The cycles for which a kernel blocks the stream, from how long enqueueing took before."""

    def __init__(self) -> None:
        self.cycles = FIRST_CYCLES
        self._enqueue_ns: deque[int] = deque(maxlen=RECENT)

    def update(self, enqueue_ns: int, spin_ns: float) -> None:
        """Size the next spin: during the last one, which took `spin_ns`, the host enqueued for `enqueue_ns`."""
        self._enqueue_ns.append(enqueue_ns)
        wanted_ns = min(max(MARGIN * max(self._enqueue_ns), LEAST_NS), LIMIT_NS)
        ghz = max(self.cycles / max(spin_ns, 1), SLOWEST_GHZ)  # of the device, measured anew: it varies
        self.cycles = round(wanted_ns * ghz)


class DeviceTimer:
    """Times calls on a CUDA stream, which is the current one."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream, self._spin = stream, SpinLength()
        self._blocked, self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(3))

    def time(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> DeviceTime[T]:
        """Time one execution; each try runs `before`, such as a cache flush, ahead of the spin. Raises StartedEarly."""
        for retries in range(TRIES):
            before()
            self._blocked.record(self._stream)
            torch.cuda._sleep(self._spin.cycles)
            begin = time.perf_counter_ns()
            self._start.record(self._stream)
            result = call()
            self._end.record(self._stream)
            enqueue_ns = time.perf_counter_ns() - begin
            early = self._start.query()
            self._end.synchronize()
            self._spin.update(enqueue_ns, self._blocked.elapsed_time(self._start) * 1e6)
            if not early:
                return DeviceTime(round(self._start.elapsed_time(self._end) * 1e6), result, retries)
        raise StartedEarly(
            f"the device began before all was enqueued, {TRIES} times in a row: the call waits for the device, or "
            "launches more than a stream holds (about a thousand kernels), or a tool makes launches wait "
            "(CUDA_LAUNCH_BLOCKING)"
        )
