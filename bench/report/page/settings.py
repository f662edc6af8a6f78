"""Which records share a chart: those of one machine with one set of software, and of one commit where it matters.

Records of several folders are put together where machine and software are the same. Where a case was measured at
several commits of this project, each commit is a setting of its own: the page compares ways, and shows commits in its
history alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.machine.provenance import short
from bench.plans.case import Case
from bench.plans.words import label
from bench.records import same
from bench.records.record import Record
from bench.records.store import read_folders
from bench.report.markdown import machine
from bench.report.rows import Row, answer, largest, left_out, rows, trust


@dataclass
class Setting:
    """One machine with one set of software, and what was measured there."""

    key: same.Key
    label: str = ""
    commit: str = ""  # where the machine's records are apart by commit
    records: list[Record] = field(default_factory=list)  # their rounds numbered over all folders
    rows: list[Row] = field(default_factory=list)

    @property
    def told(self) -> dict[str, Any]:
        """What the page says of it in words."""
        missing = [
            {"status": status, "reason": reason, "cases": [case.name for case in cases]}
            for status, reason, cases in left_out(self.records)
        ]
        return {
            "label": self.label,
            "headline": headline(self.rows),
            "answer": answer(self.rows).splitlines(),
            "trust": trust(self.records, self.rows),
            "machine": [line.replace("`", "") for line in machine(self.records).splitlines()],
            "failures": [found for found in missing if found["status"] != "skipped"],
            "skipped": [found for found in missing if found["status"] == "skipped"],
            "largest": [{"case": case.name} | told for case, told in largest(self.records)],
        }


@dataclass
class Placed:
    """A record as its folder has it, and the setting that it belongs to."""

    record: Record
    folder: Path
    setting: Setting


def apart(folders: Iterable[Path]) -> tuple[list[Setting], list[Placed], list[str]]:
    """The settings of some folders, the first to be shown first; every record; what could not be read.

    Raises StoreError for a folder that holds no records.
    """
    found: list[tuple[Record, Path, int]] = []
    damage: list[str] = []
    offset = 0
    for folder in folders:
        records, unread = read_folders([folder])
        damage += unread
        found += [(record, folder, offset) for record in records]
        # a round of another folder is another round, although it has the same number
        offset += 1 + max((record.round for record in records), default=0)
    several = _several_commits(record for record, _, _ in found)
    settings: dict[tuple[same.Key, str], Setting] = {}
    placed = []
    for record, folder, offset in found:
        key = same.group_key(record)
        commit = _commit(record) if key in several else ""
        setting = settings.setdefault((key, commit), Setting(key, commit=commit))
        setting.records.append(replace(record, round=record.round + offset))
        placed.append(Placed(record, folder, setting))
    keys = {key for key, _ in settings}
    for setting in settings.values():
        at = [f"commit {setting.commit}"] if setting.commit else []
        setting.label = ", ".join([same.machine_label(setting.key, keys), *at])
        setting.rows = rows(setting.records)
    return _in_order(list(settings.values())), placed, damage


def _in_order(settings: list[Setting]) -> list[Setting]:
    """The machine that has most to tell first; of one machine the newest commit first."""
    most: dict[same.Key, int] = defaultdict(int)
    for setting in settings:
        most[setting.key] = max(most[setting.key], len(setting.rows))
    newest = {id(setting): max(record.started for record in setting.records) for setting in settings}
    # machines that have as much to tell stay together
    machine_place = {key: place for place, key in enumerate(most)}
    by_age = sorted(settings, key=lambda setting: newest[id(setting)], reverse=True)
    return sorted(by_age, key=lambda setting: (-most[setting.key], machine_place[setting.key]))


def _several_commits(records: Iterable[Record]) -> set[same.Key]:
    """The machines on which some case was measured at more than one commit."""
    found: dict[tuple[same.Key, Case], set[str]] = defaultdict(set)
    for record in records:
        if record.status == "ok":
            found[same.group_key(record), record.case].add(_commit(record))
    return {key for (key, _), commits in found.items() if len(commits) > 1}


def _commit(record: Record) -> str:
    """The commit of this project that a record was made at, in short."""
    return short(record.environment.get("git")).replace("+", " with changes")


def family(case: Case) -> str:
    """The model as a panel's heading: with the picture's size where it is not the usual one."""
    return case.model if case.image == 224 else f"{case.model} at {case.image} px"


def depth(model: str) -> int:
    return int(re.findall(r"\d+", model)[0])


def axes(case: Case) -> dict[str, Any]:
    """What every row of a chart has: the case's axes, which the filters ask, and its names."""
    return {
        **vars(case),
        "case": case.name,
        "family": family(case),
        "group": f"{family(case)}, batch {case.batch}",
        "way": label(case),
    }


def headline(found: list[Row]) -> str:
    """The answer in a sentence: which way wins where, and by how much."""
    groups: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in found:
        groups[row.case.model, row.case.image, row.case.batch].append(row)
    if not groups:
        return "No case was measured: the reasons are below."
    wins: dict[str, list[list[Row]]] = defaultdict(list)
    for group in groups.values():
        wins[label(group[0].case)].append(group)
    best, won = max(wins.items(), key=lambda item: len(item[1]))
    models = list(dict.fromkeys(family(group[0].case) for group in groups.values()))
    of = models[0] if len(models) == 1 else f"{len(models)} models"
    batches = sorted({batch for _, _, batch in groups})
    at = f"batch {', '.join(map(str, batches))}" if len(batches) < 6 else f"batch {batches[0]} to {batches[-1]}"
    many = "" if len(won) == len(groups) else f" in {len(won)} of {len(groups)} comparisons"
    return f"{best} runs {of} fastest{many} ({at})" + _over_eager(won) + "."


def _over_eager(won: list[list[Row]]) -> str:
    """How much faster than the best eager in the groups that it won."""
    gains = []
    for group in won:
        eager = [row.images_per_s for row in group if row.case.variant == "eager" and row.case.launch == "stream"]
        if eager and group[0].case.variant != "eager":
            gains.append(group[0].images_per_s / max(eager))
    if not gains:
        return ""
    low, high = f"{min(gains):.2f}", f"{max(gains):.2f}"
    return f": {low if low == high else f'{low} to {high}'} times the images per second of the best eager"
