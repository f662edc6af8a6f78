"""The groups of a recommendation: the records of folders by machine, model and image size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.errors import StoreError
from bench.plans.words import heading
from bench.records.record import Record
from bench.records.same import group_by_machine, machine_label
from bench.records.store import read_folders
from bench.report.recommend import Budget, Choice, choose


@dataclass
class Group:
    """The choice among the cases of one model on one machine, whose records `read_folders` numbered by folder."""

    heading: str
    choice: Choice
    folders: list[Path]


def choose_by_group(
    folders: Sequence[Path], model: str | None, budget: Budget, tell: Callable[[str], None] = lambda message: None
) -> list[Group]:
    """Return the choice of each model and image size on each machine, by machine and number of records.

    `model` is a glob; `tell` receives a sentence for each damaged line, and one where there are several machines.
    Raises StoreError where no record is of such a model.
    """
    paths = list(dict.fromkeys(folders))
    records, damage = read_folders(paths, apart=True)
    for line in damage:
        tell(f"bench: {line}")
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
        Group(heading(name, image, machine), choose(group, budget), paths) for (machine, name, image), group in ordered
    ]
