"""What a recommendation chooses among: the records of folders, by model and image size on each machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bench.errors import StoreError
from bench.plans.words import heading
from bench.records.record import Record
from bench.records.same import group_by_machine, machine_label
from bench.records.store import Store
from bench.report.recommend import Budget, Choice, choose

FOLDER_ROUNDS = 1 << 20  # a folder's rounds are numbered apart from another's


@dataclass
class Group:
    """What to choose from: one model on one machine; what was chosen; the folder of each record, by its id."""

    heading: str
    choice: Choice
    origin: dict[int, Path]


def groups(
    folders: Sequence[Path], model: str | None, budget: Budget, tell: Callable[[str], None] = lambda message: None
) -> list[Group]:
    """The choice of each model and image size on each machine.

    `model` is a glob. `tell` is given sentences: of damaged lines, and of several machines.
    Raises StoreError where no record is of such a model.
    """
    records, origin = _read(folders, tell)
    machines = group_by_machine(records)
    if len(machines) > 1:
        tell(f"{len(machines)} machines, or sets of software, are in these records: each has an answer of its own.")
    among: dict[tuple[str, str, int], list[Record]] = {}
    for machine, own in machines.items():
        for record in own:
            case = record.case
            if not case.largest and (model is None or fnmatchcase(case.model, model)):
                among.setdefault((machine_label(machine, machines), case.model, case.image), []).append(record)
    if not among:
        raise StoreError(f"no record in {', '.join(map(str, folders))} is of a model {model or 'with a batch'}")
    ordered = sorted(among.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0]))
    return [
        Group(heading(name, image, machine), choose(own, budget), origin) for (machine, name, image), own in ordered
    ]


def _read(folders: Sequence[Path], tell: Callable[[str], None]) -> tuple[list[Record], dict[int, Path]]:
    """All records, and the folder of each by its id.

    Rounds of one folder are paired with each other, never with another folder's.
    """
    records: list[Record] = []
    origin: dict[int, Path] = {}
    for place, folder in enumerate(dict.fromkeys(folders)):
        store = Store(folder)
        own = [replace(record, round=record.round + place * FOLDER_ROUNDS) for record in store.read()]
        records += own
        origin |= {id(record): folder for record in own}
        for line in store.damage:
            tell(f"bench: {line}")
    return records, origin
