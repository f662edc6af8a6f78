"""Which run would tell more than the records do, as a command line: of a recommendation that is open or unclear."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from statistics import median

from bench.plans import plan as plans
from bench.plans.words import label
from bench.records.record import Record
from bench.report.recommend import OLDER, Choice, Judged, rounds_to_tell, samples_of
from bench.report.rows import Row

SHOWN = 5  # cases of a table, where a budget chooses; runs that would tell


class Runs:
    """The runs of one choice. `origin` is the folder of each record, by the record's id."""

    def __init__(self, choice: Choice, origin: dict[int, Path]) -> None:
        self.choice, self.origin = choice, origin

    def useful(self) -> list[tuple[str, str]]:
        """(what it would tell, the command), the most useful first."""
        return [*self._tail(), *self._memory(), *self._apart(), *self._energy()]

    def _tail(self) -> list[tuple[str, str]]:
        found = []
        # the first of them is the choice if it is within the limits, whatever the others are
        for one in [judged for judged in self.choice.promising if judged.more][:1]:
            folder = self.origin[id(one.row.records[-1])]
            rounds, all_ = self._rounds(one, folder), one.more + len(samples_of(one.row))
            why = f"{one.more:,} more samples may show the p99 of {named(one.row)} "
            why += (
                f"({self._minutes([one], folder, rounds)}; one process gives {all_:,}, with a plan whose latency_s and "
            )
            why += f"latency_limit_s are {ceil(1.1 * all_ * one.row.p50_ns / 1e9)})"
            found.append((why, _command([one.row], folder, rounds)))
        return found

    def _memory(self) -> list[tuple[str, str]]:
        found = []
        for one in [judged for judged in self.choice.promising if OLDER in "".join(judged.open)][:1]:
            found.append((f"A new record of {named(one.row)} has its memory", _command([one.row], None, 1)))
        return found

    def _apart(self) -> list[tuple[str, str]]:
        found = []
        best, second = self.choice.best, self.choice.runner_up
        if best and second and (rounds_ := rounds_to_tell(self.choice)):
            folders = {self.origin[id(judged.row.records[-1])] for judged in (best, second)}
            if len(folders) == 1:
                folder = folders.pop()
                why = f"{rounds_} rounds may tell the two apart ({self._minutes([best, second], folder, rounds_)})"
                found.append((why, _command([best.row, second.row], folder, rounds_)))
        return found

    def _done(self, judged: Judged, folder: Path) -> list[Record]:
        return [record for record in judged.row.records if self.origin[id(record)] == folder]

    def _rounds(self, judged: Judged, folder: Path) -> int:
        """The rounds that a folder has of a case, and those that its missing samples take."""
        each = len(samples_of(judged.row)) / judged.row.rounds
        return len(self._done(judged, folder)) + ceil(judged.more / each)

    def _minutes(self, judged: Sequence[Judged], folder: Path, rounds: int) -> str:
        """How long more rounds take, by what the earlier ones took."""
        seconds = sum(
            median(record.wall_s for record in done) * (rounds - len(done))
            for one in judged
            if (done := self._done(one, folder))
        )
        return f"some {ceil(seconds / 60)} minutes" if seconds > 60 else f"some {ceil(seconds)} s"

    def _energy(self) -> list[tuple[str, str]]:
        if self.choice.budget.objective != "energy" or self.choice.fitting:
            return []
        without = [found.row for found in self.choice.open if found.value is None and found.row.device == "cuda"]
        known = set(plans.load_plan("energy").cases)
        cases = [row.case.name for row in without if row.case in known][:SHOWN]
        if not cases:
            return []
        return [("This run reads the energy", " ".join(["bench run energy", *(f"-f {name}" for name in cases)]))]


def _command(among: Sequence[Row], folder: Path | None, rounds: int) -> str:
    """The run that adds rounds of some cases to a folder, or to a new one; a plan that is not curated, as its file."""
    record = among[0].records[-1]
    name = record.plan.get("name", "PLAN")
    words = ["bench", "run", name if name in plans.plan_names() else f"{name}.toml"]
    for row in among:
        words += ["-f", row.case.name]
    words += ["--rounds", str(rounds), "-o", str(folder), "--resume"] if folder else []
    words += ["--seed", str(record.seed)] if record.seed else []
    source = record.input.get("source", "photos")
    words += [] if source == "photos" else ["--input", source if source == "noise" else "DIR"]
    return shlex.join(words)


def named(row: Row) -> str:
    """A case without its model: `fused/fp16/graph, batch 32`."""
    return f"{label(row.case)}, batch {row.case.batch}"
