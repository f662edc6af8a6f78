"""`bench selftest`: how often the verdicts of `bench compare` and `bench ab` are wrong, simulated or by real runs."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from bench.cli.console import hint, spinner, tell
from bench.cli.options import Csv, Json, Markdown, ToFile
from bench.cli.progress import Progress
from bench.cli.tables import console_for, print_csv, print_json
from bench.cli.words import absolute_input, parse_percentages
from bench.errors import FAILED
from bench.files import check_writable, write_json
from bench.kinds import SELFTEST
from bench.machine.environment import ROOT, environment
from bench.plans.choose import Selection, check_plan, choose
from bench.plans.plan import Plan
from bench.report.markdown import describe_machine
from bench.verdicts.selftest import tables as error_rates
from bench.verdicts.selftest.parts import COMPARISON, PARTS, simulate_part
from bench.verdicts.selftest.terminal import print_error_rates, provenance_fields

if TYPE_CHECKING:
    from bench.verdicts.selftest.real import RealRuns

# options of the simulation and of real runs
SHARED = {"rounds", "seed", "output", "as_json", "as_csv", "as_markdown", "real", "quiet"}
REAL_ONLY = {"filter", "delay", "repeat", "budget", "input"}
QUICK = 50
RealOption = partial(Option, rich_help_panel="Real runs")


class Part(StrEnum):
    comparison = COMPARISON
    history = "history"
    processes = "processes"


def selftest(
    context: typer.Context,
    noise: Annotated[
        str, Option(metavar="PERCENT,...", help="Simulated noise: standard deviations between processes.")
    ] = "0.5,1,2,5",
    rounds: Annotated[int, Option(min=6, max=200, help="Rounds of base and of head.")] = 10,
    cases: Annotated[int, Option(min=1, max=20000, help="Cases of a sweep.")] = 450,
    metrics: Annotated[int, Option(min=1, max=20, help="Metrics compared in each case.")] = 3,
    simulations: Annotated[int, Option(min=10, help="Simulated sweeps for each shape of noise.")] = 200,
    seed: Annotated[int, Option(min=0, help="Seed of the simulation, or of the runs.")] = 0,
    source: Annotated[
        Path | None,
        Option("--from", metavar="DIR", help="Simulate also with the noise between the rounds of these records."),
    ] = None,
    only: Annotated[Part | None, Option("--only", help="One part of it.  \\[default: all]")] = None,
    quick: Annotated[
        bool, Option("--quick", help=f"At most {QUICK} sweeps a shape, and the tables of false alarms and power alone.")
    ] = False,
    output: Annotated[Path | None, ToFile(help="Write the result as JSON.")] = None,
    real: Annotated[
        str | None, RealOption(metavar="PLAN", help="Compare HEAD with itself by real runs, not by simulation.")
    ] = None,
    filter: Annotated[
        list[str] | None, RealOption("-f", "--filter", metavar="GLOB", help="Only cases that match.")
    ] = None,
    delay: Annotated[str, RealOption(metavar="PERCENT,...", help="Delays put into one side's variants.")] = "3,10",
    repeat: Annotated[int, RealOption(min=1, help="Comparisons without a delay, and with each delay.")] = 1,
    budget: Annotated[
        float | None, RealOption(min=1, metavar="SECONDS", help="Start no comparison that would end later than this.")
    ] = None,
    input: Annotated[str, RealOption(metavar="photos|noise|DIR", help="Pictures that the model is run on.")] = "photos",
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """How often verdicts of bench compare are wrong: false alarms on identical code, and slowdowns that it detects.

    By simulation; with --real PLAN by `bench ab` of HEAD with itself, with and without a given delay in its variants.
    Exit code 1 if there are more false alarms than 0.5 % per case or 5 % per sweep, or if a case failed.
    """
    _refuse_options_of_other_mode(context, bool(real))
    if output:
        check_writable(output, SELFTEST)
    if real:
        delays = [0.0, *dict.fromkeys(parse_percentages("--delay", delay))]
        plan = choose(Selection(real, only=filter or ()))
        runs = _real_runs(plan, delays=delays, rounds=rounds, repeats=repeat, seed=seed, source=absolute_input(input))
        runs.budget_s = budget or float("inf")
        runs.run_all()
        results = {"machine": describe_machine([runs.first] if runs.first else [])} | runs.as_json()
    else:
        size = {"rounds": rounds, "cases": cases, "metrics": metrics, "sweeps": simulations, "seed": seed}
        levels = parse_percentages("--noise", noise)
        with spinner("simulating"):
            results = _simulated(size, levels, source, only, quick)
    results = provenance_fields(sys.argv[1:]) | results
    if as_json:
        print_json(results)
    elif as_csv:
        print_csv(results["tests"] if real else results.get("rates", []))
    else:
        print_error_rates(console_for(as_markdown), results)
    if output:
        write_json(output, results)
        hint(f"{output}: written")
    raise typer.Exit(0 if error_rates.meets_targets(results) else FAILED)


def _simulated(
    size: dict[str, int], levels: list[float], source: Path | None, only: Part | None, quick: bool
) -> dict[str, Any]:
    """Return the results of all parts, or of one."""
    from bench.verdicts.selftest import simulated

    if quick:
        size |= {"sweeps": min(size["sweeps"], QUICK)}
    results: dict[str, Any] = {"setting": size}
    if only in (None, COMPARISON):
        results |= simulated.simulate_error_rates(simulated.Setting(**size), levels, source, quick)
    for name in PARTS:
        if only in (None, name):
            results[name] = simulate_part(name, size["seed"], quick)
    return results


def _refuse_options_of_other_mode(context: typer.Context, real: bool) -> None:
    """Refuse an option of the simulation with --real, and of real runs without it: it would have no effect."""
    names = {item.name: max(item.opts, key=len) for item in context.command.params}
    for name, option in names.items():
        source = context.get_parameter_source(str(name))
        if source and source.name == "COMMANDLINE" and name not in SHARED and (name in REAL_ONLY) != real:
            mode = "the simulation: not with --real" if real else "real runs: it goes with --real PLAN"
            raise typer.BadParameter(f"{option} is for {mode}")


def _real_runs(plan: Plan, **settings: Any) -> RealRuns:
    """Return the comparisons of HEAD with itself; end the command where this machine cannot run the plan."""
    from bench.verdicts.selftest.real import RealRuns, Trial

    env = environment()
    check_plan(plan, env)

    def watched(trial: Trial) -> Progress:
        return Progress(f"{trial}, {plan.name}", env)

    return RealRuns(plan, env, repository=ROOT, watched=watched, report=tell, **settings)
