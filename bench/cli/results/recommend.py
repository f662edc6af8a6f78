"""`bench recommend`: the best case under a budget, and what it rests on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import ceil
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from bench.cli.console import FAILED, Json, out, print_json, tell
from bench.errors import StoreError
from bench.plans import plan as plans
from bench.records.record import Record
from bench.records.same import by_machine, label
from bench.records.store import Store
from bench.report.recommend import (
    GIB,
    OBJECTIVES,
    OLDER,
    Budget,
    Choice,
    Judged,
    agreement,
    choose,
    differing,
    joules,
    pareto,
    rounds_to_tell,
    samples_of,
)
from bench.report.rows import Row, digits

MIB = 1 << 20
SHOWN = 5  # cases of a table, where a budget chooses; runs that would tell
FOLDER_ROUNDS = 1 << 20  # a folder's rounds are numbered apart from another's


def recommend(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders.")],
    p99_ms: Annotated[
        float | None, typer.Option("--p99-ms", min=1e-6, metavar="MS", help="The latency's p99 is at most this.")
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(
            "--memory-gib", min=1e-6, metavar="GIB", help="Memory: of the process on the GPU, or on the host."
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option("--min-agreement", min=0, max=1, metavar="SHARE", help="Of pictures, top-1 as in float64."),
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="|".join(OBJECTIVES), help="[default: throughput]")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="GLOB", help="Only these models.")] = None,
    as_json: Json = False,
) -> None:
    """The best case under a budget, the runner-up, how sure that is; without a limit, the cases that none beats."""
    if objective and objective not in OBJECTIVES:
        raise typer.BadParameter(f"unknown objective {objective!r}; allowed: {', '.join(OBJECTIVES)}")
    memory = None if memory_gib is None else memory_gib * GIB
    budget = Budget(None if p99_ms is None else p99_ms * 1e6, memory, min_agreement, objective or "throughput")
    listed = not budget.limits and objective is None
    groups = [_Group(heading, choose(own, budget), origin) for heading, own, origin in _groups(folders, model)]
    if as_json:
        print_json([group.as_json(listed) for group in groups])
    else:
        for group in groups:
            out.print(group.heading, style="bold", markup=False)
            group.print_pareto() if listed else group.print_choice()
            out.print()
        _legend([found.row for group in groups for found in (*group.choice.fitting, *group.choice.open)])
    raise typer.Exit(0 if any(group.choice.best for group in groups) else FAILED)


def _groups(folders: Sequence[Path], model: str | None) -> list[tuple[str, list[Record], dict[int, Path]]]:
    """A heading for each model and image size on each machine, its records, and the folder of each by its id.

    Rounds of one folder are paired with each other, never with another folder's.
    """
    records: list[Record] = []
    origin: dict[int, Path] = {}
    for place, folder in enumerate(dict.fromkeys(folders)):
        store = Store(folder)
        own = [replace(record, round=record.round + place * FOLDER_ROUNDS) for record in store.load()]
        records += own
        origin |= {id(record): folder for record in own}
        for line in store.damage:
            tell(f"bench: {line}")
    machines = by_machine(records)
    if len(machines) > 1:
        tell(f"{len(machines)} machines, or sets of software, are in these records: each has an answer of its own.")
    found: dict[tuple[str, str, int], list[Record]] = {}
    for machine, own in machines.items():
        for record in own:
            case = record.case
            if not case.largest and (model is None or fnmatchcase(case.model, model)):
                found.setdefault((label(machine, machines), case.model, case.image), []).append(record)
    if not found:
        raise StoreError(f"no record in {', '.join(map(str, folders))} is of a model {model or 'with a batch'}")
    return [
        (f"{name}{'' if image == 224 else f' at {image} pixels'} on {machine}", own, origin)
        for (machine, name, image), own in sorted(
            found.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0])
        )
    ]


@dataclass
class _Group:
    """What to choose from: one model on one machine."""

    heading: str
    choice: Choice
    origin: dict[int, Path]  # id of a record -> its folder

    # ---- text

    def print_choice(self) -> None:
        choice, aim = self.choice, OBJECTIVES[self.choice.budget.objective]
        best = choice.best
        if best:
            said = f"Choose {_name(best.row)}: {digits(best.value or 0)} {aim.unit}."
            out.print(said, style="bold", markup=False)
            out.print(f"It rests on: {_evidence(best.row)}.", markup=False)
            out.print(self._runner_up(), markup=False)
        else:
            out.print(self._nothing(), style="bold", markup=False)
        self._tell_open()
        for reason, count in choice.excluded.most_common():
            out.print(f"Left out: {count} {_cases(count)}, {reason}.", style="dim", markup=False)
        for why, command in self.runs():
            out.print(f"{why}:", markup=False)
            out.print(f"  {command}", markup=False, soft_wrap=True)
        if shown := [*choice.fitting[:SHOWN], *choice.promising[: SHOWN - 1]]:
            out.print()
            out.print(_table(shown))

    def print_pareto(self) -> None:
        known = [*self.choice.fitting, *self.choice.open]
        front = pareto(known)
        out.print(
            f"No limit is set: of {len(known)} {_cases(len(known))}, {len(front)} that no other beats in throughput, "
            "latency and memory (and energy) at once.",
            markup=False,
        )
        out.print()
        out.print(_table(front))

    def _nothing(self) -> str:
        if self.choice.open:
            return "These records cannot answer: no case is shown to be within the budget."
        if self.choice.excluded:
            return "Nothing here is within the budget."
        return "Nothing here was measured."

    def _runner_up(self) -> str:
        choice = self.choice
        best, second = choice.best, choice.runner_up
        if not best or not second:
            return "No other case is shown to be within the budget."
        aim = OBJECTIVES[choice.budget.objective]
        said = f"Runner-up: {_name(second.row)}, {digits(second.value or 0)} {aim.unit}; they differ in "
        said += ", ".join(differing(best.row, second.row)) + ". "
        ahead = choice.ahead
        if ahead is None:
            return said + "No round has both, so nothing tells their difference from the machine's drift."
        if ahead.low is None or ahead.high is None:
            gain = abs(aim.gain(best.value or 0, second.value or 1) - 1)
            return said + f"The difference of {gain:.1%} rests on one process each: it may be noise."
        spread = f"{ahead.value:.3f} times better, {ahead.low:.3f} to {ahead.high:.3f} over {ahead.rounds} rounds"
        return said + f"The best is {spread}: {'clear' if choice.clear else 'within the noise'}."

    def _tell_open(self) -> None:
        """The cases that would be better, or would do, if they are within the limits."""
        aim, best = OBJECTIVES[self.choice.budget.objective], self.choice.best
        promising = self.choice.promising
        for found in promising[:SHOWN]:
            gain = f", {aim.gain(found.value or 0, best.value or 1):.2f} times the choice" if best else ""
            value = f"{digits(found.value or 0)} {aim.unit}{gain}"
            out.print(f"Open: {_name(found.row)}, {value}: {'; '.join(found.open)}.", markup=False)
        if (more := len(promising) - SHOWN) > 0:
            out.print(f"Open too: {more} more {_cases(more)}.", markup=False)
        without = [found for found in self.choice.open if found.value is None]
        if without:
            out.print(f"Open: {len(without)} {_cases(len(without))}: {without[0].open[-1]}.", markup=False)

    # ---- which run would tell

    def runs(self) -> list[tuple[str, str]]:
        """(what it would tell, the command), the most useful first."""
        found = []
        # the first of them is the choice if it is within the limits, whatever the others are
        for one in [judged for judged in self.choice.promising if judged.more][:1]:
            folder = self.origin[id(one.row.records[-1])]
            rounds, all_ = self._rounds(one, folder), one.more + len(samples_of(one.row))
            why = f"{one.more:,} more samples may show the p99 of {_name(one.row)} "
            why += (
                f"({self._minutes([one], folder, rounds)}; one process gives {all_:,}, with a plan whose latency_s and "
            )
            why += f"latency_limit_s are {ceil(1.1 * all_ * one.row.p50_ns / 1e9)})"
            found.append((why, _command([one.row], folder, rounds)))
        for one in [judged for judged in self.choice.promising if OLDER in "".join(judged.open)][:1]:
            found.append((f"A new record of {_name(one.row)} has its memory", _command([one.row], None, 1)))
        best, second = self.choice.best, self.choice.runner_up
        if best and second and (rounds_ := rounds_to_tell(self.choice)):
            folders = {self.origin[id(judged.row.records[-1])] for judged in (best, second)}
            if len(folders) == 1:
                folder = folders.pop()
                why = f"{rounds_} rounds may tell the two apart ({self._minutes([best, second], folder, rounds_)})"
                found.append((why, _command([best.row, second.row], folder, rounds_)))
        if self.choice.budget.objective == "energy" and not self.choice.fitting:
            found += self._energy_run()
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

    def _energy_run(self) -> list[tuple[str, str]]:
        without = [found.row for found in self.choice.open if found.value is None and found.row.device == "cuda"]
        known = set(plans.load("energy").cases)
        cases = [row.case.name for row in without if row.case in known][:SHOWN]
        if not cases:
            return []
        return [("This run reads the energy", " ".join(["bench run energy", *(f"-f {name}" for name in cases)]))]

    # ---- JSON

    def as_json(self, listed: bool) -> dict[str, Any]:
        choice = self.choice
        told: dict[str, Any] = {"group": self.heading, "objective": choice.budget.objective}
        if listed:
            return told | {"pareto": [_plain(found) for found in pareto([*choice.fitting, *choice.open])]}
        ahead = choice.ahead
        return told | {
            "best": choice.best and _plain(choice.best),
            "runner_up": choice.runner_up and _plain(choice.runner_up),
            "ahead": ahead and {"ratio": ahead.value, "interval": [ahead.low, ahead.high], "rounds": ahead.rounds},
            "clear": choice.clear,
            "fitting": [found.row.case.name for found in choice.fitting],
            "open": [_plain(found) for found in choice.open],
            "excluded": dict(choice.excluded),
            "runs": [{"why": why, "command": command} for why, command in self.runs()],
        }


def _plain(found: Judged) -> dict[str, Any]:
    row, p99 = found.row, found.row.p99
    return {
        "case": row.case.name,
        "value": found.value,
        "rounds": row.rounds,
        "images_per_s": row.images_per_s,
        "p50_ns": row.p50_ns,
        "p99_ns": p99 and p99.value,
        "p99_upper_ns": p99 and p99.upper,
        "samples": len(samples_of(row)),
        "memory_bytes": row.memory,
        "joules_per_image": row.middle(joules),
        "top1": row.worst("top1"),
        "open": found.open,
    }


def _command(among: Sequence[Row], folder: Path | None, rounds: int) -> str:
    """The run that adds rounds of some cases to a folder, or to a new one; a plan that is not curated, as its file."""
    record = among[0].records[-1]
    name = record.plan.get("name", "PLAN")
    words = ["bench", "run", name if name in plans.curated() else f"{name}.toml"]
    for row in among:
        words += ["-f", row.case.name]
    words += ["--rounds", str(rounds), "-o", str(folder), "--resume"] if folder else []
    words += ["--seed", str(record.seed)] if record.seed else []
    source = record.input.get("source", "photos")
    words += [] if source == "photos" else ["--input", source if source == "noise" else "DIR"]
    return shlex.join(words)


def _name(row: Row) -> str:
    case = row.case
    way = "/".join((case.variant, case.precision, *(("graph",) if case.launch == "graph" else ())))
    return f"{way}, batch {case.batch}"


def _cases(count: int) -> str:
    return "case" if count == 1 else "cases"


def _evidence(row: Row) -> str:
    """What is known of a case beside the objective, and how well."""
    count, p99 = len(samples_of(row)), row.p99
    tail = f"p99 {digits(p99.value / 1e6)} ms, with 99 % confidence at most {digits(p99.upper / 1e6)}" if p99 else ""
    said = [f"{row.rounds} {'process' if row.rounds == 1 else 'processes'}", tail or "p99 not known"]
    said[1] += f" ({count:,} samples)"
    if row.memory is not None:
        where = "of this process on the device" if row.device == "cuda" else "resident on the host at most"
        said.append(f"{row.memory / MIB:,.0f} MiB {where}")
    if seen := agreement(row):
        share, pictures, least = seen
        said.append(f"top-1 agreement {share:.3g} on {pictures} pictures (at least {least:.2f}, with 95 % confidence)")
    return "; ".join(said)


def _table(shown: Sequence[Judged]) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    energy = any(found.row.middle(joules) is not None for found in shown)
    titles = ["variant", "prec", "batch", "images/s", "p50 ms", "p99 ≤ ms", "MiB", "top-1", *(["J/image"] * energy)]
    for place, title in enumerate([*titles, ""]):
        grid.add_column(title, justify="left" if place < 2 else "right", no_wrap=True)
    for found in shown:
        row, case = found.row, found.row.case
        told = [row.images_per_s, row.p50_ns / 1e6, row.p99.upper / 1e6 if row.p99 else None]
        memory, top1, joule = row.memory, row.worst("top1"), row.middle(joules)
        cells = [case.variant + ("+graph" if case.launch == "graph" else ""), case.precision, str(case.batch)]
        cells += ["-" if value is None else digits(value) for value in told]
        cells += ["-" if memory is None else f"{memory / MIB:.0f}", "-" if top1 is None else f"{top1:.3g}"]
        cells += ["-" if joule is None else f"{joule:.4f}"] * energy
        grid.add_row(*cells, "open" if found.open else "")
    return grid


def _legend(shown: Sequence[Row]) -> None:
    on_gpu = any(row.device == "cuda" for row in shown)
    memory = "of the process on the device (NVML)" if on_gpu else "the peak resident set of the process"
    out.print(
        f"p99 ≤: what the p99 is at most, with 99 % confidence, whatever the distribution (662 samples or more); MiB: "
        f"{memory}, the most of the rounds; top-1: least agreement with float64; a ratio's interval is 95 %, over all "
        "comparisons with the best.",
        style="dim",
        markup=False,
    )
