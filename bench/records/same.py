"""Whether a sweep may go on in a folder: what was measured otherwise cannot stand in one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.machine.environment import device, onnxruntime
from bench.machine.provenance import unreadable
from bench.records.record import Record

# of the environment: another of these is another machine, or other software
SAME = (
    ("processor", ("cpu", "name")),
    ("number of cores", ("cpu", "cores")),
    ("GPU", ("gpu", "name")),
    ("driver", ("gpu", "driver")),
    ("Python", ("python",)),
    ("torch", ("packages", "torch")),
    ("triton", ("packages", "triton")),
    ("ONNX Runtime", ("onnxruntime",)),
)
# settings that change what is run, and not how it is measured
FREE = ("limit_s", "ratio")


def differences(
    records: Iterable[Record], env: dict[str, Any], settings: dict[str, Any], seed: int, source: str
) -> list[str]:
    """What differs between some records and a sweep that would join them: names, with both values."""
    found: dict[str, None] = {}
    for record in records:
        pairs = [("seed", record.seed, seed), ("device", record.device, device(env))]
        pairs += [(name, at(record.environment, path), at(env, path)) for name, path in SAME]
        pairs += [
            (name, record.settings.get(name, value), value) for name, value in settings.items() if name not in FREE
        ]
        pairs += [("input", *_inputs(record, source))]
        found |= {f"{name} ({old}, now {new})": None for name, old, new in pairs if old != new}
    return list(found)


def at(env: dict[str, Any], path: tuple[str, ...]) -> Any:
    """What stands at a path of SAME; None where nothing does, or why it could not be read."""
    value: Any = env | {"onnxruntime": onnxruntime(env)}
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return None if unreadable(value) else value


def _inputs(record: Record, source: str) -> tuple[str, str]:
    """The record's kind of input and the sweep's; photographs that this machine lacks are noise."""
    old = record.input.get("source")
    new = source if source in ("photos", "noise") else "folder"
    return (new, new) if old is None or (old, new) == ("noise", "photos") else (old, new)
