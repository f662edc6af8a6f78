"""A record: what one case left in one round, success or failure.

Schema history (readers upgrade old records, the writer writes the newest; `tests/bench/golden` holds records of each):
  1  the first: one JSON object a line, every sample in integer nanoseconds
  2  2026-11: cold-cache latency (`flushed_ns`, `flushed_gpu_ns`), what was watched beside the timing (`watch`) and the
     samples that fell to throttling (`throttled`), `energy`, `runtime`, `largest`, earlier `attempts`, status
     `throttled`; `memory.host_resident`, read after the timing, gives way to `memory.host_resident_peak`
  3  2026-11: device times are samples of their own, of a held stream (`gpu_how`, `gpu_stop`, `flushed_gpu_stop`; `gpu`
     and `flushed_gpu` in `throttled`). What older records hold as `gpu_ns` stays, and is no device time: events around
     the latency samples, with what the host took to launch inside
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.errors import RecordError
from bench.plans.case import Case

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
    "throttled": "measured, but so many samples fell while the machine throttled that no speed is told, twice",
    "skipped": "this machine cannot run it",
}


def _from_1(data: dict[str, Any]) -> None:
    data["schema"] = 2  # what 2 added is empty; a peak cannot be made from what was read after it


def _from_2(data: dict[str, Any]) -> None:
    data["schema"] = 3  # without `gpu_how`


# schema -> what makes its data that of the next
UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _from_1, 2: _from_2}


@dataclass
class Record:
    """One case in one round. Times are integer nanoseconds, sizes bytes, durations in `cold` and `warmup` seconds."""

    case: Case
    round: int
    status: str
    reason: str = ""
    order: int = 0  # the place in the round's order, which is shuffled, or the plan's (`Sweep._rounds`)
    device: str = ""
    started: str = ""  # ISO 8601, UTC
    wall_s: float = 0.0  # the child's whole life
    latency_ns: list[int] = field(default_factory=list)  # host time of one execution, call to result ready
    gpu_ns: list[int] = field(default_factory=list)  # device time, of executions of their own
    gpu_how: str = ""  # HELD; empty where there is none, or an older record's, which is none (`kept`)
    # the same, with the device's last-level cache flushed before each execution; for small batches
    flushed_ns: list[int] = field(default_factory=list)
    flushed_gpu_ns: list[int] = field(default_factory=list)
    latency_stop: dict[str, Any] = field(default_factory=dict)  # which rule ended the sampling; noise asked, reached
    gpu_stop: dict[str, Any] = field(default_factory=dict)  # as latency_stop; executions that fell, or why none held
    flushed_stop: dict[str, Any] = field(default_factory=dict)  # as latency_stop; bytes written to flush
    flushed_gpu_stop: dict[str, Any] = field(default_factory=dict)  # as gpu_stop
    throughput: dict[str, int] = field(default_factory=dict)  # images, ns: the unsynchronised window
    # what a throttling machine spoilt: places in the samples, as [first, last] ranges, under `latency`, `gpu`,
    # `flushed` and `flushed_gpu`; seconds of the throughput window under `throughput_s`
    throttled: dict[str, Any] = field(default_factory=dict)
    watch: dict[str, Any] = field(default_factory=dict)  # clocks, power, temperature, steal, beside the timing
    energy: dict[str, Any] = field(default_factory=dict)  # joules, images, seconds, temperatures
    largest: dict[str, Any] = field(default_factory=dict)  # of a case with batch `max`: what fits and what does not
    warmup: dict[str, Any] = field(default_factory=dict)
    cold: dict[str, Any] = field(default_factory=dict)  # import, build, prepare, first call, in seconds; the caches
    memory: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)  # what the variant really chose
    runtime: dict[str, Any] = field(default_factory=dict)  # what only the process that owns the device can read
    attempts: list[dict[str, str]] = field(default_factory=list)  # earlier ones of this round: status, reason
    input: dict[str, Any] = field(default_factory=dict)
    weights: str = ""  # digest
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, str] = field(default_factory=dict)  # name, digest
    environment: dict[str, Any] = field(default_factory=dict)
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
        return [place for first, last in self.throttled.get(name, ()) for place in range(first, last + 1)]

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
            schema = data["schema"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise RecordError(f"not a whole record ({type(error).__name__})") from None
        if not isinstance(schema, int) or schema > SCHEMA:
            raise RecordError(f"schema {schema!r} is newer than this version's {SCHEMA}: update the checkout")
        try:
            for version in range(schema, SCHEMA):
                UPGRADES[version](data)
            data["case"] = Case.parse(data["case"])
            return cls(**data)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise RecordError(f"not a record of schema {schema} ({error})") from None
