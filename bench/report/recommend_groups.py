"""The groups of a recommendation: the records of folders by machine, model and image size."""

from __future__ import annotations

from collections import defaultdict
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

FOLDER_ROUNDS = 1 << 20  # an offset between the rounds of folders: rounds of two folders are never paired


@dataclass
class Group:
    """The choice among the cases of one model on one machine; `origin` is the folder of each record, by its id."""

    heading: str
    choice: Choice
    origin: dict[int, Path]


def choose_by_group(
    folders: Sequence[Path], model: str | None, budget: Budget, tell: Callable[[str], None] = lambda message: None
) -> list[Group]:
    """Return the choice of each model and image size on each machine, by machine and number of records.

    `model` is a glob; `tell` receives a sentence for each damaged line, and one where there are several machines.
    Raises StoreError where no record is of such a model.
    """
    records, origin = _read_folders(folders, tell)
    machines = group_by_machine(records)
    if len(machines) > 1:
        tell(f"{len(machines)} machines, or sets of software, are in these records: each has a separate answer.")
    groups: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
    for machine, machine_records in machines.items():
        for record in machine_records:
            case = record.case
            if not case.largest and fnmatchcase(case.model, model or "*"):
                groups[machine_label(machine, machines), case.model, case.image].append(record)
    if not groups:
        raise StoreError(f"no record in {', '.join(map(str, folders))} is of a model {model or 'with a batch'}")
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0]))
    return [
        Group(heading(name, image, machine), choose(group, budget), origin) for (machine, name, image), group in ordered
    ]


def _read_folders(folders: Sequence[Path], tell: Callable[[str], None]) -> tuple[list[Record], dict[int, Path]]:
    """Return all records, their rounds numbered apart by folder, and the folder of each record by its id."""
    origin: dict[int, Path] = {}
    records: list[Record] = []
    for place, folder in enumerate(dict.fromkeys(folders)):
        store = Store(folder)
        for record in store.read():
            records.append(replace(record, round=record.round + place * FOLDER_ROUNDS))
            origin[id(records[-1])] = folder
        for line in store.damage:
            tell(f"bench: {line}")
    return records, origin
