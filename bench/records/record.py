"""A record: the result of one case in one round, success or failure.

Schema history (readers take old records, the writer writes the newest; tests/bench/records/golden has one of each):
  1  the first: one JSON object a line, every sample in integer nanoseconds
  2  2026-11: cold-cache latency (`flushed_ns`, `flushed_gpu_ns`), what was watched beside the timing (`watch`) and the
     samples taken while it throttled (`throttled`), `energy`, `runtime`, `largest`, earlier `attempts`, status
     `throttled`; `memory.host_resident`, read after the timing, gives way to `memory.host_resident_peak`
  3  2026-11: device times are separate samples, on a stream that waits (`gpu_how`, `gpu_stop`, `flushed_gpu_stop`;
     `gpu` and `flushed_gpu` in `throttled`). `gpu_ns` of older records stays, and is no device time: its events enclose
     the host's launches
  4  2026-11: the network that was built (`network`): where it is from, its weights' origin, classes, channels
  5  2026-11: several throughput windows (`windows`), of which `throughput` is the one of median rate; `flushed_watch`
  6  2026-11: 8 bits: the choices and what came of them (`quantized`), the answers to further pictures (`score`)
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import compress
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, cast

from bench.errors import RecordError
from bench.machine.facts import Count, Environment, Like, Seconds, Watch
from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.records import fields as parts
from bench.records.fields import Ns
from bench.records.misfit import SHOWN, Misfit
from bench.records.typed import hints_of, load_quickly, object_reader
from kernels.cards.reading import LINE, lines_of, load_json, open_lines

SCHEMA = 6
REASON = 300  # characters of the reason why a line is left out
DIGITS = 18  # of the round of such a line
# how `Record.line` begins, also where it was cut later
HEAD = re.compile(rb'\{"schema":\d+,"case":"([^"]+)","round":(\d+),(?:"status":"(\w+)")?')

TAIL = ',"runtime":'  # the first of the fields that most records of a sweep have alike, in a line as they are written

# `gpu_how`: device times are between events on a stream that waits until everything is enqueued
GPU_HOW = "held"

# Every status a record may have. Only `ok` carries times.
STATUSES = {
    "ok": "measured, and every answer was right",
    "wrong": "the gate refused an answer: no speed is kept",
    "memory": "out of device or host memory",
    "error": "the case raised an exception, or no answer of it can be judged",
    "crash": "its process died without an answer",
    "timeout": "its process outran the time limit and was killed",
    "throttled": "measured twice, and each time throttling or a stop left too few samples or windows to tell a speed",
    "skipped": "this machine cannot run it",
}


# fields of samples -> the key in `throttled` that lists those taken while the machine throttled
SAMPLES = {f"{name}_ns": name for name in ("latency", "gpu", "flushed", "flushed_gpu")}


@dataclass
class Record:
    """One case in one round. Times are integer nanoseconds, sizes bytes, durations in `cold` and `warmup` seconds."""

    case: Case
    round: Count
    status: str  # of STATUSES
    reason: str = ""
    order: int = 0  # position in the round's order, which is shuffled, or the plan's (`Sweep._rounds`)
    device: str = ""
    started: str = ""  # ISO 8601, UTC
    wall_s: Seconds = 0.0  # of the child, from start to end
    latency_ns: list[Ns] = field(default_factory=list)  # host time of one execution, call to result ready
    gpu_ns: list[Ns] = field(default_factory=list)  # device time, of separate executions
    gpu_how: str = ""  # GPU_HOW; empty where there is no device time, as in records up to schema 2 (`kept`)
    # the same, with the device's last-level cache flushed before each execution; for small batches
    flushed_ns: list[Ns] = field(default_factory=list)
    flushed_gpu_ns: list[Ns] = field(default_factory=list)
    latency_stop: parts.Stop = field(default_factory=parts.Stop)
    gpu_stop: parts.Stop = field(default_factory=parts.Stop)
    flushed_stop: parts.Stop = field(default_factory=parts.Stop)
    flushed_gpu_stop: parts.Stop = field(default_factory=parts.Stop)
    throughput: parts.Throughput = field(default_factory=parts.Throughput)  # empty, or whole
    windows: list[parts.Window] = field(default_factory=list)  # of throughput, in order; none up to schema 4
    throttled: parts.Throttled = field(default_factory=parts.Throttled)
    watch: Watch = field(default_factory=Watch)
    flushed_watch: Watch = field(default_factory=Watch)  # of `flushed_ns` and `flushed_gpu_ns`, which come later
    energy: parts.Energy = field(default_factory=parts.Energy)
    largest: parts.Largest = field(default_factory=parts.Largest)  # of a case with batch `max`
    warmup: parts.Warmup = field(default_factory=parts.Warmup)
    cold: parts.Cold = field(default_factory=parts.Cold)
    memory: parts.Memory = field(default_factory=parts.Memory)
    gate: dict[str, parts.Check] = field(default_factory=dict)  # before, during and after timing
    details: dict[str, Any] = field(default_factory=dict)  # what the variant really chose
    quantized: parts.Quantized = field(default_factory=parts.Quantized)  # of 8 bits
    score: parts.Score = field(default_factory=parts.Score)  # the answers to further pictures
    runtime: parts.Runtime = field(default_factory=parts.Runtime)
    attempts: list[parts.Attempt] = field(default_factory=list)  # earlier ones of this round
    input: parts.Input = field(default_factory=parts.Input)
    weights: str = ""  # digest
    network: parts.Network = field(default_factory=parts.Network)
    seed: int = 0
    settings: Annotated[dict[str, Any], Like(Settings)] = field(default_factory=dict)
    plan: parts.PlanName = field(default_factory=parts.PlanName)
    environment: Environment = field(default_factory=Environment)
    schema: int = SCHEMA

    def kept(self, samples: str) -> list[int]:
        """Return the samples of a field of SAMPLES that were not throttled.

        It returns no device times up to schema 2: these include the host's launches, unlike later ones.
        """
        if "gpu" in samples and self.gpu_how != GPU_HOW:
            return []
        taken: list[int] = getattr(self, samples)
        throttled = self.throttled_indices(samples) if self.throttled else ()
        if not throttled:
            return list(taken)
        counts = bytearray(b"\1" * len(taken))
        for place in throttled:
            counts[place] = 0
        return list(compress(taken, counts))

    def p50_ns(self, samples: str) -> float | None:
        """Return the median of the samples of a field that count, in nanoseconds; None where there is none."""
        return median(kept) if (kept := self.kept(samples)) else None

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of latency samples: those taken, and those of them that count."""
        return len(self.latency_ns), len(self.kept("latency_ns"))

    @property
    def day(self) -> str:
        return self.started[:10]

    @property
    def alike(self) -> tuple[Any, ...]:
        """A key of records with equal conditions and model: those of a sweep share objects, each with one id."""
        case, objects = self.case, (self.environment, self.network, self.settings)
        return (case.model, case.image), case.precision, self.device, self.weights, self.seed, *map(id, objects)

    def throttled_indices(self, samples: str) -> list[int]:
        """Return the indices of the samples of a field that were taken while the machine throttled."""
        name = samples.removesuffix("_ns")
        if self.gpu_how != GPU_HOW:
            name = name.replace("flushed_gpu", "flushed").replace("gpu", "latency")  # of the same executions
        return [place for first, last in self._ranges(name) for place in range(first, last + 1)]

    def _ranges(self, name: str) -> list[parts.Range]:
        return cast(dict[str, list[parts.Range]], self.throttled).get(name, [])

    @property
    def artefact(self) -> parts.Artefact:
        """The file that one would deploy; empty of a record that does not have it."""
        return self.cold.get("artefact", parts.Artefact())

    @property
    def first_answer_s(self) -> float | None:
        """The seconds from the start of a process that found its artefact to the first answer; None if unknown."""
        seconds = [self.artefact.get("load_s"), *map(self.cold.get, ("import_s", "place_s", "first_call_s"))]
        return None if None in seconds else sum(cast(list[float], seconds))

    def line(self) -> str:
        """Return the record as one line of JSON."""
        data = asdict(self)
        data["case"] = self.case.name
        # first, so that a person sees them, and whoever reads a truncated file
        head = {key: data.pop(key) for key in ("schema", "case", "round", "status")}
        return json.dumps(head | data, separators=(",", ":"), allow_nan=False)

    @classmethod
    def parse(cls, line: str) -> Record:
        """Return the record of a line. Raises RecordError, whose message says if the line is damaged or too new.

        Records of one sweep have the objects of TAIL and behind it in common: they are parsed once.
        """
        head, mark, rest = line.rpartition(TAIL)
        tail = _read_tail(rest) if mark else None
        try:
            if tail:
                with suppress(ValueError, RecordError):  # the whole line says what is wrong
                    return cls.from_json(load_quickly(head + "}"), tail)
            data = load_json(line)
        except ValueError as error:
            reason = type(error).__name__ if isinstance(error, json.JSONDecodeError) else error
            raise RecordError(f"not a whole record ({reason})") from None
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: Any, tail: Mapping[str, Any] = MappingProxyType({})) -> Record:
        """Return the record of parsed JSON of any schema to SCHEMA, with the fields of `tail`, which were checked.

        Raises RecordError, which names a wrong field.
        """
        if type(data) is not dict or "schema" not in data:
            raise RecordError("not a whole record (no schema)")
        schema = data["schema"]
        if type(schema) is not int or schema > SCHEMA:
            shown = json.dumps(schema)[:SHOWN]
            raise RecordError(f"schema {shown} is newer than this version's {SCHEMA}: update the checkout")
        if schema < 1:
            raise RecordError(f"not a record of schema {str(schema)[:SHOWN]}")
        if not data.keys() <= cls.__dataclass_fields__.keys():
            unknown = data.keys() - cls.__dataclass_fields__.keys()
            raise RecordError(f"not a record of schema {schema} (no record has the field {min(unknown)[:SHOWN]!r})")
        try:
            # up to now, what a later schema added is empty in an earlier record, and all else is as it was
            values = _read_fields(data | {"schema": SCHEMA}) | tail
            # by the class's names: a key that JSON made is another object, and is compared with each parameter
            record = cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})
            _check_whole("throughput", record.throughput)
            _check_whole("largest", record.largest, {"fits", "fails", "reason", "tried"})
            for window in record.windows:
                if "images" not in window or "ns" not in window:
                    _check_whole("windows", window or {"turn": 0})
            if record.throttled:
                _check_ranges(record)
            return record
        except Misfit as misfit:
            raise RecordError(str(misfit)) from None
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            raise RecordError(f"not a record of schema {schema} ({error})") from None


_read_fields = object_reader(hints_of(Record))


@lru_cache(1024)
def _read_tail(text: str) -> dict[str, Any] | None:
    """Return the fields of the end of a line, behind TAIL; None where they are no record's, or not the outermost.

    Text that is an object's end by itself closes that object alone, so a line that ends with it has these fields.
    """
    try:
        fields = _read_fields(load_json(f"{{{TAIL[1:]}{text}"))
        return fields if fields.keys() <= Record.__dataclass_fields__.keys() - {"schema"} else None
    except (TypeError, ValueError, KeyError, RecursionError):
        return None


def _check_whole(field: str, value: Mapping[str, object], keys: Set[str] = frozenset({"images", "ns"})) -> None:
    """Raise Misfit for an object that is not empty and lacks one of the keys that are there together."""
    missing = keys - value.keys()
    if value and missing:
        raise Misfit(f"an object with {' and '.join(sorted(missing))}", value).at(field)


def _check_ranges(record: Record) -> None:
    """Raise Misfit for a range of throttled samples that is not within the samples."""
    for samples, name in SAMPLES.items():
        count = len(getattr(record, samples))
        dropped = 0
        for first, last in record._ranges(name):
            dropped += last - first + 1
            if not first <= last < count or dropped > count:
                raise Misfit(f"a range of the {count} samples", [first, last]).at("throttled", name)


class LeftOut(NamedTuple):
    """A line that is no record: the reason, and the case and round that it begins with; empty and -1 of none."""

    reason: str
    case: str
    round: int

    @classmethod
    def of(cls, line: bytes, reason: object) -> LeftOut:
        head = HEAD.match(line)
        case, number = (head[1].decode(errors="replace"), int(head[2][:DIGITS])) if head else ("", -1)
        return cls(str(reason)[:REASON], case, number)


def parse_each(lines: Iterable[bytes]) -> Iterator[tuple[int, Record | LeftOut]]:
    """Yield the number of each line that is not empty, from 1, and its record, or why there is none."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > LINE:
                raise RecordError(f"longer than {LINE >> 20} MiB")
            yield number, Record.parse(line.removeprefix(BOM_UTF8).decode())
        except UnicodeDecodeError:
            yield number, LeftOut.of(line, "is not UTF-8 text")
        except RecordError as error:
            yield number, LeftOut.of(line, error)


def read_each(file: Path) -> Iterator[tuple[int, Record | LeftOut]]:
    """Yield as `parse_each` does for the lines of a regular file. Raises OSError."""
    with open_lines(file) as data:
        yield from parse_each(lines_of(data))
