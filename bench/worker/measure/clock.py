"""The clocks. Every variant, torch, compiled, Triton or ONNX Runtime, is timed by the same one of its device.

Latency is host time from the call to the result being ready, and nothing else is done meanwhile. Device time is between
events on the current stream, held until all is enqueued (`resnet.device_time`): executions of its own, as the events
and the hold would stand in the latency. Work that a callable puts on another stream is not waited for, and so is not
ready when it is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from bench.machine.environment import cache_bytes
from bench.records.record import GPU_HOW
from resnet.device_time import DeviceTime, DeviceTimer

T = TypeVar("T")

# Writing once the size of a cache leaves some of what was there: caches hash addresses, and some keep what their inner
# caches threw out. Twice leaves nothing that could be measured.
FLUSH = 2
# a cache whose size cannot be read; no device that runs this has a larger one in use
UNKNOWN_CACHE = 128 << 20


class Clock(Protocol):
    how: str  # device time is measured, as a record names it; empty where the host's time is the device's

    def sample(self, call: Callable[[], T]) -> tuple[int, T]:
        """One execution: host nanoseconds, and the result, which is ready."""
        ...

    def device(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> DeviceTime[T]:
        """One execution's device time; on a CPU the host's. Raises StartedEarly. `before` comes before each try."""
        ...

    def wait(self) -> None:
        """Until everything on the current stream is done."""
        ...

    def now(self) -> int:
        """Host time, in nanoseconds: that of `bench.machine.watch` too."""
        ...

    def flush(self) -> int:
        """Empty the device's last-level cache of what a model left there, and wait; the bytes written."""
        ...


class HostClock:
    """For a CPU, where a call returns with its result ready."""

    how = ""

    def __init__(self) -> None:
        self._scratch: Tensor | None = None

    def sample(self, call: Callable[[], T]) -> tuple[int, T]:
        start = time.perf_counter_ns()
        result = call()
        return time.perf_counter_ns() - start, result

    def device(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> DeviceTime[T]:
        before()
        return DeviceTime(*self.sample(call), 0)

    def wait(self) -> None:
        pass

    def now(self) -> int:
        return time.perf_counter_ns()

    def flush(self) -> int:
        if self._scratch is None:
            size = cache_bytes()
            self._scratch = torch.zeros(FLUSH * (size if isinstance(size, int) else UNKNOWN_CACHE), dtype=torch.uint8)
        self._scratch.add_(1)  # by all of torch's threads, so in the caches of all their cores
        return self._scratch.numel()


class CudaClock:
    """For a GPU: the host waits for `stream` alone, which is the current one."""

    how = GPU_HOW

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream
        self._timer = DeviceTimer(stream)
        self._scratch: Tensor | None = None

    def sample(self, call: Callable[[], T]) -> tuple[int, T]:
        start = time.perf_counter_ns()
        result = call()
        self.stream.synchronize()
        return time.perf_counter_ns() - start, result

    def device(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> DeviceTime[T]:
        return self._timer.time(call, before)

    def wait(self) -> None:
        self.stream.synchronize()

    def now(self) -> int:
        return time.perf_counter_ns()

    def flush(self) -> int:
        if self._scratch is None:
            size = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
            self._scratch = torch.empty(FLUSH * size, dtype=torch.uint8, device="cuda")
        self._scratch.zero_()
        self.wait()
        return self._scratch.numel()


@contextmanager
def on_device(device: str) -> Iterator[Clock]:
    """The device's clock, inside a stream of our own, without gradients.

    A stream of our own is captured into graphs, is handed to ONNX Runtime, and does not wait for the default stream:
    a callable that works on the default stream is caught by the gate, not hidden by an implicit synchronisation.

    Gradients are off once for all that is done in here, in the same way for every variant: a guard inside the timed
    call would add its own microseconds to it. It is no_grad, as tensors made in inference mode break some compiled
    graphs (pytorch#135892, #180823), and compiled code is compiled anew where the mode is another.
    """
    with torch.no_grad():
        if device == "cpu":
            yield HostClock()
            return
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            yield CudaClock(stream)
