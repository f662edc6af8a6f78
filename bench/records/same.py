"""What makes two records comparable: one table of the machine, its software and how it was measured.

Each field is a row of FIELDS, of one Kind. Who asks whether records are alike does it with a Strictness, which names
the kinds that must be equal and says why no others. A value that one side does not know, being older or unreadable,
differs from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Protocol

from bench.machine.environment import device, hardware
from bench.machine.facts import Environment
from bench.machine.provenance import unreadable
from bench.plans.plan import Plan
from bench.records.fields import Input, PlanName, at
from bench.records.record import Record


class Kind(Enum):
    """What a field tells of."""

    MACHINE = "which machine it is"
    PARTS = "what of a machine its name does not tell"
    LIMITS = "how much of the machine may be used"
    CLOCKS = "how fast the machine may go"
    SOFTWARE = "versions"
    VARIABLES = "environment variables that change results"
    INPUT = "what is computed on"
    PLAN = "which plan it is of"
    SETTINGS = "how it is measured"


@dataclass(frozen=True)
class Field:
    """One fact of a record.

    `word` is what `--allow` calls it, `name` what a sentence does. `paths` lead into the record: the first that is
    known counts. `column` of the frame holds the same. Of a field that is `by_key` each key is a fact, and one that a
    side lacks is unknown there, or, with `unset`, is that. `may_become` is a value that a sweep asks for, and what its
    records may hold instead.
    """

    word: str
    name: str
    kind: Kind
    paths: tuple[str, ...]
    column: str | None = None
    by_key: bool = False
    unset: str | None = None
    may_become: tuple[str, str] | None = None

    def of(self, record: Conditions) -> Any:
        """The value in a record; None where it is not known."""
        for path in self.paths:
            head, *rest = path.split(".")
            value = at(getattr(record, head), rest)
            if value is not None and not unreadable(value):
                return value
        return None


FIELDS = (
    Field("device", "device", Kind.MACHINE, ("device",), "device"),
    Field("cpu", "processor", Kind.MACHINE, ("environment.cpu.name",), "cpu"),
    Field("cores", "number of cores", Kind.MACHINE, ("environment.cpu.cores",), "cores"),
    Field("gpu", "GPU", Kind.MACHINE, ("environment.gpu.name",), "gpu"),
    Field("flags", "instruction sets", Kind.PARTS, ("environment.cpu.flags",)),
    Field("cache", "size of the caches", Kind.PARTS, ("environment.cpu.cache_bytes",)),
    Field("gpu-memory", "memory of the GPU", Kind.PARTS, ("environment.gpu.memory_bytes",)),
    Field("quota", "quota of processor time", Kind.LIMITS, ("environment.cpu.quota",)),
    Field("governor", "governor", Kind.CLOCKS, ("environment.cpu.governor",)),
    Field("driver", "driver", Kind.SOFTWARE, ("environment.gpu.driver",), "driver"),
    Field("power", "power limit", Kind.LIMITS, ("environment.gpu.power_limit_w",)),
    Field("clocks", "highest clock", Kind.CLOCKS, ("environment.gpu.clock_max_mhz",)),
    Field("memory-clocks", "highest memory clock", Kind.CLOCKS, ("environment.gpu.clock_memory_max_mhz",)),
    Field("ecc", "ECC", Kind.CLOCKS, ("environment.gpu.ecc",)),
    Field("mig", "MIG", Kind.LIMITS, ("environment.gpu.mig",)),
    Field("python", "Python", Kind.SOFTWARE, ("environment.python",), "python"),
    Field("torch", "torch", Kind.SOFTWARE, ("environment.packages.torch",), "torch"),
    Field("cuda", "CUDA", Kind.SOFTWARE, ("environment.torch_cuda",)),
    Field("triton", "triton", Kind.SOFTWARE, ("environment.packages.triton",), "triton"),
    Field(
        "onnxruntime",
        "ONNX Runtime",
        Kind.SOFTWARE,
        ("environment.packages.onnxruntime-gpu", "environment.packages.onnxruntime"),
        "onnxruntime",
    ),
    Field(
        "variables",
        "environment variable",
        Kind.VARIABLES,
        ("environment.variables",),
        by_key=True,
        unset="not set",
    ),
    Field("weights", "weights", Kind.INPUT, ("weights",), "weights"),
    # photographs that a machine lacks are noise
    Field("input", "input", Kind.INPUT, ("input.source",), "input", may_become=("photos", "noise")),
    Field("pictures", "pictures", Kind.INPUT, ("input.digest",)),
    Field("seed", "seed", Kind.INPUT, ("seed",), "seed"),
    Field("plan", "plan", Kind.PLAN, ("plan.name",), "plan"),
    Field("settings", "setting", Kind.SETTINGS, ("settings",), by_key=True),
)
# settings that change what is run, and not how it is measured
FREE = ("limit_s", "ratio")


@dataclass(frozen=True)
class Strictness:
    """The kinds of fields that must be equal, and why others need not be."""

    kinds: frozenset[Kind]
    why: str

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(row for row in FIELDS if row.kind in self.kinds)


# Commits are never among the kinds: to compare them is what records are for.
COMPARE = Strictness(
    frozenset(Kind) - {Kind.PARTS, Kind.PLAN},
    "two plans may hold the same case, measured alike; of one machine's name the parts are told, and refuse nothing",
)
RESUME = Strictness(
    COMPARE.kinds | {Kind.PLAN},
    "what could not be compared cannot be in one table; a folder is of one plan, whose cases and rounds may grow",
)
GROUP = Strictness(
    frozenset({Kind.MACHINE, Kind.SOFTWARE}),
    "records of many sweeps are looked at together, and limits and clocks change from one rented hour to the next",
)
SERIES = Strictness(
    frozenset({Kind.MACHINE}), "a history goes on through upgrades: software is a reason for a change, and told as one"
)
CEILINGS = Strictness(
    frozenset({Kind.MACHINE, Kind.PARTS, Kind.LIMITS}),
    "what a device can do at most is that of its hardware and limits; of torch the file itself says with which",
)


class Conditions(Protocol):
    """What of a record FIELDS lead into: a record, or a sweep that is about to begin."""

    device: str
    environment: Environment
    weights: str
    input: Input
    seed: int
    plan: PlanName
    settings: dict[str, Any]


@dataclass
class Sitting:
    """The conditions of a sweep that is about to begin; what is not known before it runs is empty."""

    device: str
    environment: Environment
    settings: dict[str, Any]
    seed: int
    input: Input
    plan: PlanName = field(default_factory=PlanName)
    weights: str = ""

    @classmethod
    def of(cls, plan: Plan, environment: Environment, seed: int, source: str) -> Sitting:
        """Of a plan that is about to run; `source` is what `--input` says."""
        kind = source if source in ("photos", "noise") else "folder"
        name: PlanName = {"name": plan.name}
        return cls(device(environment), environment, asdict(plan.settings), seed, {"source": kind}, name)


@dataclass(frozen=True)
class Difference:
    """A fact that both sides know, and know otherwise."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name} ({self.old}, now {self.new})"


def differences(records: Iterable[Conditions], now: Conditions, strictness: Strictness) -> list[Difference]:
    """What differs between any of some records and a sweep that would join them, each difference once."""
    return list({str(one): one for record in records for one in _differing(record, now, strictness)}.values())


def _differing(old: Conditions, new: Conditions, strictness: Strictness) -> Iterator[Difference]:
    for row in strictness.fields:
        ours, theirs = row.of(old), row.of(new)
        if not row.by_key:
            if (theirs, ours) != row.may_become and _differ(ours, theirs):
                yield Difference(row.name, ours, theirs)
        elif isinstance(ours, dict) and isinstance(theirs, dict):
            for key in dict.fromkeys([*theirs, *ours]):
                one, other = ours.get(key, row.unset), theirs.get(key, row.unset)
                if key not in FREE and _differ(one, other):
                    yield Difference(key if row.unset is None else f"{row.name} {key}", one, other)


def _differ(old: Any, new: Any) -> bool:
    """Whether both are known, and not the same; an empty text is what nobody filled in."""
    return old != new and not {type(old), type(new)} & {type(None)} and "" not in (old, new)


Key = tuple[Any, ...]


def key(record: Conditions) -> Key:
    """The values of GROUP's fields: records that differ in one do not stand beside each other."""
    return tuple(row.of(record) for row in GROUP.fields)


def by_machine(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """The records of each machine and set of software, in the order they came."""
    groups: dict[Key, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def label(machine: Key, among: Iterable[Key] = ()) -> str:
    """What the machine is, and, where another one `among` them has the same name, what it differs in."""
    values = {row.word: value for row, value in zip(GROUP.fields, machine, strict=True)}
    others = [other for other in among if other != machine]
    differing = [
        f"{row.name} {machine[place]}"
        for place, row in enumerate(GROUP.fields)
        if row.kind is not Kind.MACHINE
        and machine[place] not in (None, "")
        and any(other[place] != machine[place] for other in others)
    ]
    return ", ".join([hardware(values["device"], values["gpu"], values["cpu"], values["cores"]), *differing])
