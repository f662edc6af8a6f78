"""The parts of a record, as types: who writes one and who reads one agree here, and lines are checked against them.

Every key may be missing, as older versions did not write it or the case did not come so far; those of `Throughput` are
there together or not at all. A key that is not here is kept and may hold any JSON but NaN and infinities.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypedDict

from bench.machine.facts import Count, Least, Like, Seconds, Unreadable

Positive = Annotated[int, Least(1)]
Ns = Positive
NotNegative = Annotated[float, Least(0)]
# places in a field of samples: [first, last]
Range = Annotated[list[int], Like(tuple[Count, Count])]
# a batch that was tried, how it ended, bytes, seconds
Probe = Annotated[list[Any], Like(tuple[Count, str, Count | None, Seconds])]


class Stop(TypedDict, total=False):
    """Why sampling ended: `rule`, the noise `asked` and `reached`; of device times how many came late, or why none."""

    rule: str
    asked: float
    reached: float | None
    late: Count
    why: str
    flush_bytes: Count


class Throughput(TypedDict):
    """The unsynchronised window: images that were done in so many nanoseconds."""

    images: Positive
    ns: Ns


class Throttled(TypedDict, total=False):
    """What fell to a throttling machine: ranges of samples, and seconds of the throughput window."""

    latency: list[Range]
    gpu: list[Range]
    flushed: list[Range]
    flushed_gpu: list[Range]
    throughput_s: Seconds


class Energy(TypedDict, total=False):
    """Joules of the whole card over a window; `unreadable` alone says why there are none."""

    unreadable: str
    joules: float
    images: Positive
    s: Seconds
    temperature_c: Annotated[list[float], Like(tuple[float, float])]  # before and after


class Largest(TypedDict, total=False):
    """The search for the largest batch: what `fits`, the least that `fails` with the reason, all that was tried."""

    fits: Count
    fails: Count | None
    reason: str
    tried: list[Probe]


class Warmup(TypedDict, total=False):
    """How long warming up took, in executions and seconds, and whether the times had settled."""

    s: Seconds
    executions: Count
    stationary: bool


class Cold(TypedDict, total=False):
    """Seconds of the parts of a cold start, and how the compile caches were found."""

    import_s: Seconds
    build_s: Seconds
    prepare_s: Seconds
    place_s: Seconds
    first_call_s: Seconds
    caches: str


class Memory(TypedDict, total=False):
    """Bytes; None where they could not be read, with the reason beside them."""

    weights: Count | None
    allocator_allocated_peak: Count | None
    allocator_reserved_peak: Count | None
    device_process: Count | None
    device_process_unreadable: str
    host_resident: Count | None  # of schema 1
    host_resident_peak: Count | None
    host_resident_peak_unreadable: str
    host_limit: Count | None


# the five memory numbers, of which schema 1 had another for the host
MemoryNumber = Literal[
    "weights",
    "allocator_allocated_peak",
    "allocator_reserved_peak",
    "device_process",
    "host_resident",
    "host_resident_peak",
]
# what is told of the gate's checks: the worst over all
Agreement = Literal["rms_multiple", "max_multiple", "top1", "top1_plain"]


class Check(TypedDict, total=False):
    """One look of the gate: errors, as they are and over plain torch's, and agreement of the top class."""

    rms: NotNegative
    max: NotNegative
    rms_multiple: NotNegative
    max_multiple: NotNegative
    top1: NotNegative
    top1_plain: NotNegative
    pictures: Count
    unseen_ratio: NotNegative


class Runtime(TypedDict, total=False):
    """What only the process that owns the device can read: versions as loaded, threads, caches in bytes."""

    torch_git: str | None
    onednn: str | None
    threads: Count
    cpu_capability: str
    cache_bytes: Count | Unreadable
    cuda: str | None
    cudnn: Count | None
    cudnn_benchmarked_plans: Count | None
    l2_bytes: Count
    multiprocessors: Count


class Attempt(TypedDict, total=False):
    """An earlier process of the same case and round."""

    status: str
    reason: str


class Input(TypedDict, total=False):
    """Where the pictures are from, how many files, and a digest of their bytes."""

    source: str
    files: Count
    digest: str
    note: str


class PlanName(TypedDict, total=False):
    """The plan that a record is of."""

    name: str
    digest: str


def at(value: Any, path: Iterable[str]) -> Any:
    """What stands at a path into nested objects; None where nothing does."""
    for key in path:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value
