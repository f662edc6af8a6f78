"""The runs that would decide an open or unclear recommendation, as command lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil
from pathlib import Path
from statistics import median

from bench.commands import command_line
from bench.plans import plan as plans
from bench.plans.words import label
from bench.records.again import command_again
from bench.records.record import Record
from bench.records.store import FOLDER_ROUNDS
from bench.report.recommend import Choice, rounds_to_separate
from bench.report.rows import Row

SHOWN = 5  # cases of a table, where a budget chooses; runs that read the energy


def useful_runs(choice: Choice, folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (what it would show, the command) of each run, the most useful first."""
    return [*_more_samples(choice, folders), *_more_rounds(choice, folders), *_energy(choice)]


def _more_samples(choice: Choice, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    # the first of them is the choice if it is within the limits, whatever the others are
    for case in [case for case in choice.promising if case.samples_missing][:1]:
        row, folder = case.row, _folder(case.row, folders)
        per_round = len(row.latency_samples) / row.rounds
        rounds = len(_records_in(row, folder, folders)) + ceil(case.samples_missing / per_round)
        needed = case.samples_missing + len(row.latency_samples)
        yield (
            f"{case.samples_missing:,} more samples may show the p99 of {describe_case(row)} "
            f"({_duration([row], folder, rounds, folders)}; one process gives {needed:,}, with a plan whose latency_s "
            f"and latency_limit_s are {ceil(1.1 * needed * row.p50_ns / 1e9)})",
            _command([row], folder, rounds),
        )


def _more_rounds(choice: Choice, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    rounds = rounds_to_separate(choice)
    if choice.best and choice.runner_up and rounds:
        rows = [choice.best.row, choice.runner_up.row]
        folder = _folder(rows[0], folders)
        if folder == _folder(rows[1], folders):
            duration = _duration(rows, folder, rounds, folders)
            yield f"{rounds} rounds may tell the two apart ({duration})", _command(rows, folder, rounds)


def _energy(choice: Choice) -> Iterator[tuple[str, str]]:
    if choice.budget.objective == "energy" and not choice.fitting:
        planned = set(plans.load_plan("energy").cases)
        without = [case.row for case in choice.undecided if case.value is None and case.row.device == "cuda"]
        names = [row.case.name for row in without if row.case in planned][:SHOWN]
        if names:
            yield (
                "This run reads the energy",
                command_line("run", "energy", *chain.from_iterable(("-f", name) for name in names)),
            )


def _folder(row: Row, folders: Sequence[Path]) -> Path:
    return folders[row.records[-1].round // FOLDER_ROUNDS]


def _records_in(row: Row, folder: Path, folders: Sequence[Path]) -> list[Record]:
    return [record for record in row.records if folders[record.round // FOLDER_ROUNDS] == folder]


def _duration(rows: Sequence[Row], folder: Path, rounds: int, folders: Sequence[Path]) -> str:
    """Return how long it takes to have so many rounds in a folder, by the duration of those it has."""
    seconds = 0.0
    for row in rows:
        done = _records_in(row, folder, folders)
        seconds += median(record.wall_s for record in done) * (rounds - len(done))
    return f"some {ceil(seconds / 60)} minutes" if seconds > 60 else f"some {ceil(seconds)} s"


def _command(rows: Sequence[Row], folder: Path, rounds: int) -> str:
    """Return the run that adds rounds of some cases to a folder."""
    cases = [row.case for row in rows]
    return command_again(["run"], rows[0].records[-1], cases, "--rounds", rounds, "-o", folder, "--resume")


def describe_case(row: Row) -> str:
    """Return a case without its model: `fused/fp16/graph, batch 32`."""
    return f"{label(row.case)}, batch {row.case.batch}"
