"""What this machine can do: its matmul rate by precision, its copy bandwidth, on a GPU what a launch costs. In a child.

A ceiling is the best rate seen repeatedly: what a tenth of a measurement's samples reached, and never fewer than three,
of the best of several shapes and library calls. Other work only slows a sample down, so the fast end is the machine's
and the middle the neighbours'; a single fastest sample may be a clock's error or a burst that no layer lasts. How far
the median stayed below is its spread. All are sampled in turns, so that a slow minute does not fall on one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from statistics import median

import psutil
import torch
from torch import Tensor

from bench.machine.environment import cache_bytes
from bench.machine.watch import Watch
from bench.runs.job import CeilingsAnswer, CeilingsJob, MeasurementRow
from bench.worker.measure.clock import UNKNOWN_CACHE, Clock, on_device
from bench.worker.runtime import runtime
from resnet.runner import DTYPES, CudaCapture, set_torch_flags

SHARE, LEAST = 0.1, 3  # of the samples, those that reached what is told
TURNS = 3
TURN_S = {"cpu": 0.3, "cuda": 0.1}  # of a measurement in each
WARM_UP_S = {"cpu": 0.5, "cuda": 1.0}  # clocks rise under load

# Rows, depth, columns of a product: squares, and convolutions of ResNet-50 as products (a 3x3 of stage 1, 2 and 3).
SHAPES = {
    "cpu": ((512,) * 3, (1024,) * 3, (2048,) * 3, (6272, 576, 64), (6272, 1152, 128), (1568, 2304, 256)),
    "cuda": ((4096,) * 3, (8192,) * 3, (200704, 576, 64), (50176, 1152, 128), (12544, 2304, 256)),
}
FP8 = torch.float8_e4m3fn
# a CPU's instructions without which torch emulates the precision: no ceiling, but a detour
FLAGS = {"bf16": ("avx512_bf16", "amx_bf16", "bf16"), "fp16": ("avx512_fp16", "amx_fp16", "asimdhp")}

CACHES = 4  # a copy's buffer, in last-level caches: what is left there of the one before does not matter
CACHED = (64, 16, 8, 4)  # the parts of the last-level cache that a buffer of a cached copy is
MOST = 1 << 30  # bytes of a buffer
REPEATS = 50  # cached copies in a graph
LAUNCHES = 500  # empty kernels in a row


@dataclass
class Measurement:
    """One call, measured: `work` (FLOPs, bytes, launches) in each sample, and the ns of every sample."""

    what: str  # "matmul", "copy", "cached copy", "launch"
    how: str
    work: float
    call: Callable[[], Tensor]
    precision: str = ""
    shape: tuple[int, ...] = ()
    ns: list[int] = field(default_factory=list)

    def told(self) -> MeasurementRow:
        """Rates a second: `rate` is the one seen repeatedly; `spread` is how far below it the median was, relative."""
        rate = self.work / repeated(self.ns) * 1e9
        usual = self.work / median(self.ns) * 1e9
        return {
            "what": self.what,
            "how": self.how,
            "precision": self.precision,
            "shape": list(self.shape),
            "rate": rate,
            "median": usual,
            "fastest": self.work / min(self.ns) * 1e9,
            "spread": 1 - usual / rate,
            "samples": len(self.ns),
        }


def repeated(ns: list[int]) -> int:
    """The time that SHARE of the samples, and at least LEAST of them, did not exceed."""
    return sorted(ns)[max(LEAST, ceil(SHARE * len(ns))) - 1]


def run(job: CeilingsJob, tell: Callable[[str], None]) -> CeilingsAnswer:
    """What this machine can do."""
    return roof(job.device, job.flags, tell, job.quick)


def roof(device: str, flags: list[str], tell: Callable[[str], None], quick: bool = False) -> CeilingsAnswer:
    """Everything measured; `flags` are the CPU's. `absent` says, by precision, why there is no rate of it.

    `quick`: of each shape and call the fewest samples, in one turn.
    """
    begun = time.perf_counter_ns()
    with Watch() as watch, on_device(device) as clock:
        tell("operands")
        matmuls, absent = _matmuls(device, flags)
        others = [*_copies(device), *(_launches() if device == "cuda" else ())]
        for turn in range(1 if quick else TURNS):
            for precision, found in matmuls.items():
                tell(f"{precision}, turn {turn + 1} of {TURNS}")
                set_torch_flags(torch.device(device), precision)
                _sample(found, clock, 0.0 if quick else TURN_S[device], device)
            tell(f"memory, turn {turn + 1} of {TURNS}")
            _sample(others, clock, 0.0 if quick else TURN_S[device], device)
        watched = watch.so_far().between((begun, time.perf_counter_ns())).summary()
    everything = [*(one for found in matmuls.values() for one in found), *others]
    return {
        "status": "ok",
        "measurements": [one.told() for one in everything],
        "absent": absent,
        "cache_bytes": _cache(device),
        "watch": watched,
        "runtime": runtime(device),
        "seconds": (time.perf_counter_ns() - begun) / 1e9,
    }


def _sample(found: list[Measurement], clock: Clock, turn_s: float, device: str) -> None:
    """A turn of each: samples for its time, and LEAST at least."""
    end = time.monotonic() + (WARM_UP_S[device] if turn_s else 0.0)
    while time.monotonic() < end:
        clock.sample(found[0].call)
    for one in found:
        clock.sample(one.call)  # where the library looks for an algorithm, and pages are touched
        end = time.monotonic() + turn_s
        wanted = len(one.ns) + LEAST  # else the fast end is the slow end too
        while time.monotonic() < end or len(one.ns) < wanted:
            one.ns.append(clock.device(one.call).ns)


def _matmuls(device: str, flags: list[str]) -> tuple[dict[str, list[Measurement]], dict[str, str]]:
    """By precision, those whose first call went well; and why there is none of the others."""
    found: dict[str, list[Measurement]] = {}
    absent: dict[str, str] = {}
    for precision in ("fp32", "tf32", "fp16", "bf16", "fp8", "int8"):
        reason = _emulated(precision, flags) if device == "cpu" else ""
        set_torch_flags(torch.device(device), precision)
        ways = {} if reason else ways_of(device, precision)
        for shape in SHAPES[device]:
            for how, make in ways.items():
                try:
                    call = make(*shape)
                    call()
                except (RuntimeError, NotImplementedError, ValueError) as error:
                    reason = f"{how}: {str(error).splitlines()[0]}"
                    continue
                rows, depth, columns = shape
                work = 2.0 * rows * depth * columns
                found.setdefault(precision, []).append(Measurement("matmul", how, work, call, precision, shape))
        if precision not in found:
            absent[precision] = reason
    return found, absent


def _emulated(precision: str, flags: list[str]) -> str:
    if precision in ("tf32", "fp8"):
        return f"a CPU has no {precision} arithmetic"
    if precision in FLAGS and not set(FLAGS[precision]) & set(flags):
        return f"this CPU has no {precision} arithmetic: it converts to fp32"
    return ""


Make = Callable[[int, int, int], Callable[[], Tensor]]


def ways_of(device: str, precision: str) -> Mapping[str, Make]:
    """The library calls that multiply in a precision, by name: each makes, for a shape, a call.

    On a CPU torch.mm may be MKL, which is half as fast as oneDNN on an AMD (Zen 5, fp32, 2026-11).
    """
    if precision == "int8":
        return {"torch._int_mm": partial(_int_mm, device)}
    if precision == "fp8":
        return {"torch._scaled_mm": partial(_scaled_mm, False), "fast accumulation": partial(_scaled_mm, True)}
    plain = {"torch.mm": partial(_mm, device, DTYPES[precision])}
    return plain if device == "cuda" else plain | {"oneDNN": partial(_onednn, DTYPES[precision])}


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
    one = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(a, b, one, one, out_dtype=torch.bfloat16, use_fast_accum=fast)


def _cache(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size)
    size = cache_bytes()
    return size if isinstance(size, int) else UNKNOWN_CACHE


def _copies(device: str) -> Iterator[Measurement]:
    """Copies in memory, and in the last-level cache; bytes read and written count."""
    cache = _cache(device)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    large = min(MOST, free // 8, max(CACHES * cache, MOST if device == "cuda" else 0))
    for how, call, size in _copying(device, large):
        yield Measurement("copy", how, 2.0 * size, call, shape=(size,))
    for part in CACHED:
        for how, call, size in _copying(device, cache // part):
            if device == "cuda":
                yield Measurement("cached copy", how, 2.0 * size * REPEATS, _graph(call, REPEATS), shape=(size,))
            else:
                yield Measurement("cached copy", how, 2.0 * size, call, shape=(size,))


def _copying(device: str, size: int) -> Iterator[tuple[str, Callable[[], Tensor], int]]:
    """Two ways of copying a buffer, and its bytes: the library's copy, and a pass of arithmetic."""
    source = torch.zeros(size // 4, device=device)
    target = torch.zeros_like(source)
    yield "copy_", partial(target.copy_, source), source.nbytes
    yield "add", partial(torch.add, source, 1, out=target), source.nbytes


def _launches() -> Iterator[Measurement]:
    """Empty kernels back to back, on a stream and in a graph."""
    done = torch.zeros(1, device="cuda")

    def empty() -> Tensor:
        torch.cuda._sleep(0)
        return done

    def row() -> Tensor:
        for _ in range(LAUNCHES):
            empty()
        return done

    yield Measurement("launch", "stream", LAUNCHES, row)
    yield Measurement("launch", "graph", LAUNCHES, _graph(empty, LAUNCHES))


def _graph(call: Callable[[], Tensor], count: int) -> Callable[[], Tensor]:
    """A CUDA graph of so many calls."""

    def row(x: Tensor) -> Tensor:
        for _ in range(count):
            result = call()
        return result

    return CudaCapture()(row, torch.empty(0, device="cuda"))
