"""The ceilings of this machine: its matmul rate by precision, its copy bandwidth, and on a GPU its launch rate.

A ceiling is the rate that a tenth of the samples reached, and at least three of them, for the best of several shapes
and library calls. Other work can only slow a sample down, so the fast samples show what the machine can do.
The single fastest may be a clock's error, or a burst shorter than any layer. The spread is how far the median is below
the ceiling. All are sampled in turns, so that a slow minute does not affect one alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from statistics import median

import torch
from torch import Tensor

from bench.machine.limits import free_memory
from bench.machine.watch import Watch
from bench.runs.job import CeilingsAnswer, CeilingsJob, MeasurementRow, Notify
from bench.worker.measure.clock import Clock, last_level_cache, on_device
from bench.worker.runtime import describe_runtime
from resnet.runner import DTYPES, CudaCapture, set_torch_flags

SUSTAINED_SHARE, MIN_SAMPLES = 0.1, 3  # of the samples, and how many at least, reach a ceiling
TURNS = 3
TURN_S = {"cpu": 0.3, "cuda": 0.1}  # for each measurement in a turn
WARM_UP_S = {"cpu": 0.5, "cuda": 1.0}  # clocks rise under load

# Rows, depth, columns of a product: squares, and convolutions of ResNet-50 as products (a 3x3 of stage 1, 2 and 3).
SHAPES = {
    "cpu": ((512,) * 3, (1024,) * 3, (2048,) * 3, (6272, 576, 64), (6272, 1152, 128), (1568, 2304, 256)),
    "cuda": ((4096,) * 3, (8192,) * 3, (200704, 576, 64), (50176, 1152, 128), (12544, 2304, 256)),
}
FP8 = torch.float8_e4m3fn
# CPU flags, one of which a precision needs: without, torch emulates it, and the rate would be no ceiling
NATIVE_FLAGS = {"bf16": ("avx512_bf16", "amx_bf16", "bf16"), "fp16": ("avx512_fp16", "amx_fp16", "asimdhp")}

COPY_CACHES = 4  # a buffer is this many last-level caches large, so that what a copy leaves there does not matter
CACHED_PARTS = (64, 16, 8, 4)  # for cached copies the buffers are these parts of the last-level cache
MAX_BUFFER_BYTES = 1 << 30
COPIES_IN_GRAPH = 50
LAUNCHES = 500  # of empty kernels in a row


@dataclass
class Measurement:
    """The measurement of a call: the `work` in each sample (FLOPs, bytes, launches), and the ns of every sample."""

    what: str  # "matmul", "copy", "cached copy", "launch"
    how: str
    work: float
    call: Callable[[], Tensor]
    precision: str = ""
    shape: tuple[int, ...] = ()
    ns: list[int] = field(default_factory=list)

    def row(self) -> MeasurementRow:
        """Return the rates a second: `rate` is the ceiling; `spread` is how far the median is below it, relative."""
        rate = self.work / sustained_ns(self.ns) * 1e9
        median_rate = self.work / median(self.ns) * 1e9
        return {
            "what": self.what,
            "how": self.how,
            "precision": self.precision,
            "shape": list(self.shape),
            "rate": rate,
            "median": median_rate,
            "fastest": self.work / min(self.ns) * 1e9,
            "spread": 1 - median_rate / rate,
            "samples": len(self.ns),
        }


def sustained_ns(ns: list[int]) -> int:
    """Return the time within which SUSTAINED_SHARE of the samples stayed, and at least MIN_SAMPLES of them."""
    return sorted(ns)[max(MIN_SAMPLES, ceil(SUSTAINED_SHARE * len(ns))) - 1]


def measure_ceilings(job: CeilingsJob, notify: Notify) -> CeilingsAnswer:
    """Measure everything. `absent` has by precision the reason why it has no rate.

    A quick job has one turn, with the fewest samples of each.
    """
    start, device = time.perf_counter_ns(), job.device
    turns, turn_s = (1, 0.0) if job.quick else (TURNS, TURN_S[device])
    with Watch() as watch, on_device(device) as clock:
        notify("operands")
        matmuls, absent = _matmuls(device, job.flags)
        others = [*_copies(device), *(_launches() if device == "cuda" else ())]
        for turn in range(turns):
            for precision, measurements in matmuls.items():
                notify(f"{precision}, turn {turn + 1} of {turns}")
                set_torch_flags(torch.device(device), precision)
                _sample(measurements, clock, turn_s, device)
            notify(f"memory, turn {turn + 1} of {turns}")
            _sample(others, clock, turn_s, device)
        disturbances = watch.so_far().summary([(start, time.perf_counter_ns())])
    everything = [*(matmul for measurements in matmuls.values() for matmul in measurements), *others]
    return {
        "status": "ok",
        "measurements": [measurement.row() for measurement in everything],
        "absent": absent,
        "cache_bytes": last_level_cache(device),
        "watch": disturbances,
        "runtime": describe_runtime(device),
        "seconds": (time.perf_counter_ns() - start) / 1e9,
    }


def _sample(measurements: list[Measurement], clock: Clock, turn_s: float, device: str) -> None:
    """Sample each for a turn, `turn_s` seconds and at least MIN_SAMPLES samples."""
    end = time.monotonic() + (WARM_UP_S[device] if turn_s else 0.0)
    while time.monotonic() < end:
        clock.sample(measurements[0].call)
    for measurement in measurements:
        clock.sample(measurement.call)  # the library searches for an algorithm, and pages are touched
        end = time.monotonic() + turn_s
        least = len(measurement.ns) + MIN_SAMPLES  # of fewer, the fastest would be the slowest too
        while time.monotonic() < end or len(measurement.ns) < least:
            measurement.ns.append(clock.device(measurement.call).ns)


def _matmuls(device: str, flags: list[str]) -> tuple[dict[str, list[Measurement]], dict[str, str]]:
    """Return the matmuls whose first call succeeded, by precision; and for every other precision the reason."""
    matmuls: dict[str, list[Measurement]] = {}
    absent: dict[str, str] = {}
    for precision in ("fp32", "tf32", "fp16", "bf16", "fp8", "int8"):
        reason = _missing_arithmetic(precision, flags) if device == "cpu" else ""
        set_torch_flags(torch.device(device), precision)
        makers = {} if reason else matmul_makers(device, precision)
        for shape in SHAPES[device]:
            for how, make in makers.items():
                try:
                    call = make(*shape)
                    call()
                except (RuntimeError, NotImplementedError, ValueError) as error:
                    reason = f"{how}: {str(error).splitlines()[0]}"
                    continue
                rows, depth, columns = shape
                work = 2.0 * rows * depth * columns
                matmuls.setdefault(precision, []).append(Measurement("matmul", how, work, call, precision, shape))
        if precision not in matmuls:
            absent[precision] = reason
    return matmuls, absent


def _missing_arithmetic(precision: str, flags: list[str]) -> str:
    """Return why a CPU has no arithmetic of this precision; empty if it has."""
    if precision in ("tf32", "fp8"):
        return f"a CPU has no {precision} arithmetic"
    if precision in NATIVE_FLAGS and not set(NATIVE_FLAGS[precision]) & set(flags):
        return f"this CPU has no {precision} arithmetic: it converts to fp32"
    return ""


Make = Callable[[int, int, int], Callable[[], Tensor]]


def matmul_makers(device: str, precision: str) -> Mapping[str, Make]:
    """Return the library calls that multiply in a precision, by name: each returns the call for a shape (m, k, n).

    On a CPU torch.mm may use MKL, which is half as fast as oneDNN on an AMD (Zen 5, fp32, 2026-11).
    """
    if precision == "int8":
        return {"torch._int_mm": partial(_int_mm, device)}
    if precision == "fp8":
        return {"torch._scaled_mm": partial(_scaled_mm, False), "fast accumulation": partial(_scaled_mm, True)}
    torch_mm = {"torch.mm": partial(_mm, device, DTYPES[precision])}
    return torch_mm if device == "cuda" else torch_mm | {"oneDNN": partial(_onednn, DTYPES[precision])}


def _mm(device: str, dtype: torch.dtype, m: int, k: int, n: int) -> Callable[[], Tensor]:
    a, b = torch.randn(m, k, device=device).to(dtype), torch.randn(k, n, device=device).to(dtype)
    return partial(torch.mm, a, b, out=torch.empty(m, n, dtype=dtype, device=device))


def _onednn(dtype: torch.dtype, m: int, k: int, n: int) -> Callable[[], Tensor]:
    a = torch.randn(m, k).to(dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(torch.randn(n, k).to(dtype), m)
    return lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")


def _int_mm(device: str, m: int, k: int, n: int) -> Callable[[], Tensor]:
    a = torch.randint(-127, 128, (m, k), dtype=torch.int8, device=device)
    b = torch.randint(-127, 128, (n, k), dtype=torch.int8, device=device).t()
    return partial(torch._int_mm, a, b)


def _scaled_mm(fast: bool, m: int, k: int, n: int) -> Callable[[], Tensor]:
    a, b = torch.randn(m, k, device="cuda").to(FP8), torch.randn(n, k, device="cuda").to(FP8).t()
    scale = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(a, b, scale, scale, out_dtype=torch.bfloat16, use_fast_accum=fast)


def _copies(device: str) -> Iterator[Measurement]:
    """Yield copies in memory and in the last-level cache; both bytes read and bytes written count."""
    cache = last_level_cache(device)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else free_memory()
    large = min(MAX_BUFFER_BYTES, free // 8, max(COPY_CACHES * cache, MAX_BUFFER_BYTES if device == "cuda" else 0))
    for how, call, size in _copy_calls(device, large):
        yield Measurement("copy", how, 2.0 * size, call, shape=(size,))
    for part in CACHED_PARTS:
        for how, call, size in _copy_calls(device, cache // part):
            count = COPIES_IN_GRAPH if device == "cuda" else 1
            copies = _graph(call, count) if device == "cuda" else call
            yield Measurement("cached copy", how, 2.0 * size * count, copies, shape=(size,))


def _copy_calls(device: str, size: int) -> Iterator[tuple[str, Callable[[], Tensor], int]]:
    """Yield two calls that copy a buffer, with its bytes: the library's copy, and an addition."""
    source = torch.zeros(size // 4, device=device)
    target = torch.zeros_like(source)
    yield "copy_", partial(target.copy_, source), source.nbytes
    yield "add", partial(torch.add, source, 1, out=target), source.nbytes


def _launches() -> Iterator[Measurement]:
    """Yield empty kernels back to back, on a stream and in a graph."""
    done = torch.zeros(1, device="cuda")

    def empty() -> Tensor:
        torch.cuda._sleep(0)
        return done

    yield Measurement("launch", "stream", LAUNCHES, _repeated(empty, LAUNCHES))
    yield Measurement("launch", "graph", LAUNCHES, _graph(empty, LAUNCHES))


def _repeated(call: Callable[[], Tensor], count: int) -> Callable[[], Tensor]:
    """Return `count` calls in a row as one."""

    def calls() -> Tensor:
        for _ in range(count):
            result = call()
        return result

    return calls


def _graph(call: Callable[[], Tensor], count: int) -> Callable[[], Tensor]:
    """Return a CUDA graph of `count` calls."""
    calls = _repeated(call, count)
    return CudaCapture()(lambda _: calls(), torch.empty(0, device="cuda"))
