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

from bench.environment import cache_bytes

Call = Callable[[], Tensor]

# Writing once the size of a cache leaves some of what was there: caches hash addresses, and some keep what their inner
# caches threw out. Twice leaves nothing that could be measured.
FLUSH = 2
# a cache whose size cannot be read; no device that runs this has a larger one in use
UNKNOWN_CACHE = 128 << 20


class Clock(Protocol):
    def sample(self, call: Call) -> tuple[int, int | None, Tensor]:
        """One execution: host nanoseconds, device nanoseconds or None, and the result, which is ready."""
        ...

    def wait(self) -> None:
        """Until everything on the current stream is done."""
        ...

    def now(self) -> int:
        """Host time, in nanoseconds: that of `bench.watch` too."""
        ...

    def flush(self) -> int:
        """Empty the device's last-level cache of what a model left there, and wait; the bytes written."""
        ...


class HostClock:
    """For a CPU, where a call returns with its result ready."""

    def __init__(self) -> None:
        self._scratch: Tensor | None = None

    def sample(self, call: Call) -> tuple[int, int | None, Tensor]:
        start = time.perf_counter_ns()
        result = call()
        return time.perf_counter_ns() - start, None, result

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
    """For a GPU: the host waits for the current stream alone."""

    def __init__(self) -> None:
        self.before = torch.cuda.Event(enable_timing=True)
        self.after = torch.cuda.Event(enable_timing=True)
        self._scratch: Tensor | None = None

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

    def flush(self) -> int:
        if self._scratch is None:
            size = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
            self._scratch = torch.empty(FLUSH * size, dtype=torch.uint8, device="cuda")
        self._scratch.zero_()
        self.wait()
        return self._scratch.numel()


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
