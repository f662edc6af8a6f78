"""The runs that would decide an open or unclear recommendation, as command lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil, inf
from pathlib import Path
from statistics import median

from bench.commands import command_line
from bench.machine.environment import environment
from bench.machine.facts import Environment
from bench.plans import plan as plans
from bench.plans.settings import P99_SAMPLES
from bench.plans.words import label
from bench.records.again import command_again, command_to_score, elsewhere
from bench.records.record import Record
from bench.records.same import are_alike
from bench.records.store import FOLDER_ROUNDS
from bench.report.recommend import Choice
from bench.report.rows import Row
from bench.stats import LEAST_ROUNDS
from bench.text import plural

MAX_ROUNDS = 100  # a difference that takes more rounds to show does not matter
SHOWN = 5  # cases of a table, where a budget chooses; runs that read the energy


def useful_runs(choice: Choice, folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (what it would show, the command) of each run, the most useful first.

    A run of this machine has no case that it cannot run; one that another machine has to make says so.
    """
    env = environment()
    runs = (_to_decide(choice, folders, env), _to_score(choice, env), _retries(choice, folders))
    return list(chain(*runs, _more_rounds(choice, folders, env), _energy(choice, env)))


def _to_decide(choice: Choice, folders: Sequence[Path], env: Environment) -> Iterator[tuple[str, str]]:
    """Yield the run of the most promising cases that brings the samples, or the numbers, that they lack."""
    wanted = [case for case in choice.promising if case.samples_missing or case.run_again]
    wanted = [case for case in wanted if not elsewhere(case.row.records[-1], env)] or wanted
    if not wanted:
        return
    rows = _of_one_run([case.row for case in wanted])[:SHOWN]
    alike = [case for case in wanted if case.row in rows]
    first, asks = alike[0], any(case.samples_missing for case in alike)
    folder, record = _folder(first.row, folders), _conditions_of(rows)
    # as before, and more of it
    if record.settings.get("samples", 0) >= P99_SAMPLES and first.samples_missing and folder.is_dir():
        per_round = first.row.samples / first.row.rounds
        rounds = len(_records_in(first.row, folder, folders)) + ceil(first.samples_missing / per_round)
        why = f"{first.samples_missing:,} more samples may show the p99 of {describe_case(first.row)}"
        duration = _duration(rows[:1], folder, rounds, folders)
        yield f"{elsewhere(record, env)}{why} ({duration})", _command(rows[:1], folder, rounds)
        return
    needed = max(case.samples_missing + case.row.samples * (not case.disturbed) for case in alike)
    rounds = ceil(needed / P99_SAMPLES) if asks else 1
    seconds = sum(row.records[-1].wall_s + asks * P99_SAMPLES * row.p50_ns / 1e9 for row in rows) * rounds
    what = "their p99" if asks else "what is not on record"
    what += ", once this machine is quiet" * (choice.disturbed or any(case.disturbed for case in alike))
    command = command_again(["run"], record, [row.case for row in rows], *["--p99"] * asks, "--rounds", rounds)
    yield f"{elsewhere(record, env)}This run may show {what}, of {_and_more(rows)} ({_in_words(seconds)})", command


def _to_score(choice: Choice, env: Environment) -> Iterator[tuple[str, str]]:
    """Yield the run that scores the most promising cases where a limit on their cost is open, on what would decide."""
    labels = {case.row: any(cost.labels for cost in case.costs) for case in choice.promising}
    pictures = {
        case.row: max(counts, default=0)
        for case in choice.promising
        if (counts := [cost.pictures for cost in case.costs if cost.pictures is not None]) or labels[case.row]
    }
    wanted = list(pictures)[:SHOWN]
    while wanted:
        rows = _of_one_run([row for row in wanted if labels[row] == labels[wanted[0]]])
        yield _scoring(rows, labels[rows[0]], max(pictures[row] for row in rows), env)
        wanted = [row for row in wanted if row not in rows]


def _scoring(rows: Sequence[Row], labels: bool, pictures: int, env: Environment) -> tuple[str, str]:
    """Return what the run shows that scores rows which are alike on so many pictures (0: the usual), and the run."""
    record, cases = _conditions_of(rows), [row.case for row in rows]
    if labels and rows[0].right_by_chance:
        does, words = "measures with weights from FILE, and scores", ("--weights", "FILE", "--data", "DIR")
        command = command_again(["run"], record, cases, *words)
    else:
        does = "scores"
        command = command_to_score(record, cases, labels or rows[0].score.get("labelled", False), pictures)
    on = f"{pictures:,} pictures" if pictures else "further pictures"
    if "--data" in command:
        on = f"DIR, a folder of {f'{pictures:,} ' * bool(pictures)}labelled pictures{' or more' * bool(pictures)}"
    why = f"This run {does} {_and_more(rows)} on {on}; then ask about its results, too"
    return elsewhere(record, env) + why, command


def _retries(choice: Choice, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the run that repeats what failed or throttled, where it may give the answer."""
    failed = [case.failed for case in choice.promising if case.failed] + choice.unmeasured * (not choice.fitting)
    folder = folders[failed[0].round // FOLDER_ROUNDS] if failed else Path()
    cases = [record.case for record in failed if folders[record.round // FOLDER_ROUNDS] == folder][:SHOWN]
    if cases and folder.is_dir():
        why = f"This run repeats what failed or throttled of {len(cases)} {plural(len(cases), 'case')}"
        yield why, command_again(["run"], failed[0], cases, "-o", folder, "--retry")


def _of_one_run(rows: Sequence[Row]) -> list[Row]:
    """Return the first of some rows, and others that a run with it can measure."""
    alike: list[Row] = []
    for row in rows:
        origins = {(record.plan.get("name"), record.seed) for one in (row, *alike) for record in one.records[-1:]}
        if len(origins) == 1 and all(are_alike(row.traits, one.traits) for one in alike):
            alike.append(row)
    return alike


def _conditions_of(rows: Sequence[Row]) -> Record:
    """Return the record whose conditions serve all of some rows that are alike: those of the choices of 8 bits, too."""
    return max(rows, key=lambda row: len(row.traits)).records[-1]


def _and_more(rows: Sequence[Row]) -> str:
    return describe_case(rows[0]) + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")


def _more_rounds(choice: Choice, folders: Sequence[Path], env: Environment) -> Iterator[tuple[str, str]]:
    """Yield the rounds that tell what is best: on a disturbed machine of a new run, as more would stay beside it."""
    rounds = rounds_to_separate(choice)
    if choice.disturbed and choice.best:
        rows = _of_one_run([case.row for case in (*choice.fitting, *choice.promising)])[:SHOWN]
        rounds, record = rounds or LEAST_ROUNDS, _conditions_of(rows)
        duration = _in_words(sum(row.records[-1].wall_s for row in rows) * rounds)
        why = f"Once this machine is quiet: {elsewhere(record, env)}{rounds} rounds may tell which is best ({duration})"
        yield why, command_again(["run"], record, [row.case for row in rows], "--rounds", rounds)
    elif choice.best and choice.challenger and rounds:
        rows = [choice.best.row, choice.challenger.row]
        folder = _folder(rows[0], folders)
        if len(_of_one_run(rows)) > 1 and folder == _folder(rows[1], folders) and folder.is_dir():
            duration = _duration(rows, folder, rounds, folders)
            which = "the two" if choice.challenger is choice.runner_up else " and ".join(map(describe_case, rows))
            why = f"{elsewhere(rows[0].records[-1], env)}{rounds} rounds may tell {which} apart ({duration})"
            yield why, _command(rows, folder, rounds)


def _energy(choice: Choice, env: Environment) -> Iterator[tuple[str, str]]:
    if choice.budget.objective == "energy" and not choice.fitting:
        planned = set(plans.load_plan("energy").cases)
        without = [case.row for case in choice.undecided if case.value is None and case.row.device == "cuda"]
        rows = [row for row in without if row.case in planned][:SHOWN]
        if rows:
            command = command_line("run", "energy", *chain.from_iterable(("-f", row.case.name) for row in rows))
            yield f"{elsewhere(rows[0].records[-1], env)}This run reads the energy", command


def _folder(row: Row, folders: Sequence[Path]) -> Path:
    return folders[row.records[-1].round // FOLDER_ROUNDS]


def _records_in(row: Row, folder: Path, folders: Sequence[Path]) -> list[Record]:
    return [record for record in row.records if folders[record.round // FOLDER_ROUNDS] == folder]


def _duration(rows: Sequence[Row], folder: Path, rounds: int, folders: Sequence[Path]) -> str:
    """Return how long it takes to have so many rounds in a folder, by the duration of those it has."""
    done = [_records_in(row, folder, folders) for row in rows]
    return _in_words(sum(median(record.wall_s for record in ones) * (rounds - len(ones)) for ones in done))


def _in_words(seconds: float) -> str:
    return f"some {ceil(seconds / 60)} minutes" if seconds > 60 else f"some {ceil(seconds)} s"


def _command(rows: Sequence[Row], folder: Path, rounds: int) -> str:
    """Return the run that adds rounds of some cases to a folder."""
    cases = [row.case for row in rows]
    return command_again(["run"], _conditions_of(rows), cases, "--rounds", rounds, "-o", folder, "--resume")


def describe_case(row: Row) -> str:
    """Return a case without its model: `fused/fp16/graph, batch 32`, with what tells it from others of its model."""
    return ", ".join(filter(None, (label(row.case), f"batch {row.case.batch}", row.choices)))


def rounds_to_separate(choice: Choice) -> int | None:
    """Return the rounds in which the best would be clear of its challenger, if the ratio is as estimated.

    The interval narrows with the square root of the rounds. None if it is clear already, or would take MAX_ROUNDS.
    """
    ahead = choice.advantage
    if choice.challenger is None or choice.clear:
        return None
    if ahead is None or ahead.low is None or ahead.basis != "rounds":
        return LEAST_ROUNDS
    lead, half_width = ahead.value - 1, ahead.value - ahead.low
    needed = ceil(ahead.samples * (half_width / lead) ** 2) + 1 if lead > 0 else inf
    return max(LEAST_ROUNDS, int(needed)) if needed <= MAX_ROUNDS else None
