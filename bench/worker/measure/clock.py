"""The clocks: every variant (torch, compiled, Triton, ONNX Runtime) is timed by the one clock of its device.

Latency is the host's time from the call until the result is ready; nothing else is done meanwhile. Device time is the
time between two events on the current stream, which waits until everything is enqueued (`resnet.device_time`). It is
sampled in separate executions, because the events and the wait would add to the latency. The clock does not wait for
work on another stream, so such a result is not ready when it is read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch
from torch import Tensor

from bench.machine.environment import cache_bytes
from bench.machine.limits import held_back_ns
from bench.records.record import GPU_HOW
from resnet.device_time import DeviceTime, DeviceTimer

T = TypeVar("T")

# Writing the size of a cache once leaves some of its content: caches hash addresses, and some keep what their inner
# caches evict. Writing twice the size leaves nothing that could be measured.
FLUSH_FACTOR = 2
# for a cache whose size cannot be read; no device that runs this has a larger one in use
DEFAULT_CACHE_BYTES = 128 << 20
THREADS = "/proc/self/task"
QUOTA = "quota"


class Clock:
    """The clock of a CPU, where a call returns with its result ready, and the base of a GPU's."""

    name = "cpu"
    method = ""  # how device time is measured, as records name it; empty where the host's time is the device's

    def __init__(self) -> None:
        self._scratch: Tensor | None = None

    def sample(self, call: Callable[[], T]) -> tuple[int, T]:
        """Run `call` once; return the host's nanoseconds and the result, which is ready."""
        start = time.perf_counter_ns()
        result = call()
        return time.perf_counter_ns() - start, result

    def device(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> DeviceTime[T]:
        """Run `call` once and return its device time (on a CPU, the host's). `before` runs ahead of each try.

        Raises StartedEarly where the device began before everything was enqueued, however often it is tried.
        """
        before()
        return DeviceTime(*self.sample(call), 0)

    def wait(self) -> None:
        """Wait until everything on the current stream is done."""

    def now(self) -> int:
        """Return the host's time in nanoseconds, on the scale of `bench.machine.watch`."""
        return time.perf_counter_ns()

    def ran(self) -> int:
        """Return the nanoseconds that all threads of this process ran: they stand while the process does."""
        return time.process_time_ns()

    def waits(self) -> dict[str, int]:
        """Return by thread the nanoseconds for which it was ready to run without a core; empty where not counted.

        Those for which a quota kept this process from running are under QUOTA: the kernel counts them as waits, too.
        """
        try:
            threads = os.listdir(THREADS)
        except OSError:
            return {}
        waits = {QUOTA: held_back_ns()}
        for thread in threads:
            # an error: it ended, or this kernel does not count
            with suppress(OSError, ValueError, IndexError), open(f"{THREADS}/{thread}/schedstat") as file:
                waits[thread] = int(file.read().split()[1])
        return waits if len(waits) > 1 else {}

    def flush(self) -> int:
        """Overwrite the device's last-level cache, and wait; return the bytes written."""
        if self._scratch is None:
            size = FLUSH_FACTOR * last_level_cache(self.name)
            self._scratch = torch.zeros(size, dtype=torch.uint8, device=self.name)
        self._overwrite(self._scratch)
        self.wait()
        return self._scratch.numel()

    def _overwrite(self, scratch: Tensor) -> None:
        scratch.add_(1)  # by all of torch's threads, so in the caches of all their cores


class CudaClock(Clock):
    """The clock of a GPU: the host waits for `stream` alone, which is the current one."""

    name = "cuda"
    method = GPU_HOW

    def __init__(self, stream: torch.cuda.Stream) -> None:
        super().__init__()
        self.stream = stream
        self._timer = DeviceTimer(stream)

    def sample(self, call: Callable[[], T]) -> tuple[int, T]:
        start = time.perf_counter_ns()
        result = call()
        self.stream.synchronize()
        return time.perf_counter_ns() - start, result

    def device(self, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> DeviceTime[T]:
        return self._timer.time(call, before)

    def wait(self) -> None:
        self.stream.synchronize()

    def waits(self) -> dict[str, int]:
        return {"": 0}  # a GPU goes on while threads of the host wait

    def _overwrite(self, scratch: Tensor) -> None:
        scratch.zero_()


def last_level_cache(device: str) -> int:
    """Return the bytes of the device's last-level cache."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size)
    size = cache_bytes()
    return size if isinstance(size, int) else DEFAULT_CACHE_BYTES


@contextmanager
def on_device(device: str) -> Iterator[Clock]:
    """Enter a new stream, without gradients, and yield the device's clock.

    A new stream can be captured into graphs and handed to ONNX Runtime, and does not wait for the default stream: the
    gate catches a callable that works on the default stream, and no implicit synchronisation hides it.

    Gradients are switched off once, in the same way for every variant: a guard inside the timed call would add its
    microseconds to it. It is no_grad, because tensors from inference mode break some compiled graphs (pytorch#135892,
    #180823), and because code compiled in one mode is compiled again in another.
    """
    with torch.no_grad():
        if device == "cpu":
            yield Clock()
            return
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            yield CudaClock(stream)
