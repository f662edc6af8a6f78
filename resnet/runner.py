"""The prepared variants, `Runner`, and what they share: torch's flags, CUDA graphs, choosing the fastest."""

from __future__ import annotations

import copy
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from resnet.device_time import DeviceTimer, StartedEarly

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}

# Plans of a convolution, fused or not, that cudnn.benchmark runs twice to take the fastest: the first that run, in the
# order of cuDNN's heuristic. It is torch's default, set here so that all variants have it and records say so; 0 means
# all. It bounds the timing alone: all plans are built before (torch's Conv_v8.cpp, cudnn-frontend's get_plan).
BENCHMARKED_PLANS = 10

# Timed turns of each candidate in `fastest`, and the seconds after which no further turn begins.
CHOICE_ROUNDS, CHOICE_SECONDS = 5, 1.0

Forward = Callable[[Tensor], Tensor]
T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


class Runner(Protocol):
    """A prepared variant. `details` is JSON for the record: what the variant chose.

    The caller enters torch.no_grad() once around all calls: inside the call it would be timed (a microsecond), and
    without it compiled code would be compiled again.
    """

    details: dict[str, Any]

    def place(self, batch: Tensor) -> Tensor:
        """Copy a float32 batch [N, C, H, W] into this variant's input. Not timed."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of a placed batch, valid until the next call; on CUDA only enqueue them."""
        ...


class Placed(Generic[T]):
    """A value for each placed buffer, keyed by its address and shape; it keeps the buffers alive.

    A tensor that was never placed raises ValueError rather than being copied: a hidden copy would be timed.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[int, torch.Size], tuple[Tensor, T]] = {}

    def __setitem__(self, x: Tensor, value: T) -> None:
        self._entries[x.data_ptr(), x.shape] = x, value

    def __getitem__(self, x: Tensor) -> T:
        entry = self._entries.get((x.data_ptr(), x.shape))
        if entry is None:
            raise ValueError(f"a batch of shape {list(x.shape)} that was not placed: call place() on it first")
        return entry[1]

    def __len__(self) -> int:
        return len(self._entries)


class TorchRunner:
    """A variant that calls `forward` on the current stream, and does nothing else.

    `model`, where it is set, is the module that `forward` was made from, for as long as that lives.
    """

    model: weakref.ref[nn.Module] | None = None

    def __init__(
        self, forward: Forward, example: Tensor, dtype: torch.dtype, memory_format: str, details: Mapping[str, Any]
    ) -> None:
        self._forward = forward
        self._device, self._dtype, self._format = example.device, dtype, FORMATS[memory_format]
        self.details: dict[str, Any] = {
            "memory_format": memory_format,
            "input_dtype": str(dtype).removeprefix("torch."),
            "graph": False,
            **details,
        }

    def place(self, batch: Tensor) -> Tensor:
        """Return a copy of `batch` on the device, in the dtype and memory format of the first layer."""
        return batch.to(self._device, self._dtype, copy=True, memory_format=self._format)

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward(x)


class GraphRunner:
    """A variant that replays one CUDA graph per placed buffer: rotating inputs cost no copy inside the timed call."""

    def __init__(self, inner: TorchRunner, capture: Callable[[Forward, Tensor], Callable[[], Tensor]]) -> None:
        self._inner, self._capture = inner, capture
        self._replays: Placed[Callable[[], Tensor]] = Placed()
        self.details = inner.details | {"graph": True}

    def place(self, batch: Tensor) -> Tensor:
        """Return a placed copy of `batch`, after capturing a graph on it."""
        x = self._inner.place(batch)
        with torch.no_grad():
            self._replays[x] = self._capture(self._inner, x)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        return self._replays[x]()


def with_launch(runner: TorchRunner, launch: str) -> Runner:
    """Return `runner` itself for the launch `stream`, and behind CUDA graphs for `graph`."""
    return runner if launch == "stream" else GraphRunner(runner, CudaCapture())


class CudaCapture:
    """Captures calls as CUDA graphs that share one memory pool.

    Sharing is safe though the graphs run in any order: they never run at once, none reads what another wrote, and an
    output is valid only until the next call. A pool whose graphs are all gone takes no other (torch's allocator:
    "use_count > 0 INTERNAL ASSERT FAILED", vllm#28426), so the first graph lives as long as this object: use another
    object for graphs that are to be freed earlier.
    """

    # Calls before capture: cudnn.benchmark, autotuning and lazily loaded kernels must be over, as none may be captured.
    WARM_UP_CALLS = 3

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._first: torch.cuda.CUDAGraph | None = None

    def __call__(self, forward: Forward, x: Tensor) -> Callable[[], Tensor]:
        side = torch.cuda.Stream(x.device)  # not the default stream, which cannot be captured
        side.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(side):
            for _ in range(self.WARM_UP_CALLS):
                forward(x)
        torch.cuda.synchronize(x.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=side):
            logits = forward(x)
        self._first = self._first or graph

        def replay(keep_alive: tuple[Any, ...] = (forward, x)) -> Tensor:  # of which the graph has addresses alone
            graph.replay()
            return logits

        return replay


def set_torch_flags(device: torch.device, precision: str) -> None:
    """Set torch's flags of this process: cuDNN picks algorithms by timing them, and TF32 is on for `tf32` alone.

    The legacy TF32 flags are used on purpose. They set both the old and the new view; the new API sets only the new
    one, after which Inductor's reads of the old one raise (torch 2.11 to 2.13, pytorch#194680).
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = BENCHMARKED_PLANS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*TF32 behavior.*")
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"


def converted(model: M, device: torch.device, dtype: torch.dtype, memory_format: str) -> M:
    """Return a copy of `model` on the device, in the dtype and memory format (a key of FORMATS)."""
    net = copy.deepcopy(model).to(device, dtype)
    return net.to(memory_format=FORMATS[memory_format])  # type: ignore[call-overload]


def weights_bytes(module: nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def fastest(
    candidates: Mapping[str, Callable[[], object]], device: torch.device, latency: bool = False
) -> tuple[str, dict[str, float]]:
    """Return the name of the fastest candidate, and the least time of each in microseconds.

    It is for choices that depend on the machine. On a GPU it compares device time, which is the cost of a call in a
    graph or behind others; with `latency`, or where a candidate has no device time, host time from the call to its end.
    The candidates take turns, so that a drifting clock affects all of them, and the least of several times counts, as
    other work can only add to a time. Each is called once untimed first, where cudnn.benchmark searches.
    """
    for call in candidates.values():
        call()
    if device.type == "cuda" and not latency:
        try:
            timer = DeviceTimer(torch.cuda.current_stream(device))
            return _least_times(candidates, lambda call: timer.time(call).ns / 1e3)
        except StartedEarly:
            pass
    return _least_times(candidates, _host_clock(device))


def fastest_runner(runners: Mapping[str, Runner], example: Tensor) -> tuple[str, dict[str, float]]:
    """Return the name of the runner that is the fastest on `example`, and the times in microseconds, of `fastest`."""
    return fastest({name: partial(runner, runner.place(example)) for name, runner in runners.items()}, example.device)


def autocast(net: Forward, dtype: torch.dtype) -> Forward:
    """Return a call of `net` under torch.autocast to `dtype`, without its cache: each weight is read once a call."""

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype, cache_enabled=False):
            return net(x)

    return forward


def _least_times(
    candidates: Mapping[str, Callable[[], object]], clock: Callable[[Callable[[], object]], float]
) -> tuple[str, dict[str, float]]:
    rounds: list[dict[str, float]] = []
    end = time.monotonic() + CHOICE_SECONDS
    while len(rounds) < CHOICE_ROUNDS and (not rounds or time.monotonic() < end):
        rounds.append({name: clock(call) for name, call in candidates.items()})
    least_us = {name: round(min(times[name] for times in rounds), 1) for name in candidates}
    return min(least_us, key=least_us.__getitem__), least_us


def _host_clock(device: torch.device) -> Callable[[Callable[[], object]], float]:
    wait = torch.cuda.current_stream(device).synchronize if device.type == "cuda" else lambda: None

    def latency(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        wait()
        return (time.perf_counter() - start) * 1e6

    return latency
