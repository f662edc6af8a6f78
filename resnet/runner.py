"""What a variant hands back, and what the variants share: torch's switches, launching, choosing by the clock."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from resnet.held import HeldStream, NotHeld

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}

# Plans of a convolution, fused or not, that cudnn.benchmark runs twice and takes the fastest of: the first that run, in
# the order of cuDNN's heuristic. It is torch's own default, said here so that every rival has it and a record tells; 0
# would be all. It bounds the timing alone: all plans are built before (torch's Conv_v8.cpp, cudnn-frontend's get_plan).
BENCHMARKED_PLANS = 10

# Timed turns of each candidate in `fastest`, and the seconds after which no further turn begins.
CHOICE_ROUNDS, CHOICE_SECONDS = 5, 1.0

Forward = Callable[[Tensor], Tensor]
T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


class Runner(Protocol):
    """A prepared variant. `details` is JSON: what was really chosen, for the record.

    It is called under torch.no_grad(), which is the caller's, once for all calls: in the call it would be timed (a
    microsecond), and compiled code would be compiled anew without it.
    """

    details: dict[str, Any]

    def place(self, batch: Tensor) -> Tensor:
        """A float32 batch [N, C, H, W] as this variant's input, in memory of its own. Not timed."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of a placed batch, valid until the next call. On CUDA, enqueued on the current stream."""
        ...


class Placed(Generic[T]):
    """What belongs to each placed buffer, found by its address and shape; it keeps the buffers alive.

    A tensor that was never placed is refused rather than copied: a hidden copy would be timed.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[int, torch.Size], tuple[Tensor, T]] = {}

    def __setitem__(self, x: Tensor, made: T) -> None:
        self._entries[x.data_ptr(), x.shape] = x, made

    def __getitem__(self, x: Tensor) -> T:
        entry = self._entries.get((x.data_ptr(), x.shape))
        if entry is None:
            raise ValueError(f"a batch of shape {list(x.shape)} that was not placed: call place() on it first")
        return entry[1]

    def __len__(self) -> int:
        return len(self._entries)


class TorchRunner:
    """Calls `forward` on the current stream, and does nothing else."""

    def __init__(
        self,
        forward: Forward,
        example: Tensor,
        dtype: torch.dtype,
        memory_format: str,
        details: Mapping[str, Any],
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
        """A copy of `batch` on the device, in the dtype and memory format of the first layer."""
        return batch.to(self._device, self._dtype, copy=True, memory_format=self._format)

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward(x)


class GraphRunner:
    """Replays one CUDA graph per placed buffer, so that rotating inputs costs no copy inside the timed call."""

    def __init__(self, inner: TorchRunner, capture: Callable[[Forward, Tensor], Callable[[], Tensor]]) -> None:
        self._inner, self._capture = inner, capture
        self._replays: Placed[Callable[[], Tensor]] = Placed()
        self.details = inner.details | {"graph": True}

    def place(self, batch: Tensor) -> Tensor:
        """A placed copy of `batch`, and the graph captured on it."""
        x = self._inner.place(batch)
        with torch.no_grad():
            self._replays[x] = self._capture(self._inner, x)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        return self._replays[x]()


def launched(runner: TorchRunner, launch: str) -> Runner:
    """`runner` as it is for `stream`; for `graph`, behind CUDA graphs."""
    return runner if launch == "stream" else GraphRunner(runner, CudaCapture())


class CudaCapture:
    """Captures calls as CUDA graphs that share one memory pool.

    Sharing is safe though the graphs run in any order: they never run at once, none reads what another wrote, and an
    output is promised only until the next call. A pool whose graphs are all gone takes no other (torch's allocator:
    "use_count > 0 INTERNAL ASSERT FAILED", vllm#28426), so the first lives as long as this does: what is captured to be
    dropped again is captured by one of its own.
    """

    # Calls before capture: cudnn.benchmark, autotuning and lazily loaded kernels must be over, as none may be captured.
    WARM_UP = 3

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._first: torch.cuda.CUDAGraph | None = None

    def __call__(self, forward: Forward, x: Tensor) -> Callable[[], Tensor]:
        side = torch.cuda.Stream(x.device)  # the default stream cannot be captured, so neither is it warmed
        side.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(side):
            for _ in range(self.WARM_UP):
                forward(x)
        torch.cuda.synchronize(x.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=side):
            logits = forward(x)
        self._first = self._first or graph

        def replay(kept: tuple[Any, ...] = (forward, x)) -> Tensor:
            """Replay it; the graph reads and writes memory that only `kept` may keep alive."""
            graph.replay()
            return logits

        return replay


def set_switches(device: torch.device, precision: str) -> None:
    """Sets what torch keeps per process: cuDNN picks algorithms by timing them, and TF32 is on for `tf32` alone.

    The legacy TF32 flags are used on purpose. They set both the old and the new view; the new API sets its own alone,
    after which Inductor's reads of the old one raise (torch 2.11 to 2.13, pytorch#194680).
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
    """A copy of `model` on the device, in the dtype and memory format (a key of FORMATS)."""
    net = copy.deepcopy(model).to(device, dtype)
    return net.to(memory_format=FORMATS[memory_format])  # type: ignore[call-overload]


def weights_bytes(module: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def fastest(
    candidates: Mapping[str, Callable[[], object]], device: torch.device, latency: bool = False
) -> tuple[str, dict[str, float]]:
    """The candidate with the least time, and the least time of each in microseconds.

    For choices that hold on one machine and not on the next. On a GPU it is the device's time, which a call takes in a
    graph and behind others; with `latency`, or where one of them cannot be timed so, the host's from the call to its
    end. The candidates take turns, so that a drifting clock meets all of them, and the least of several times counts:
    whatever else the machine does only adds. Each is called once untimed first, where cudnn.benchmark searches.
    """
    for call in candidates.values():
        call()
    if device.type == "cuda" and not latency:
        try:
            return _least(candidates, _device_time(device))
        except NotHeld:
            pass
    return _least(candidates, _latency(device))


def _least(
    candidates: Mapping[str, Callable[[], object]], clock: Callable[[Callable[[], object]], float]
) -> tuple[str, dict[str, float]]:
    rounds: list[dict[str, float]] = []
    end = time.monotonic() + CHOICE_SECONDS
    while len(rounds) < CHOICE_ROUNDS and (not rounds or time.monotonic() < end):
        rounds.append({name: clock(call) for name, call in candidates.items()})
    least = {name: round(min(times[name] for times in rounds), 1) for name in candidates}
    return min(least, key=least.__getitem__), least


def _device_time(device: torch.device) -> Callable[[Callable[[], object]], float]:
    held = HeldStream(torch.cuda.current_stream(device))
    return lambda call: held.time(call).ns / 1e3


def _latency(device: torch.device) -> Callable[[Callable[[], object]], float]:
    wait = torch.cuda.current_stream(device).synchronize if device.type == "cuda" else lambda: None

    def latency(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        wait()
        return (time.perf_counter() - start) * 1e6

    return latency
