"""A record: what one case left in one round, success or failure.

Schema history (readers upgrade old records, the writer writes the newest; tests/bench/records/golden has one of each):
  1  the first: one JSON object a line, every sample in integer nanoseconds
  2  2026-11: cold-cache latency (`flushed_ns`, `flushed_gpu_ns`), what was watched beside the timing (`watch`) and the
     throttled samples (`throttled`), `energy`, `runtime`, `largest`, earlier `attempts`, status
     `throttled`; `memory.host_resident`, read after the timing, gives way to `memory.host_resident_peak`
  3  2026-11: device times are samples of their own, of a held stream (`gpu_how`, `gpu_stop`, `flushed_gpu_stop`; `gpu`
     and `flushed_gpu` in `throttled`). What older records hold as `gpu_ns` stays, and is no device time: events around
     the latency samples, with what the host took to launch inside
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, cast, get_type_hints

from bench.errors import RecordError
from bench.machine.facts import Count, Environment, Like, Seconds, Watch
from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.records import fields as parts
from bench.records.check import Misfit, check_object
from bench.records.fields import Ns

SCHEMA = 3

# `gpu_how`: between events on a stream that was held until all was enqueued
HELD = "held"

# Every status a record may have. Only `ok` carries times.
STATUSES = {
    "ok": "measured, and every answer was right",
    "wrong": "the gate refused an answer: no speed is kept",
    "memory": "out of device or host memory",
    "error": "the case raised an exception",
    "crash": "its process died without an answer",
    "timeout": "its process outran the time limit and was killed",
    "throttled": "measured twice, and each time the machine throttled for too many samples to tell a speed",
    "skipped": "this machine cannot run it",
}


def _from_1(data: dict[str, Any]) -> None:
    data["schema"] = 2  # what 2 added is empty; a peak cannot be made from what was read after it


def _from_2(data: dict[str, Any]) -> None:
    data["schema"] = 3  # without `gpu_how`


# schema -> what makes its data that of the next
UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _from_1, 2: _from_2}


# fields of samples -> what says in `throttled` which of them were taken while the machine throttled
SAMPLES = {f"{name}_ns": name for name in ("latency", "gpu", "flushed", "flushed_gpu")}


@dataclass
class Record:
    """One case in one round. Times are integer nanoseconds, sizes bytes, durations in `cold` and `warmup` seconds."""

    case: Case
    round: Count
    status: str  # of STATUSES
    reason: str = ""
    order: int = 0  # the place in the round's order, which is shuffled, or the plan's (`Sweep._rounds`)
    device: str = ""
    started: str = ""  # ISO 8601, UTC
    wall_s: Seconds = 0.0  # the child's whole life
    latency_ns: list[Ns] = field(default_factory=list)  # host time of one execution, call to result ready
    gpu_ns: list[Ns] = field(default_factory=list)  # device time, of executions of their own
    gpu_how: str = ""  # HELD; empty where there is none, or an older record's, which is none (`kept`)
    # the same, with the device's last-level cache flushed before each execution; for small batches
    flushed_ns: list[Ns] = field(default_factory=list)
    flushed_gpu_ns: list[Ns] = field(default_factory=list)
    latency_stop: parts.Stop = field(default_factory=parts.Stop)
    gpu_stop: parts.Stop = field(default_factory=parts.Stop)
    flushed_stop: parts.Stop = field(default_factory=parts.Stop)
    flushed_gpu_stop: parts.Stop = field(default_factory=parts.Stop)
    throughput: parts.Throughput = field(default_factory=dict)  # type: ignore[assignment]  # empty, or whole
    throttled: parts.Throttled = field(default_factory=parts.Throttled)
    watch: Watch = field(default_factory=Watch)
    energy: parts.Energy = field(default_factory=parts.Energy)
    largest: parts.Largest = field(default_factory=parts.Largest)  # of a case with batch `max`
    warmup: parts.Warmup = field(default_factory=parts.Warmup)
    cold: parts.Cold = field(default_factory=parts.Cold)
    memory: parts.Memory = field(default_factory=parts.Memory)
    gate: dict[str, parts.Check] = field(default_factory=dict)  # before, during and after timing
    details: dict[str, Any] = field(default_factory=dict)  # what the variant really chose
    runtime: parts.Runtime = field(default_factory=parts.Runtime)
    attempts: list[parts.Attempt] = field(default_factory=list)  # earlier ones of this round
    input: parts.Input = field(default_factory=parts.Input)
    weights: str = ""  # digest
    seed: int = 0
    settings: Annotated[dict[str, Any], Like(Settings)] = field(default_factory=dict)
    plan: parts.PlanName = field(default_factory=parts.PlanName)
    environment: Environment = field(default_factory=Environment)
    schema: int = SCHEMA

    def kept(self, samples: str) -> list[int]:
        """The samples of a field (`latency_ns`, `gpu_ns`, `flushed_ns`, `flushed_gpu_ns`) that did not fall.

        None of device times that hold the host's launches: those up to schema 2 cannot stand beside later ones.
        """
        if "gpu" in samples and self.gpu_how != HELD:
            return []
        fallen = set(self.fallen(samples))
        if not fallen:
            return list(getattr(self, samples))
        return [value for place, value in enumerate(getattr(self, samples)) if place not in fallen]

    def fallen(self, samples: str) -> list[int]:
        """The places in a field of samples of those that a throttling machine spoilt."""
        name = samples.removesuffix("_ns")
        if self.gpu_how != HELD:
            name = name.replace("flushed_gpu", "flushed").replace("gpu", "latency")  # of the same executions
        return [place for first, last in self._ranges(name) for place in range(first, last + 1)]

    def _ranges(self, name: str) -> list[parts.Range]:
        return cast(dict[str, list[parts.Range]], self.throttled).get(name, [])

    def line(self) -> str:
        """The record as one line of JSON."""
        data = asdict(self)
        data["case"] = self.case.name
        # first, so that a person and a truncated file's reader see them
        head = {key: data.pop(key) for key in ("schema", "case", "round", "status")}
        return json.dumps(head | data, separators=(",", ":"), allow_nan=False)

    @classmethod
    def parse(cls, line: str) -> Record:
        """The record of a line. Raises RecordError, whose message says whether the line is damaged or too new."""
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"not a whole record ({type(error).__name__})") from None
        return cls.of(data)

    @classmethod
    def of(cls, data: Any) -> Record:
        """The record that parsed JSON holds, of any schema up to SCHEMA; `data` is changed.

        Raises RecordError, which names the field that holds what it should not.
        """
        if type(data) is not dict or "schema" not in data:
            raise RecordError("not a whole record (no schema)")
        schema = data["schema"]
        if type(schema) is not int or schema > SCHEMA:
            raise RecordError(f"schema {json.dumps(schema)} is newer than this version's {SCHEMA}: update the checkout")
        try:
            for version in range(schema, SCHEMA):
                UPGRADES[version](data)
            _PARTS(data)
            data["case"] = Case.parse(data["case"])
            record = cls(**data)
            _check_ranges(record)
            return record
        except Misfit as misfit:
            raise RecordError(str(misfit)) from None
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            raise RecordError(f"not a record of schema {schema} ({error})") from None


# of parsed JSON, in which a case is its name
_PARTS = check_object(get_type_hints(Record, include_extras=True) | {"case": str})


def _check_ranges(record: Record) -> None:
    """Raises Misfit for a range of fallen samples that there are not."""
    for samples, name in SAMPLES.items():
        count = len(getattr(record, samples))
        for first, last in record._ranges(name):
            if not first <= last < count:
                raise Misfit(f"a range of the {count} samples", [first, last]).at("throttled", name)
