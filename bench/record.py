"""A record: what one case left in one round, success or failure.

Schema history (readers upgrade old records, the writer writes the newest):
  1  the first: one JSON object a line, every sample in integer nanoseconds
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.case import Case

SCHEMA = 1

# Every status a record may have. Only `ok` carries times.
STATUSES = {
    "ok": "measured, and every answer was right",
    "wrong": "the gate refused an answer: no speed is kept",
    "memory": "out of device or host memory",
    "error": "the case raised an exception",
    "crash": "its process died without an answer",
    "timeout": "its process outran the time limit and was killed",
    "skipped": "this machine cannot run it",
}


class RecordError(ValueError):
    """A line that is not a record this version can read."""


@dataclass
class Record:
    """One case in one round. Times are integer nanoseconds, sizes bytes, durations in `cold` and `warmup` seconds."""

    case: Case
    round: int
    status: str
    reason: str = ""
    order: int = 0  # the place in the round's shuffled order
    device: str = ""
    started: str = ""  # ISO 8601, UTC
    wall_s: float = 0.0  # the child's whole life
    latency_ns: list[int] = field(default_factory=list)  # host time of one execution, call to result ready
    gpu_ns: list[int] = field(default_factory=list)  # device time between events around the same executions
    latency_stop: dict[str, Any] = field(default_factory=dict)  # which rule ended the sampling; noise asked, reached
    throughput: dict[str, int] = field(default_factory=dict)  # images, ns: the unsynchronised window
    warmup: dict[str, Any] = field(default_factory=dict)
    cold: dict[str, Any] = field(default_factory=dict)  # import, build, prepare, first call, in seconds
    memory: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)  # what the variant really chose
    input: dict[str, Any] = field(default_factory=dict)
    weights: str = ""  # digest
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, str] = field(default_factory=dict)  # name, digest
    environment: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

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
            data["case"] = Case.parse(data["case"])
            return cls(**data)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise RecordError(f"not a record of schema {schema} ({error})") from None
