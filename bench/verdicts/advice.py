"""The commands to run after a comparison: where the time went, and the rounds that would decide."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bench.commands import command_line
from bench.errors import PlanError
from bench.machine.facts import Environment
from bench.machine.provenance import unreadable
from bench.plans.case import Case
from bench.plans.plan import load_plan, plan_names
from bench.records.again import command_again, command_for_case, first_record
from bench.verdicts.compare import AMBIGUOUS, SLOWER, Comparison
from bench.verdicts.metrics import PROCESS

MAX_ADVISED = 60  # rounds a side; more are not advised
ALIKE = "To compare processes that were started alike: measure the forked side anew, with RESNET_BENCH_START=fresh"
SHA = 12  # digits of a commit that a command has
ADVISED = 8  # cases that an advised run names; those that changed most


def advice(comparison: Comparison, plan: str, base: str, head: str) -> list[str]:
    """Return the commands to run next; `plan` is the one of all records in the folder `head`, if it is one."""
    commands = []
    if worst := comparison.of(SLOWER)[:1]:
        commands.append(f"Where the time goes: {_layers(worst[0].case, Path(head))}")
    ambiguous = comparison.of(AMBIGUOUS)
    if comparison.apart and (any(one.past for one in comparison.moved) or not comparison.judged):
        commands += _in_turns(comparison, base, head)
    if any(verdict.kind == PROCESS for verdict in ambiguous):
        commands.append(ALIKE)
    wanted = [verdict for verdict in ambiguous if verdict.wanted and verdict.wanted <= MAX_ADVISED]
    wanted.sort(key=lambda verdict: -abs(verdict.worse))
    cases = list(dict.fromkeys(verdict.case for verdict in wanted))[:ADVISED]
    wanted = [verdict for verdict in wanted if verdict.case in cases]
    which = f"{len(wanted)} of {comparison.counts[AMBIGUOUS]} AMBIGUOUS"
    for place, (side, folder) in enumerate((("head", head), ("base", base))):
        record = first_record(Path(folder), cases)
        if plan and record and Path(folder).is_dir():
            more: tuple[object, ...] = ("--rounds", max(verdict.wanted or 0 for verdict in wanted))
            if not comparison.disturbed:  # else what was disturbed would stay beside the new rounds
                more = ("-o", folder, "--resume", *more)
            command = command_again(["run"], record, [Case.parse(case) for case in cases], *more)
            what = "when the machine is quiet, new runs of both" if comparison.disturbed else "more rounds of both"
            start = f"To decide {which}, {what}, of {side}" if not place else f"And of {side}"
            commands.append(f"{start} at its commit: {command}")
    return commands


def _in_turns(comparison: Comparison, base: str, head: str) -> list[str]:
    """Return the command that measures both commits in turns, where the records have them."""
    cases = list(dict.fromkeys(verdict.case for verdict in comparison.verdicts))
    records = [first_record(Path(folder), cases) for folder in (base, head)]
    shas = [commit for record in records if record and (commit := _clean_sha(record.environment))]
    if len({*shas}) < 2 or records[1] is None:
        return []
    plan, measured = records[1].plan.get("name", ""), [Case.parse(case) for case in cases[:ADVISED]]
    with suppress(PlanError):  # all of a plan needs none of its cases' names
        if len(cases) > ADVISED and plan in plan_names():
            measured = list(load_plan(plan).cases)
    command = command_again(["ab", *(sha[:SHA] for sha in shas)], records[1], measured)
    return [f"To tell the machine from the code, both commits in turns: {command}"]


def _clean_sha(environment: Environment) -> str:
    """Return the commit of a record's code; empty where it is not on record, or the code was another."""
    git = environment.get("git")
    if git is None or unreadable(git) or git.get("dirty", True):
        return ""
    sha = git.get("sha")
    return sha if sha and not unreadable(sha) else ""


def _layers(case: str, head: Path) -> str:
    """Return the command that times the layers of a case in the conditions of its records in a folder."""
    record = first_record(head, [case])
    return command_for_case("layers", record) if record else command_line("layers", case)
