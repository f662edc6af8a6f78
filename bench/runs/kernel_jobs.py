"""The jobs about kernels: compiled, counted, tuned, bundled; and what a child answers to each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

from bench.runs.job import Empty, Ended
from bench.runs.wire import Job, Json

LayerData = Json  # a `kernels.space.layer.Layer` as `dataclasses.asdict` makes it
Point = tuple[str, int, str]  # network, batch, precision


class KernelsAnswer(Ended):
    """Rows of `bench.static.kernels.Entry`; the names of cards whose configurations were left out."""

    rows: list[Json]
    triton: str
    unknown: list[str]


@dataclass(frozen=True)
class KernelsJob(Job[KernelsAnswer]):
    """Compile part `part` of `parts` of what networks run, by architecture; `broken`: what killed a child before."""

    name: ClassVar[str] = "kernels"
    answer: ClassVar[type] = KernelsAnswer

    points: dict[str, list[Point]]
    globs: list[str]
    tables: list[str]
    parts: int
    part: int = 0
    broken: dict[str, str] = field(default_factory=dict)


class FactsAnswer(Ended):
    """By case, what `bench.static.cases.Counted.plain` makes; what the counts hang on."""

    cases: dict[str, Json]
    environment: dict[str, str]


@dataclass(frozen=True)
class FactsJob(Job[FactsAnswer]):
    """Count what cases do; `broken`: those that killed a child before."""

    name: ClassVar[str] = "facts"
    answer: ClassVar[type] = FactsAnswer

    cases: list[str]
    broken: dict[str, str] = field(default_factory=dict)


class NetworkRow(TypedDict):
    """A network at a batch and precision: its different layers, and how often each runs."""

    model: str
    batch: int
    precision: str
    layers: list[tuple[LayerData, int]]


class GpuRow(TypedDict):
    """A GPU as torch names it; `arch` as 90."""

    name: str
    arch: int
    sms: int


class NetworksAnswer(Ended):
    """The networks, this machine's GPU if it has one, the versions loaded, what came of a bundle of kernels."""

    networks: list[NetworkRow]
    gpu: GpuRow | None
    versions: dict[str, str]
    bundle: str


@dataclass(frozen=True)
class NetworksJob(Job[NetworksAnswer]):
    """Read the layers of models at batches and precisions."""

    name: ClassVar[str] = "tune"
    what: ClassVar[str] = "networks"
    answer: ClassVar[type] = NetworksAnswer

    models: list[str]
    batches: list[int]
    precisions: list[str]
    image: int = 224


class VisitRow(TypedDict):
    """A layer, its best so far if it has one, and its challengers: numbers and configurations."""

    layer: LayerData
    best: tuple[int, str] | None
    challengers: list[tuple[int, str]]


class TrialEnd(TypedDict, total=False):
    """What is told at the end of a candidate: a `bench.tuning.trials.Trial`'s fields, times in microseconds."""

    status: str
    reason: str
    us: float | None
    beside_us: float | None


class CandidateEnd(TypedDict, total=False):
    """What is told at the end of a bundle's candidate: the folders in Triton's cache, or why it `failed`."""

    layer: str
    config: str
    folders: list[str]
    failed: str


@dataclass(frozen=True)
class TryJob(Job[Empty]):
    """Try the candidates of some layers until `seconds` are over; those `compiled` are so already.

    `threads` compile at once; 0: as many as there are cores.
    """

    name: ClassVar[str] = "tune"
    what: ClassVar[str] = "candidates"
    answer: ClassVar[type] = Empty

    visits: list[VisitRow]
    compiled: list[int]
    device: str
    arch: int
    seed: int
    threads: int
    seconds: float


class MakerAnswer(Ended):
    """Fields of `kernels.compiled.bundle.Maker`."""

    maker: Json


@dataclass(frozen=True)
class MakerJob(Job[MakerAnswer]):
    """Say what would compile a bundle for an architecture."""

    name: ClassVar[str] = "bundle"
    what: ClassVar[str] = "maker"
    answer: ClassVar[type] = MakerAnswer

    arch: int


class BundleAnswer(Ended):
    """How many candidates there was no time for."""

    left: int


@dataclass(frozen=True)
class BundleJob(Job[BundleAnswer]):
    """Compile what networks run and a tuner would try, but for what is `known` by layer, for `seconds`."""

    name: ClassVar[str] = "bundle"
    what: ClassVar[str] = "candidates"
    answer: ClassVar[type] = BundleAnswer

    models: list[str]
    batches: list[int]
    precisions: list[str]
    arch: int
    candidates: int
    tables: list[str]
    known: dict[str, list[str]]
    threads: int
    seconds: float
    image: int = 224
