"""Whose ceilings hold for whom: a record's are those measured on its own machine; other cards have their datasheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import StoreError
from bench.machine.environment import device
from bench.records.record import Record
from bench.roofline.ceilings import FOLDER, path_of, read
from kernels.cards.cards import CARDS, Card
from resnet.cost import BYTES
from resnet.floors import FUSIONS, Ceilings, network_floors


def _datasheet(card: Card) -> Ceilings:
    """A datasheet has no rate of the cache and no cost of a launch."""
    told = {"document": card.document, "rates": "dense: what is printed with sparsity, halved"}
    return Ceilings(card.product, dict(card.flops), card.memory, None, 0.0, "datasheet", told)


DATASHEETS = {card.key: _datasheet(card) for card in CARDS}


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
            except StoreError:  # no table is held up by it: `bench floors` and `bench ceilings` say what is wrong
                self.known[file] = None
        return self.known[file]

    def _file(self, record: Record) -> Path | None:
        facts = record.environment
        told = {"cpu", "gpu", "torch_cuda"} <= facts.keys() and device(facts) == record.device
        try:
            return path_of(facts, self.folder) if told else None
        except ValueError:  # a name that no file can have
            return None


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
