"""A run that is to be compared: the rounds that a verdict takes, the baseline checked before it, the verdicts after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bench.cli.complete import complete_results
from bench.cli.console import tell
from bench.cli.tables import out, print_text
from bench.errors import BenchError
from bench.plans.plan import Plan
from bench.records.places import Run
from bench.records.same import COMPARE, SweepConditions, differences
from bench.runs.ab import LOOKS
from bench.runs.sweep import Sweep
from bench.verdicts.folders import compare_sides, gate_code, read_sides
from bench.verdicts.metrics import METRICS

Compare = Annotated[
    Path | None,
    Option(
        "--compare",
        metavar="BASE",
        help="Then the verdicts against a baseline, as of `bench compare BASE`; its exit code where all was measured.",
        autocompletion=complete_results,
    ),
]


def rounds_for_verdict(plan: Plan, rounds: int | None) -> int:
    """Return the rounds of a run whose results are to be compared: those of `rounds`, else enough for a verdict."""
    least = LOOKS[0]
    if rounds is None and plan.rounds < least:
        tell(f"{least} rounds, as a verdict takes so many; --rounds {plan.rounds} is the plan's.")
    return rounds or max(plan.rounds, least)


def check_baseline(base: Path, sweep: Sweep) -> None:
    """Raise BenchError where what a sweep is about to measure could not be compared with a baseline."""
    run, now = Run(base), SweepConditions.of(sweep.plan, sweep.env, sweep.seed, sweep.source)
    if not run.statuses.keys() & {case.name for case in sweep.plan.cases}:
        raise BenchError(f"{base} has no case of {sweep.plan.name}: a baseline is a run of the same cases")
    if run.first and (unlike := differences([run.first], now, COMPARE)):
        raise BenchError(f"{base} was not measured as this would be ({'; '.join(unlike)}): measure both alike")


def print_verdicts(base: Path, sweep: Sweep, as_markdown: bool) -> int:
    """Print the verdicts on the sweep's cases against the baseline; return the exit code of `bench compare`."""
    from bench.verdicts.shown import text
    from bench.verdicts.shown.comment import code, comment

    folders = base, sweep.store.folder
    there = {name for folder in folders for name in Run(folder).statuses}  # not what the budget left out
    sides = read_sides(*folders, [case.name for case in sweep.plan.cases if case.name in there])
    comparison = compare_sides(folders, sides, METRICS, {}, ())
    if as_markdown:
        print_text(f"\n{comment(comparison, about=f'Against {code(str(base))}.')}")
    else:
        out.print(f"\nAgainst {base}:", markup=False, soft_wrap=True)
        text.print_comparison(out, comparison)
    return gate_code(comparison, ["slower"])
