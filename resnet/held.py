"""Device time of a call: its stream is held until all of the call is enqueued, so that none of the host's time counts.

Events around a call on an idle stream time the host as well: the first is over before the host has launched anything.
nvbench holds the stream with a kernel that spins until the host releases it, which deadlocks where the call waits for
the device (a module loaded lazily, a graph of ONNX Runtime's). Here a kernel spins for a bounded time instead, longer
than enqueueing took before; where that was too short, the sample falls and the next hold is longer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch

T = TypeVar("T")

FIRST_CYCLES = 400_000  # 0.2 ms at 2 GHz: what most graphs and short networks need
RECENT = 8  # enqueueings remembered: what a busy host did once is forgotten after so many
MARGIN = 2  # times the longest of them
LEAST_NS, LIMIT_NS = 100_000, 100_000_000  # of a hold
SLOWEST_GHZ = 0.5  # no card at work clocks lower: a hold that seems so long had a module's loading in it
TRIES = 12  # in a row; from the least hold to the limit it takes ten doublings


class NotHeld(RuntimeError):
    """A call that the device began, whatever the hold, before the host was through with it: it has no device time."""


class Held(NamedTuple, Generic[T]):
    """A held execution: nanoseconds between its events, its result, which is ready, and the tries that fell before."""

    ns: int
    result: T
    late: int


class Hold:
    """How many cycles to hold a stream: arithmetic alone."""

    def __init__(self) -> None:
        self.cycles = FIRST_CYCLES
        self._enqueued: deque[int] = deque(maxlen=RECENT)

    def learn(self, enqueued_ns: int, held_ns: float) -> None:
        """Size the next hold: the host took `enqueued_ns` behind the last one, which took the device `held_ns`."""
        self._enqueued.append(enqueued_ns)
        wanted = min(max(MARGIN * max(self._enqueued), LEAST_NS), LIMIT_NS)
        ghz = max(self.cycles / max(held_ns, 1), SLOWEST_GHZ)  # the device's clock, anew: it varies
        self.cycles = round(wanted * ghz)


class HeldStream:
    """Times calls on a CUDA stream, which is the current one."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream, self._hold = stream, Hold()
        self._begin, self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(3))

    def time(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> Held[T]:
        """One execution; `before` (a cache's flushing) comes before the hold of each try. Raises NotHeld."""
        for late in range(TRIES):
            before()
            self._begin.record(self._stream)
            torch.cuda._sleep(self._hold.cycles)
            behind = time.perf_counter_ns()
            self._start.record(self._stream)
            result = call()
            self._end.record(self._stream)
            enqueued = time.perf_counter_ns() - behind
            begun = self._start.query()  # before the host was through
            self._end.synchronize()
            self._hold.learn(enqueued, self._begin.elapsed_time(self._start) * 1e6)
            if not begun:
                return Held(round(self._start.elapsed_time(self._end) * 1e6), result, late)
        raise NotHeld(
            f"the device began before all was enqueued, {TRIES} times in a row: the call waits for the device, or "
            "launches more than a stream holds (about a thousand kernels), or a tool makes launches wait "
            "(CUDA_LAUNCH_BLOCKING)"
        )
