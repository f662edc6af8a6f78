"""The ceilings that apply to a record, those measured on its machine, and the floors of any machine or datasheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.errors import StoreError, WorkError
from bench.machine.environment import device
from bench.records.record import Record
from bench.roofline.ceilings import FOLDER, path_of, read_ceilings
from bench.runs.job import MODELS_OWN, NetworkJob
from bench.runs.process import ask, request
from bench.runs.wire import Json
from kernels.cards.cards import CARDS, Card
from resnet.cost import BYTES
from resnet.floors import COUNTED, Ceilings, described_floors, fusions_of
from resnet.names import Build

COUNT_LIMIT_S = 600.0  # a model's builder may take long


def _datasheet(card: Card) -> Ceilings:
    """Return a card's ceilings by its datasheet, which has no rate of the cache and no cost of a launch."""
    provenance = {"document": card.document, "rates": "dense: what is printed with sparsity, halved"}
    return Ceilings(card.product, dict(card.flops), card.memory, None, 0.0, "datasheet", provenance)


DATASHEETS = {card.key: _datasheet(card) for card in CARDS}


def measured_ceilings(records: Iterable[Record], folder: Path = FOLDER) -> Ceilings | None:
    """Return the ceilings of the one machine and device of all the records; None if several, or not measured."""
    sweeps = {(id(record.environment), record.device): record for record in records}
    files = {_file(record, folder) for record in sweeps.values()}
    file = files.pop() if len(files) == 1 else None
    try:
        return _read_once(file, file.stat().st_mtime_ns) if file and file.exists() else None
    except StoreError:  # a table appears all the same: `bench floors` and `bench ceilings` say what is wrong
        return None


@cache
def _read_once(file: Path, changed: int) -> Ceilings:
    """Return the ceilings in a file as it is since `changed`: the rows of a table ask for a few files."""
    return read_ceilings(file)


def _file(record: Record, folder: Path) -> Path | None:
    facts = record.environment
    is_complete = {"cpu", "gpu", "torch_cuda"} <= facts.keys() and device(facts) == record.device
    try:
        return path_of(facts, folder) if is_complete else None
    except ValueError:  # a name that no file can have
        return None


def count_network(model: str, image: int, build: Build = MODELS_OWN) -> Json:
    """Return what a record says of a model from outside, its work counted. Raises WorkError where it cannot be."""
    answer = request(NetworkJob(model, image, build), COUNT_LIMIT_S, by=ask)
    reason = answer.reason if answer.status != "ok" else answer.data["network"].get("uncounted")
    if reason:
        raise WorkError(f"{model} has no floor: {reason}")
    return answer.data["network"]


def floor_rows(
    model: str,
    image: int,
    machines: dict[str, Ceilings],
    precisions: Sequence[str],
    batches: Iterable[int],
    network: Mapping[str, Any] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Return a row for each machine, precision and batch; without `precisions`, for all that each machine has.

    `network` is what a record has by that name. `floor_s` is in seconds by fusion model, `memory_share` the part of
    `conv`'s floor that memory bounds; both are None for a precision that the machine lacks.
    """
    return [
        {"machine": name, "precision": precision, "batch": batch}
        | _row(model, image, ceilings, precision, batch, network)
        for name, ceilings in machines.items()
        for precision in precisions or filter(ceilings.flops.__contains__, BYTES)
        for batch in batches
    ]


def _row(
    model: str, image: int, ceilings: Ceilings, precision: str, batch: int, network: Mapping[str, Any]
) -> dict[str, Any]:
    if precision not in ceilings.flops:
        return {"floor_s": None, "images_per_s": None, "memory_share": None}
    about = model, batch, image, precision, network, ceilings
    floors = {fusion: described_floors(*about, fusion) for fusion in fusions_of(model)}
    floor_s = {fusion: sum(floor.seconds for floor in floors[fusion]) for fusion in floors}
    memory_s = sum(floor.seconds for floor in floors[COUNTED] if floor.bound == "memory")
    return {
        "floor_s": floor_s,
        "images_per_s": {fusion: batch / seconds for fusion, seconds in floor_s.items()},
        "memory_share": memory_s / floor_s[COUNTED],
    }
