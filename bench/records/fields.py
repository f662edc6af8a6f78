"""The types of the parts of a record: writers and readers share them, and lines are checked against them.

Every key may be missing, as older versions did not write it or the case ended before; those of `Throughput` are there
together or not at all. A key that is not listed is kept, and may hold any JSON but NaN and infinities.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypedDict

from bench.machine.facts import Count, Least, Like, Seconds, Unreadable

Positive = Annotated[int, Least(1, 10**12)]
Ns = Annotated[int, Least(1, 10**15)]  # 12 days
NotNegative = Annotated[float, Least(0, 10**40)]  # float32 ends at 3e38
# indices in a field of samples: [first, last]
Range = Annotated[list[int], Like(tuple[Count, Count])]
# a batch that was tried, how it ended, bytes, seconds
Probe = Annotated[list[Any], Like(tuple[Count, str, Count | None, Seconds])]
# a kernel of any network, as `resnet.counted` has it: name, FLOPs, elements of weights, of each source, and written
Source = Annotated[list[int], Like(tuple[int, Count])]
Kernel = Annotated[list[Any], Like(tuple[str, Count, Count, list[Source], Count])]


class Stop(TypedDict, total=False):
    """The reason why sampling ended: `rule`, and the noise `asked` for and `reached`.

    Of device times also how many were taken too late to count (`late`), or `why` there are none.
    """

    rule: str
    asked: float
    reached: float | None
    late: Count
    why: str
    flush_bytes: Count


class Window(TypedDict, total=False):
    """A throughput window, without synchronisation: `images` done in `ns` from `start_ns` of the host clock.

    `turn` numbers the turns in which the cases of a sweep take their windows alternately; windows of a case that was
    timed on its own are all of turn 0. `disturbed` has the reason why a window does not count.
    """

    turn: Count
    start_ns: Count
    images: Positive
    ns: Ns
    disturbed: str


class Throughput(TypedDict, total=False):
    """The throughput: images done and nanoseconds taken in the undisturbed window of median rate."""

    images: Positive
    ns: Ns


class Throttled(TypedDict, total=False):
    """The measurements that throttling or a stop spoilt: ranges of samples, seconds of the throughput windows."""

    latency: list[Range]
    gpu: list[Range]
    flushed: list[Range]
    flushed_gpu: list[Range]
    throughput_s: Seconds


class Energy(TypedDict, total=False):
    """Joules of the whole card over a window, or `unreadable` alone, with the reason."""

    unreadable: str
    joules: float
    images: Positive
    start_ns: Count
    s: Seconds
    temperature_c: Annotated[list[float], Like(tuple[float, float])]  # before and after


class Largest(TypedDict, total=False):
    """The search for the largest batch: the one that `fits`, the smallest that `fails` and why, and every probe."""

    fits: Count
    fails: Count | None
    reason: str
    tried: list[Probe]


class Warmup(TypedDict, total=False):
    """The warm-up in executions and seconds, and whether the times had become stationary."""

    s: Seconds
    executions: Count
    stationary: bool


class Artefact(TypedDict, total=False):
    """The file that one would deploy: its `kind`, bytes, and the seconds to have it ready, if it was there before."""

    kind: str
    bytes: Count
    load_s: Seconds


class Cold(TypedDict, total=False):
    """Seconds of the parts of a cold start, and the state of the compile caches at its start."""

    artefact: Artefact
    import_s: Seconds | None  # None of a forked process, which imports next to nothing
    build_s: Seconds
    prepare_s: Seconds
    place_s: Seconds
    first_call_s: Seconds
    caches: str


class Memory(TypedDict, total=False):
    """Memory in bytes; None where it could not be read, with the reason in the field beside."""

    weights: Count | None
    allocator_allocated_peak: Count | None
    allocator_reserved_peak: Count | None
    device_process: Count | None
    device_process_unreadable: str
    host_resident: Count | None  # of schema 1
    host_resident_peak: Count | None
    host_resident_peak_unreadable: str
    host_limit: Count | None


# the memory numbers; `host_resident` is of schema 1, `host_resident_peak` of later ones
MemoryNumber = Literal[
    "weights",
    "allocator_allocated_peak",
    "allocator_reserved_peak",
    "device_process",
    "host_resident",
    "host_resident_peak",
]
# fields of `Check` of which the worst over all checks is shown
Agreement = Literal["rms_multiple", "max_multiple", "top1", "top1_plain", "code_distance", "rms_relative"]


class Check(TypedDict, total=False):
    """One check of the gate: errors, absolute and as multiples of plain torch's, and agreement of the top class.

    Of a 16-bit case also how far it is, in the same unit, from float32 arithmetic on rounded weights (0: it rounds
    nothing between its layers). `blind` names the layers that could be wrong without an error that is refused.
    """

    rms: NotNegative
    max: NotNegative
    rms_multiple: NotNegative
    max_multiple: NotNegative
    top1: NotNegative
    top1_plain: NotNegative
    pictures: Count
    unseen_ratio: NotNegative
    float32_multiple: NotNegative
    blind: list[str]
    rms_relative: NotNegative  # of 8 bits: `rms`, relative to the reference's own
    # of 8 bits: the largest distance of a code from the unrounded value, in steps of the codes, and where; the share of
    # codes in the worst step that are not the nearest
    code_distance: NotNegative
    code_worst: str
    code_flips: NotNegative


class Quantized(TypedDict, total=False):
    """A network in 8 bits: how it was calibrated, how it was checked, and what stayed out of the 8 bits.

    `ranges` is a digest of the activations' ranges. `steps` are those from integers to integers. `checked` is `taps`
    where the timed network's own integers were looked at, else `units`: each step was run alone.
    """

    calibrate: str
    pictures: Count
    ranges: str
    steps: Count
    layers: Count  # convolutions and products in 8 bits
    wide: list[str]  # those that are not: as asked, by a rule, or as the backend has no such step
    why_wide: dict[str, str]
    float_operations: list[str]  # of the backend's own graph, between the steps
    unseen: list[str]  # steps whose codes its taps do not show, and so are computed
    checked: str
    disk_bytes: Count  # of the file that the weights are in; of one that was made, or would be


class Score(TypedDict, total=False):
    """The answers to pictures that calibrated nothing, beside plain torch's in float32.

    `agree` counts the same top class. `unread` counts pictures of a folder that could not be read, and so are none of
    these. Where the pictures have labels, `top1` and `top5` count right answers and `plain`
    the same of float32; `lost` are right in float32 and wrong here, `gained` the reverse. `rms` is the RMS difference
    of the logits over the RMS of float32's. `data` is a digest of pictures and labels.
    """

    pictures: Count
    agree: Count
    rms: NotNegative
    labelled: bool
    top1: Count
    top5: Count
    plain_top1: Count
    plain_top5: Count
    lost: Count
    gained: Count
    unread: Count
    data: str
    s: Seconds


class Runtime(TypedDict, total=False):
    """Facts that only the process that owns the device can read: loaded versions, threads, caches in bytes."""

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
    process: str  # how it was started: `forked` from a server that has imported torch, or `fresh`
    process_why: str  # the reason why it was not forked


class Attempt(TypedDict, total=False):
    """An earlier process of the same case and round."""

    status: str
    reason: str


class Input(TypedDict, total=False):
    """The source of the pictures, the number of files, and a digest of their bytes."""

    source: str
    files: Count
    digest: str
    recipe: Count  # of reading the files of a folder: another gives other pixels
    note: str


class Given(TypedDict, total=False):
    """The sweep's words for building models, where it had any: counts, and the entry of the checkpoint."""

    num_classes: Positive
    in_channels: Positive
    entry: str


class Network(TypedDict, total=False):
    """The network as it was built: `origin` is the package that has its code, with the version.

    `file` is the digest of the checkpoint's bytes, `choice` what was decided in reading it, in words.
    """

    origin: str
    # `synthetic`: from the seed; `trained`: here, on digits; `file`: a checkpoint's; `own`: what a model from outside
    # starts with
    weights: str
    file: str
    choice: str
    num_classes: Positive
    in_channels: Positive
    parameters: Count
    code: str  # digest of the source that a model of a user's module runs
    copies_input: bool  # the model writes on its input, and gets a copy in each call
    given: Given
    # of a model from outside, for one picture
    flops: Count
    groups: list[Kernel]
    uncounted: str  # the reason why it has neither


class PlanName(TypedDict, total=False):
    """The plan that a record is of."""

    name: str
    digest: str


def at(value: Any, path: Iterable[str]) -> Any:
    """Return the value at a path into nested objects; None where there is none."""
    for key in path:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value
