"""The conditions under which two records are comparable: a table of the machine, its software and the settings.

Each condition is a row of FIELDS, of one Kind. COMPARE, RESUME and the like are the fields that must be equal for a
purpose. A value that one side lacks, as it is older or could not read it, differs from none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, cast

from bench.machine.environment import device, hardware
from bench.machine.facts import Environment
from bench.machine.provenance import unreadable
from bench.plans.case import Case
from bench.plans.network import network_given
from bench.plans.plan import Plan
from bench.plans.settings import Settings, thread_variables
from bench.records.fields import Input, Network, PlanName, at
from bench.records.record import Record
from resnet.calibration import EIGHT_BITS
from resnet.data.digits import FORMS


class Kind(Enum):
    """The subject of a field."""

    MACHINE = "the machine's name"
    PARTS = "hardware that the name does not determine"
    LIMITS = "the share of the machine that may be used"
    CLOCKS = "the highest clocks"
    SOFTWARE = "versions"
    EXTRAS = "versions of libraries that one variant uses, or one precision, and that many machines lack"
    VARIABLES = "environment variables that change results"
    INPUT = "the pictures, the weights, and the network's ends"
    PLAN = "the plan's name, and what it was told to build models with"
    SETTINGS = "the settings of the measurement"


@dataclass(frozen=True)
class Field:
    """One condition of a record.

    `word` is its name for `--allow`, `name` its name in a sentence. `paths` lead into the record: the first that has a
    value counts. `column` is the frame's column with the same value. In a field with `by_key` each key is compared by
    itself; a key that one side lacks is ignored, or has the value `unset` where that is given. `null` is the meaning of
    a null that is there. `may_become` is a value that a sweep may be started with, and those that its records may
    have instead.
    """

    word: str
    name: str
    kind: Kind
    paths: tuple[str, ...]
    column: str | None = None
    by_key: bool = False
    unset: str | None = None
    null: str | None = None
    may_become: tuple[str, ...] = ()

    def of(self, record: Conditions) -> Any:
        """Return the value in a record; None where it has none."""
        for path in self.paths:
            head, *rest = path.split(".")
            value = at(getattr(record, head), rest)
            if value is None and self.null and rest[-1] in (at(getattr(record, head), rest[:-1]) or ()):
                value = self.null
            if value is not None and not unreadable(value):
                return value
        return None


ONNXRUNTIME = ("environment.packages.onnxruntime-gpu", "environment.packages.onnxruntime")  # its distributions
FIELDS = (
    Field("device", "device", Kind.MACHINE, ("device",), "device"),
    Field("cpu", "processor", Kind.MACHINE, ("environment.cpu.name",), "cpu"),
    Field("cores", "number of cores", Kind.MACHINE, ("environment.cpu.cores",), "cores"),
    Field("gpu", "GPU", Kind.MACHINE, ("environment.gpu.name",), "gpu"),
    Field("flags", "instruction sets", Kind.PARTS, ("environment.cpu.flags",)),
    Field("cache", "size of the caches", Kind.PARTS, ("environment.cpu.cache_bytes",)),
    Field("gpu-memory", "memory of the GPU", Kind.PARTS, ("environment.gpu.memory_bytes",)),
    Field("quota", "quota of processor time", Kind.LIMITS, ("environment.cpu.quota",), null="no limit"),
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
    Field("onnxruntime", "ONNX Runtime", Kind.SOFTWARE, ONNXRUNTIME, "onnxruntime"),
    Field("openvino", "OpenVINO", Kind.EXTRAS, ("environment.packages.openvino",), "openvino"),
    Field("torchao", "torchao", Kind.EXTRAS, ("environment.packages.torchao",), "torchao"),
    Field(
        "variables", "environment variable", Kind.VARIABLES, ("environment.variables",), by_key=True, unset="not set"
    ),
    Field("weights", "weights", Kind.INPUT, ("weights",), "weights"),
    Field("classes", "number of classes", Kind.INPUT, ("network.num_classes",), "num_classes"),
    Field("channels", "number of channels", Kind.INPUT, ("network.in_channels",), "in_channels"),
    # photographs that a machine lacks are noise, and some networks read digits in their place
    Field("input", "input", Kind.INPUT, ("input.source",), "input", may_become=("photos", "noise", *FORMS)),
    Field("pictures", "pictures", Kind.INPUT, ("input.digest",)),
    Field("seed", "seed", Kind.INPUT, ("seed",), "seed"),
    Field("plan", "plan", Kind.PLAN, ("plan.name",), "plan"),
    # known before anything is built, unlike the digest of the weights, and equal weights may come from other files
    Field(
        "weights-from",
        "origin of the weights",
        Kind.PLAN,
        ("network.weights",),
        may_become=("synthetic", "own", "trained"),
    ),
    Field("weights-file", "checkpoint", Kind.PLAN, ("network.file",)),
    Field("given", "given", Kind.PLAN, ("network.given",), by_key=True, unset="the model's own"),
    Field("settings", "setting", Kind.SETTINGS, ("settings",), by_key=True),
)
# settings that change which cases are run and on how many pictures they are scored, and not how they are measured
FREE = ("limit_s", "ratio", "min_agreement", "score_pictures")
CALIBRATION = ("calibrate", "calibration_pictures", "keep_wide")  # settings that change the answers of 8 bits


def _of_kinds(kinds: Iterable[Kind]) -> tuple[Field, ...]:
    chosen = set(kinds)
    return tuple(field for field in FIELDS if field.kind in chosen)


# The fields that must be equal, by purpose. Commits are never among them: to compare them is what records are for.
#
# Parts that differ within a name are shown, and forbid nothing; two plans may have the same case, measured alike.
COMPARE = _of_kinds(set(Kind) - {Kind.PARTS, Kind.PLAN})
# Records that cannot be compared cannot share a table; a folder is of one plan, whose cases and rounds may grow.
RESUME = _of_kinds(set(Kind) - {Kind.PARTS})
# Records of many sweeps are shown together, and limits and clocks change from one rental to the next.
# A library of EXTRAS that was installed between two of them makes no other machine.
GROUP = _of_kinds({Kind.MACHINE, Kind.SOFTWARE})
# A history continues through upgrades: software is shown as the reason for a change.
SERIES = _of_kinds({Kind.MACHINE})
# A device's ceilings depend on its hardware and limits; their file says which torch measured them.
CEILINGS = _of_kinds({Kind.MACHINE, Kind.PARTS, Kind.LIMITS})
# Equal cases that differ in one of these, in threads, weights or the choices of 8 bits are different rows of a table.
ROWS = (*GROUP, *_of_kinds({Kind.EXTRAS}), *(row for row in FIELDS if row.word in ("classes", "channels")))


@dataclass
class SweepConditions:
    """The conditions of a sweep that is about to begin; those that only its records will have are empty."""

    device: str
    environment: Environment
    settings: dict[str, Any]
    seed: int
    input: Input
    plan: PlanName = field(default_factory=PlanName)
    weights: str = ""
    network: Network = field(default_factory=Network)

    @classmethod
    def of(cls, plan: Plan, environment: Environment, seed: int, source: str) -> SweepConditions:
        """Return the conditions of a plan that is about to run; `source` is the value of `--input`.

        Raises PlanError where the plan's checkpoint cannot be read.
        """
        kind = source if source in ("photos", "noise") else "folder"
        name: PlanName = {"name": plan.name}
        settings, network = asdict(plan.settings), cast(Network, network_given(plan.build))
        return cls(device(environment), environment, settings, seed, {"source": kind}, name, network=network)


Conditions = Record | SweepConditions


def differences(records: Iterable[Conditions], now: Conditions, fields: Iterable[Field]) -> list[str]:
    """Describe the differences between `records` and a sweep that would add to them, each once."""
    return list(dict.fromkeys(text for record in records for text in _differing(record, now, fields)))


def _differing(old: Conditions, new: Conditions, fields: Iterable[Field]) -> Iterator[str]:
    for row in fields:
        old_value, new_value = row.of(old), row.of(new)
        if not row.by_key:
            # noise that was asked for has an empty note; noise in place of photographs says why
            asked = old_value == "noise" and at(old.input, ["note"]) == ""
            became = new_value in row.may_become[:1] and old_value in row.may_become[1:] and not asked
            if not became and _differ(old_value, new_value):
                yield f"{row.name} ({old_value}, now {new_value})"
        elif isinstance(old_value, dict) and isinstance(new_value, dict):
            for key in dict.fromkeys([*new_value, *old_value]):
                one, other = old_value.get(key, row.unset), new_value.get(key, row.unset)
                if key not in FREE and _differ(one, other):
                    name = key if row.unset is None else f"{row.name} {key}"
                    yield f"{name} ({one}, now {other})"


def _differ(old: Any, new: Any) -> bool:
    """Return whether two values differ; None and the empty text are unknown, and differ from none."""
    return old != new and not {type(old), type(new)} & {type(None)} and "" not in (old, new)


Key = tuple[Any, ...]


def group_key(record: Conditions) -> Key:
    """Return the values of GROUP's fields: only records equal in all of them are shown together."""
    return tuple(row.of(record) for row in GROUP)


def group_by_machine(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """Return the records of each machine and set of software, in their order."""
    groups: dict[Key, list[Record]] = {}
    for record in records:
        groups.setdefault(group_key(record), []).append(record)
    return groups


def machine_label(machine: Key, among: Collection[Key] = ()) -> str:
    """Return the machine's name, with the fields in which it differs from others `among` them."""
    values = {row.word: value for row, value in zip(GROUP, machine, strict=True)}
    differing = [
        f"{row.name} {machine[index]}"
        for index, row in enumerate(GROUP)
        if row.kind is not Kind.MACHINE
        and machine[index] not in (None, "")
        and any(other[index] != machine[index] for other in among)
    ]
    return ", ".join([hardware(values["device"], values["gpu"], values["cpu"], values["cores"]), *differing])


_USUAL = Settings()
Traits = tuple[tuple[str, str], ...]
Way = tuple[Case, Traits]


def by_way(records: Iterable[Record]) -> dict[Way, list[Record]]:
    """Return the records of each case, apart where those of its model differ in what makes them other networks' runs.

    The traits of a way are the conditions, names with values, in which records of its model and image size differ.
    """
    records = list(records)
    described = {key: _conditions(record) for key, record in {record.alike: record for record in records}.items()}
    pairs = {(key[0], *pair) for key, conditions in described.items() for pair in conditions.items()}
    values = Counter(pair[:2] for pair in pairs)
    traits = {
        key: tuple(pair for pair in conditions.items() if values[key[0], pair[0]] > 1)
        for key, conditions in described.items()
    }
    ways: dict[Way, list[Record]] = {}
    for record in records:
        ways.setdefault((record.case, traits[record.alike]), []).append(record)
    return ways


def _conditions(record: Record) -> dict[str, str]:
    """Return the conditions that make a record another row, by the words of options or `--allow`, where known."""
    from_file = record.network.get("weights") == "file"
    conditions = {row.word: row.of(record) for row in ROWS} | choices(record)
    conditions["weights"] = record.weights[:8] if from_file else f"of seed {record.seed}"
    return {name: str(value) for name, value in conditions.items() if value not in (None, "")}


def choices(record: Record) -> dict[str, str]:
    """Return the record's threads, and of 8 bits what their answers depend on, by the words of options.

    What an older record lacks is as usual.
    """
    settings, eight_bits = vars(_USUAL) | record.settings, record.case.precision in EIGHT_BITS
    (variable, *_) = thread_variables(1)
    threads = settings["threads"] or at(record.environment, ["variables", variable]) or "unset"
    chosen = {name: str(settings[name] or "none").replace(" ", "") for name in CALIBRATION if eight_bits}
    return {"threads": str(threads)} | {name.replace("_", "-"): value for name, value in chosen.items()}


def unusual(record: Record) -> Traits:
    """Return what was asked for with options that are in no name of a case: classes, channels, unusual choices."""
    given = at(record.network, ["given"]) or {}
    words = {name.replace("_", "-"): str(given[name]) for name in ("num_classes", "in_channels") if name in given}
    return not_usual((words | choices(record)).items())


def not_usual(traits: Iterable[tuple[str, str]]) -> Traits:
    """Return the traits that are no option's usual value."""
    usual = {name.replace("_", "-"): str(getattr(_USUAL, name)) for name in CALIBRATION}
    usual |= {"threads": "unset", "keep-wide": "none"}
    return tuple(trait for trait in traits if trait not in usual.items())


def are_alike(one: Traits, other: Traits) -> bool:
    """Return whether two ways were run alike, by the traits that both have."""
    others = dict(other)
    return all(others.get(name, value) == value for name, value in one)


def in_words(traits: Traits) -> str:
    """Return traits as `calibrate minmax, keep-wide none`."""
    return ", ".join(f"{name} {value}" for name, value in traits)
