"""Which records may stand beside each other: those of one machine with one set of software."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.records.record import Record
from bench.records.same import SAME, at

Key = tuple[Any, ...]


def key(record: Record) -> Key:
    """The device, and each of `bench.records.same.SAME`: records that differ in one are not compared."""
    return (record.device, *(at(record.environment, path) for _, path in SAME))


def by_machine(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """The records of each machine and set of software, in the order they came."""
    found: dict[Key, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def label(machine: Key, among: Iterable[Key] = ()) -> str:
    """What the machine is, and, where another one `among` them has the same name, what it differs in."""
    names = ("device", *(name for name, _ in SAME))
    told = dict(zip(names, machine, strict=True))
    hardware = told["GPU"] if told["device"] == "cuda" else f"{told['processor']}, {told['number of cores']} cores"
    others = [other for other in among if other != machine]
    differing = [name for place, name in enumerate(names) if any(other[place] != machine[place] for other in others)]
    plain = ("device", "processor", "number of cores", "GPU")
    extra = [f"{name} {told[name]}" for name in differing if name not in plain]
    return ", ".join([str(hardware), *extra])
