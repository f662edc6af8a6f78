"""The clocks. Every variant, torch, compiled, Triton or ONNX Runtime, is timed by the same one of its device.

Latency is host time from the call to the result being ready; GPU time is between events on the current stream around
the same execution. Work that a callable puts on another stream is not waited for, and so is not ready when it is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

Call = Callable[[], Tensor]


class Clock(Protocol):
    def sample(self, call: Call) -> tuple[int, int | None, Tensor]:
        """One execution: host nanoseconds, device nanoseconds or None, and the result, which is ready."""
        ...

    def wait(self) -> None:
        """Until everything on the current stream is done."""
        ...

    def now(self) -> int:
        """Host time, in nanoseconds."""
        ...


class HostClock:
    """For a CPU, where a call returns with its result ready."""

    def sample(self, call: Call) -> tuple[int, int | None, Tensor]:
        start = time.perf_counter_ns()
        result = call()
        return time.perf_counter_ns() - start, None, result

    def wait(self) -> None:
        pass

    def now(self) -> int:
        return time.perf_counter_ns()


class CudaClock:
    """For a GPU: the host waits for the current stream alone."""

    def __init__(self) -> None:
        self.before = torch.cuda.Event(enable_timing=True)
        self.after = torch.cuda.Event(enable_timing=True)

    def sample(self, call: Call) -> tuple[int, int | None, Tensor]:
        start = time.perf_counter_ns()
        self.before.record()
        result = call()
        self.after.record()
        self.after.synchronize()
        host = time.perf_counter_ns() - start
        return host, round(self.before.elapsed_time(self.after) * 1e6), result

    def wait(self) -> None:
        torch.cuda.current_stream().synchronize()

    def now(self) -> int:
        return time.perf_counter_ns()


@contextmanager
def on_device(device: str) -> Iterator[Clock]:
    """The device's clock, inside a stream of our own.

    A stream of our own is captured into graphs, is handed to ONNX Runtime, and does not wait for the default stream:
    a callable that works on the default stream is caught by the gate, not hidden by an implicit synchronisation.
    """
    if device == "cpu":
        yield HostClock()
        return
    with torch.cuda.stream(torch.cuda.Stream()):
        yield CudaClock()
