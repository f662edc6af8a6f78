"""Whose ceilings hold for whom: a record's are those measured on its own machine; other cards have their datasheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ceilings import FOLDER, CeilingsError, path_of, read
from bench.environment import device
from bench.record import Record
from resnet.cost import BYTES, FUSIONS, Ceilings, network_floors

TERA = 1e12


def _datasheet(machine: str, document: str, bandwidth: float, flops: dict[str, float]) -> Ceilings:
    """Of one card, from TB/s and TFLOP/s. A datasheet has no rate of the cache and no cost of a launch."""
    rates = {precision: rate * TERA for precision, rate in flops.items()}
    told = {"document": document, "rates": "dense: what is printed with sparsity, halved"}
    return Ceilings(machine, rates, bandwidth * TERA, None, 0.0, "datasheet", told)


# As NVIDIA prints them (read 2026-11); halved where only the rate with sparsity is printed. fp32 is the CUDA cores'.
HOPPER = {"fp32": 67, "tf32": 989 / 2, "fp16": 1979 / 2, "bf16": 1979 / 2, "fp8": 3958 / 2, "int8": 3958 / 2}
AMPERE = {"fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312, "int8": 624}  # no fp8 units
ADA = {"fp32": 91.6, "tf32": 183, "fp16": 362.05, "bf16": 362.05, "fp8": 733, "int8": 733}
BLACKWELL = {"fp32": 75, "tf32": 2200 / 2, "fp16": 4500 / 2, "bf16": 4500 / 2, "fp8": 9000 / 2, "int8": 9000 / 2}
DATASHEETS = {
    "h100": _datasheet("NVIDIA H100 SXM 80 GB", "NVIDIA's H100 datasheet", 3.35, HOPPER),
    "h200": _datasheet("NVIDIA H200 SXM 141 GB", "NVIDIA's H200 datasheet", 4.8, HOPPER),
    "a100": _datasheet("NVIDIA A100 SXM 80 GB", "NVIDIA's A100 datasheet", 2.039, AMPERE),
    "l40s": _datasheet("NVIDIA L40S 48 GB", "NVIDIA's L40S datasheet", 0.864, ADA),
    "b200": _datasheet("NVIDIA B200 180 GB", "NVIDIA's Blackwell datasheet (HGX B200)", 7.7, BLACKWELL),
}


@dataclass
class Measured:
    """The ceilings measured on the machines of records, looked for once a machine."""

    folder: Path = FOLDER
    known: dict[Path, Ceilings | None] = field(default_factory=dict)

    def of(self, records: Iterable[Record]) -> Ceilings | None:
        """Of the machine and device that all the records are of; None where that is not one, or not measured."""
        files = {self._file(record) for record in records}
        file = files.pop() if len(files) == 1 else None
        if file is None:
            return None
        if file not in self.known:
            try:
                self.known[file] = read(file) if file.exists() else None
            except CeilingsError:  # no table is held up by it: `bench floors` and `bench ceilings` say what is wrong
                self.known[file] = None
        return self.known[file]

    def _file(self, record: Record) -> Path | None:
        facts = record.environment
        told = {"cpu", "gpu", "torch_cuda"} <= facts.keys() and device(facts) == record.device
        return path_of(facts, self.folder) if told else None


def table(
    model: str, image: int, machines: dict[str, Ceilings], precisions: Sequence[str], batches: Iterable[int]
) -> list[dict[str, Any]]:
    """A row for each machine, precision and batch; without precisions, for all that the machine has.

    `floor_s` is by fusion model, `memory_share` the part of `conv`'s floor that is bytes; both None for a precision
    that the machine does not have.
    """
    return [
        {"machine": name, "precision": precision, "batch": batch} | _row(model, image, ceilings, precision, batch)
        for name, ceilings in machines.items()
        for precision in precisions or filter(ceilings.flops.__contains__, BYTES)
        for batch in batches
    ]


def _row(model: str, image: int, ceilings: Ceilings, precision: str, batch: int) -> dict[str, Any]:
    if precision not in ceilings.flops:
        return {"floor_s": None, "images_per_s": None, "memory_share": None}
    made = {fusion: network_floors(model, batch, image, precision, ceilings, fusion) for fusion in FUSIONS}
    seconds = {fusion: sum(floor.seconds for floor in floors) for fusion, floors in made.items()}
    memory = sum(floor.seconds for floor in made["conv"] if floor.bound == "memory")
    return {
        "floor_s": seconds,
        "images_per_s": {fusion: batch / each for fusion, each in seconds.items()},
        "memory_share": memory / seconds["conv"],
    }
