"""The jobs that run a case or measure this machine, and a child's answer to each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.plans.scored import scored_pictures
from bench.records.fields import Window
from bench.runs.wire import A, Job, Json
from resnet.names import Build

Notify = Callable[[str], None]  # sends the parent the stage that a job is at
# float64 on a few CPU cores is slow, and a large batch has many pictures; references are computed once
REFERENCE_LIMIT_S = 3600.0
# Different pictures in a search for the largest batch: a prime, so that an index that wraps at 2^n meets another.
PICTURES = 7
MODELS_OWN = Build()


class Ended(TypedDict, total=False):
    """The fields of every answer: a record's status, and the reason for one that is not `ok`."""

    status: str
    reason: str


class CaseAnswer(Ended, total=False):
    """Fields of a record (`bench.records.record.Record`) that were measured before the case ended."""

    latency_ns: list[int]
    gpu_ns: list[int]
    gpu_how: str
    flushed_ns: list[int]
    flushed_gpu_ns: list[int]
    latency_stop: Json
    gpu_stop: Json
    flushed_stop: Json
    flushed_gpu_stop: Json
    throughput: dict[str, int]
    windows: list[Window]
    throttled: Json
    watch: Json
    flushed_watch: Json
    energy: Json
    largest: Json
    warmup: Json
    cold: Json
    memory: Json
    gate: Json
    details: Json
    quantized: Json
    score: Json
    runtime: Json
    input: Json
    weights: str
    network: Json


@dataclass(frozen=True)
class RunJob(Job[A]):
    """The fields of every job that runs `case` on `device`.

    `reference` maps precisions to the files that a `ReferenceJob` wrote; `source` and `seed` choose the pictures.
    `caches` is an empty folder for the compile caches of a cold start; without one the usual caches are used.
    """

    case: Case
    settings: Settings
    device: str
    seed: int
    source: str
    reference: dict[str, str]
    caches: str = ""
    build: Build = field(default_factory=Build)


@dataclass(frozen=True)
class CaseJob(RunJob[CaseAnswer], name="case"):
    """Measure the case, and score it on the labelled pictures in `data`, a folder, if there is one.

    In turns, it pauses where throughput is due, and takes windows on command (`Command`).
    """

    in_turns: bool = False
    data: str = ""


@dataclass(frozen=True)
class FitJob(RunJob[CaseAnswer], name="fit"):
    """Try if the case's batch fits into memory."""


class Empty(Ended):
    """An answer without content: whatever there was to say was sent as stages on the way."""


@dataclass(frozen=True)
class AheadJob(RunJob[Empty], name="ahead"):
    """Prepare the case and call it once, for the compile caches that this fills, by so many compilers at a time."""

    compilers: int = 1


class KernelRow(TypedDict):
    """A kernel of one execution: its name, the microseconds of all its launches, and their number."""

    name: str
    us: float
    count: int


class PartRow(TypedDict):
    """A timed part: the modules that it computes, nanoseconds in each execution, and its kernels."""

    name: str
    modules: list[str]
    ns: list[float]
    kernels: list[KernelRow]


class LayersAnswer(Ended):
    """Times in nanoseconds of the parts, and of the whole: undisturbed, on the GPU, and while parts were timed.

    `network` is as a record has it; `modules` has the kernels in it that each module of a model from outside computes.
    """

    device: str
    whole_ns: list[int]
    gpu_ns: list[int]
    timed_ns: list[int]
    how: str
    note: str
    parts: list[PartRow]
    network: Json
    modules: dict[str, list[str]]
    details: Json
    runtime: Json


@dataclass(frozen=True)
class LayersJob(RunJob[LayersAnswer], name="layers"):
    """Time the parts of the case, `executions` times; `trace` is the path for the profiler's trace, or empty."""

    executions: int = 30
    trace: str = ""


class ReferenceAnswer(Ended):
    """The path of a .npy file of logits for each precision, and for `fp64`."""

    paths: dict[str, str]


@dataclass(frozen=True)
class ReferenceJob(Job[ReferenceAnswer], name="reference"):
    """Compute the reference logits of a model for the first `count` pictures, in each precision.

    And float32's for the `scored` pictures of a score; of a folder `data`, 0 means all.
    """

    model_name: str
    image: int
    count: int
    precisions: list[str]
    device: str
    seed: int
    source: str
    build: Build = field(default_factory=Build)
    scored: int = 0
    data: str = ""


def reference_job(
    cases: Iterable[Case], settings: Settings, device: str, seed: int, source: str, build: Build = MODELS_OWN
) -> ReferenceJob:
    """Return the job for the references of `cases`, of one model and image: their largest batch, all precisions."""
    cases = list(cases)
    count = max(PICTURES if case.largest else (settings.buffers + 1) * case.batch for case in cases)  # one is unseen
    precisions, scored = sorted({case.precision for case in cases}), max(scored_pictures(c, settings) for c in cases)
    named = (cases[0].model, cases[0].image, count, precisions)
    return ReferenceJob(*named, device, seed, source, build, scored)


class LoadAnswer(Ended):
    """Times under load, in nanoseconds; `rate` and `saturation` are in requests a second.

    `times` has executions alone, by batch; `due` and `latency` are of requests; `spent` is of batches under load, and
    `counts` the requests in each.
    """

    rate: float
    saturation: float
    runtime: Json
    times: dict[str, list[int]]
    due: list[int]
    latency: list[int]
    fed_late: list[int]
    counts: list[int]
    spent: list[int]


@dataclass(frozen=True)
class LoadJob(Job[LoadAnswer], name="load"):
    """Put `case` under load, prepared at each batch of `sizes`; with `rate` None, at half of what the device serves."""

    case: Case
    sizes: tuple[int, ...]
    rate: float | None
    seconds: float
    wait_ns: float
    device: str
    source: str
    seed: int
    reference: dict[str, str] = field(default_factory=dict)
    build: Build = field(default_factory=Build)


class NetworkAnswer(Ended):
    """The field `network` of a record, as far as the model's code alone tells it."""

    network: Json


@dataclass(frozen=True)
class NetworkJob(Job[NetworkAnswer], name="network"):
    """Build a model from outside with whatever weights it starts with, and count its work for one picture."""

    model_name: str
    image: int
    build: Build = field(default_factory=Build)


class NullAnswer(Ended):
    """The time that the harness itself adds; see `bench.worker.measure.overhead`."""

    overhead: Json


@dataclass(frozen=True)
class NullJob(Job[NullAnswer], name="null"):
    """Measure models that do nothing, and so the harness."""

    device: str


class MeasurementRow(TypedDict):
    """A measured ceiling: rates a second; `spread` is how far the median is below the ceiling, relative."""

    what: str
    how: str
    precision: str
    shape: list[int]
    rate: float
    median: float
    fastest: float
    spread: float
    samples: int


class CeilingsAnswer(Ended):
    """Every measurement, and for each precision without one the reason (`absent`)."""

    measurements: list[MeasurementRow]
    absent: dict[str, str]
    cache_bytes: int
    watch: Json
    runtime: Json
    seconds: float


@dataclass(frozen=True)
class CeilingsJob(Job[CeilingsAnswer], name="ceilings"):
    """Measure this machine's ceilings; `flags` are its CPU's. `quick` only shows that measuring works."""

    device: str
    flags: list[str]
    quick: bool = False


PartOutcome = Json  # status, reason, seconds, and the part's further fields


@dataclass(frozen=True)
class PartsJob(Job[Empty]):
    """Run the named parts one after the other, each with its limit in seconds; a stage reports each start and end."""

    device: str
    parts: list[tuple[str, float]] = field(default_factory=list)


class PiecesJob(PartsJob, name="pieces"):
    """Pieces of networks (`bench.experiments.lists.PIECES`)."""


class ConstantsJob(PartsJob, name="constants"):
    """Experiments on a card's constants (`bench.experiments.lists.EXPERIMENTS`)."""
