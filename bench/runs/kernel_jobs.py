"""The jobs about kernels (compile, count, tune, bundle) and about layers in 8 bits, and a child's answer to each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.runs.job import Empty, Ended
from bench.runs.wire import Job, Json
from resnet.names import Build

LayerData = Json  # a `kernels.space.layer.Layer` as `dataclasses.asdict` returns it
Point = tuple[str, int, str]  # network, batch, precision


class KernelsAnswer(Ended):
    """The kernels of each layer that the child claimed, by its place, and the outcomes of those it compiled, by key.

    A kernel has its `key`, `arch`, `kernel` and `use`. `unknown` are cards whose configurations were left out.
    """

    layers: dict[str, list[Json]]
    outcomes: dict[str, Json]
    triton: str
    unknown: list[str]


@dataclass(frozen=True)
class KernelsJob(Job[KernelsAnswer], name="kernels"):
    """Compile the networks' kernels, by architecture, that no other child has claimed; leaves out those in `broken`.

    A child claims a layer, and each kernel of it, by a link to its number in the folder `queue`. One that takes the
    place of a dead one has its number, and so its claims. `broken` maps kernels that killed a child to how it died.
    """

    points: dict[str, list[Point]]
    globs: list[str]
    tables: list[str]
    queue: str
    number: int = 0
    broken: dict[str, str] = field(default_factory=dict)


class FactsAnswer(Ended):
    """A `bench.static.cases.Counted` as JSON for each case, and the versions that the counts depend on."""

    cases: dict[str, Json]
    environment: dict[str, str]


@dataclass(frozen=True)
class FactsJob(Job[FactsAnswer], name="facts"):
    """Count the work of cases; leaves out those in `broken`, which killed a child before."""

    cases: list[str]
    broken: dict[str, str] = field(default_factory=dict)
    build: Build = field(default_factory=Build)


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
    """The networks, this machine's GPU if it has one, the loaded versions, and whether a bundle of kernels was used."""

    networks: list[NetworkRow]
    gpu: GpuRow | None
    versions: dict[str, str]
    bundle: str


@dataclass(frozen=True)
class NetworksJob(Job[NetworksAnswer], name="tune", what="networks"):
    """Read the layers of models at batches and precisions."""

    models: list[str]
    batches: list[int]
    precisions: list[str]
    image: int = 224


class VisitRow(TypedDict):
    """A layer with its best configuration so far, if any, and its challengers, each with a number."""

    layer: LayerData
    best: tuple[int, str] | None
    challengers: list[tuple[int, str]]


class TrialEnd(TypedDict, total=False):
    """The stage at the end of a candidate: fields of a `bench.tuning.trials.Trial`, times in microseconds."""

    status: str
    reason: str
    us: float | None
    beside_us: float | None


class CandidateEnd(TypedDict, total=False):
    """The stage at the end of a bundle's candidate: its folders in Triton's cache, or why it `failed`."""

    layer: str
    config: str
    folders: list[str]
    failed: str


@dataclass(frozen=True)
class TryJob(Job[Empty], name="tune", what="candidates"):
    """Try the candidates of some layers for `seconds`; those numbered in `compiled` are compiled already.

    `threads` compile at once; 0 stands for the number of cores.
    """

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
class MakerJob(Job[MakerAnswer], name="bundle", what="maker"):
    """Return the compiler that would compile a bundle for an architecture."""

    arch: int


class BundleAnswer(Ended):
    """The number of candidates that there was no time for."""

    left: int


@dataclass(frozen=True)
class BundleJob(Job[BundleAnswer], name="bundle", what="candidates"):
    """Compile the networks' kernels and the tuner's candidates for `seconds`, without those in `compiled`, by layer.

    `candidates` of each layer are for a compute capability, such as 90; the files in `tables` go before the model's.
    """

    models: list[str]
    batches: list[int]
    precisions: list[str]
    arch: int
    candidates: int
    tables: list[str]
    compiled: dict[str, list[str]] = field(default_factory=dict)
    threads: int = 0
    seconds: float = 0.0
    image: int = 224


class OpEnd(TypedDict, total=False):
    """The stage at the end of a layer: its status, the reason, errors, and nanoseconds of a call, by contestant.

    `error` and `largest` are of the user's convolution, RMS and largest, as multiples of the library's; `notes` says of
    a contestant what it chose, or why it is absent.
    """

    status: str
    reason: str
    error: float
    largest: float
    ns: dict[str, list[float]]
    notes: dict[str, str]


class OpAnswer(Ended):
    """The record of the user's code, and the runtime; the layers' ends came as stages."""

    code: Json
    runtime: Json


@dataclass(frozen=True)
class OpJob(Job[OpAnswer], name="op"):
    """Check and time the convolution `code`, `module:function`, on layers, beside the library's and this project's.

    `layers` have a number each; contestants take turns for `seconds` a layer, and at least `samples` times.
    """

    code: str
    layers: list[tuple[int, LayerData]]
    device: str
    precision: str
    seed: int
    seconds: float
    samples: int


class SensitivityAnswer(Ended):
    """Answers of networks with some of their layers in 8 bits: `top` classes and squared errors, picture by picture.

    `effects` is by network: `float` (whose squares are of the logits themselves), `8 bits`, `quantized:LAYER`,
    `wide:LAYER`, or a way of calibrating. `groups` numbers the file of each picture; `labels` is empty without labels.
    `found` is of a search: layers `wide`, answers lost and gained of `pictures` that chose them (`chosen`), and of as
    many others (`checked`), `met`, `tried`.
    """

    layers: list[str]
    effects: dict[str, Json]
    groups: list[int]
    labels: list[int]
    found: Json
    weights: str
    input: Json
    runtime: Json


@dataclass(frozen=True)
class SensitivityJob(Job[SensitivityAnswer], name="sensitivity"):
    """Simulate a case's network with each layer alone in 8 bits, and alone out of them; or calibrated in every way.

    `formats` are of its activations, one of `resnet.calibration.FORMATS`; `data` is a folder of labelled pictures, or
    empty. With `most_lost`, a share of the answers, the fewest layers to keep wide that lose no more are sought.
    """

    case: Case
    settings: Settings
    seed: int
    source: str
    formats: str
    pictures: int
    methods: bool = False
    most_lost: float | None = None
    data: str = ""
    build: Build = field(default_factory=Build)
