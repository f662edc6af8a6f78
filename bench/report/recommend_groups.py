"""Recommendations for all models, image sizes and machines of some results folders; the cases that none beats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path

from bench.errors import StoreError
from bench.plans.words import heading
from bench.records import quality
from bench.records.record import Record
from bench.records.same import by_way, group_by_machine, in_words, machine_label
from bench.records.store import FOLDER_ROUNDS, narrow_records, read_folders
from bench.report.recommend import Assessment, Budget, Choice, choose
from bench.report.rows import Row, joules_per_image

NETWORK = ("classes", "channels", "weights")  # traits that no limit weighs: they make it another network


def pareto_front(cases: Iterable[Assessment]) -> list[Assessment]:
    """Return the cases that no other beats in throughput, median latency, memory, and energy where measured.

    In 8 bits also in the share of answers that agree with float32's.
    """
    costs = [(case, _costs(case.row)) for case in cases]

    def is_beaten(mine: tuple[float, ...]) -> bool:
        return any(other != mine and all(b <= a for a, b in zip(mine, other, strict=True)) for _, other in costs)

    return [case for case, mine in costs if not is_beaten(mine)]


def _costs(row: Row) -> tuple[float, ...]:
    """Return numbers of which less is better; one that was not measured is infinite."""
    energy, memory = row.median_over_rounds(joules_per_image), row.memory
    agreement = quality.agreement(row.score) if row.is_eight_bits else None
    price = 1 - agreement.value if agreement else inf if row.is_eight_bits else 0.0
    return (-row.images_per_s, row.p50_ns, inf if memory is None else memory, inf if energy is None else energy, price)


@dataclass
class Group:
    """The choice among the cases of one network on one machine, whose records `read_folders` numbered by folder."""

    heading: str
    choice: Choice
    folders: list[Path]


def choose_by_group(
    folders: Sequence[Path],
    model: str | None,
    budget: Budget,
    tell: Callable[[str], None],
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    listed: bool = False,
) -> list[Group]:
    """Return the choice of each model, its weights and image size on each machine, by machine and number of records.

    `model` is a glob; `only` and `exclude` are globs as `bench.plans.words.narrow` takes them.
    `tell` receives a sentence for each damaged line, and one where there are several machines. `listed` is as in
    `choose`.
    Raises StoreError where no record is of such a model.
    """
    paths = list(dict.fromkeys(folders))
    records, damage = read_folders(paths, apart=True, brief=True)
    for line in damage:
        tell(type(line)(f"bench: {line}"))
    records = narrow_records(records, only, exclude, paths)
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
        Group(heading(name, image, machine) + network, choose(of_one, budget, listed), paths)
        for (machine, name, image), group in ordered
        for network, of_one in _by_network(group)
    ]


def _by_network(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Yield the words of each network and its records; one whose network was not built has that of its folder."""
    networks: dict[int, str] = {}  # by folder, whose records are all of one
    described = [(record, in_words(tuple(trait for trait in way[1] if trait[0] in NETWORK)))
                 for way, ones in by_way(records).items() for record in ones]  # fmt: skip
    for record, words in sorted(described, key=lambda pair: not pair[0].weights):
        networks.setdefault(record.round // FOLDER_ROUNDS, f", {words}" * bool(words))
    for network in dict.fromkeys(networks.values()):
        yield network, [record for record in records if networks[record.round // FOLDER_ROUNDS] == network]
