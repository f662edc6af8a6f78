"""`bench selftest`: how often the verdicts of `bench compare` and `bench ab` are wrong, simulated or by real runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.console import FAILED, UNABLE, Json, device_line, err, input_of, out, print_json, shares, stop, tell
from bench.cli.progress import Progress
from bench.files import write_json
from bench.machine.environment import ROOT, environment
from bench.plans.choose import narrowed, unable
from bench.plans.plan import Plan
from bench.report.markdown import machine
from bench.verdicts.selftest import tables as error_rates
from bench.verdicts.selftest.terminal import print_error_rates, provenance_fields

if TYPE_CHECKING:
    from bench.verdicts.selftest.real import RealRuns

SHARED = {"rounds", "seed", "output", "as_json", "real"}  # what both ways of testing take
REAL_ONLY = {"filter", "delay", "repeat", "budget", "input"}
OF_REAL = "Real runs"


def selftest(
    context: typer.Context,
    noise: Annotated[
        str, typer.Option("--noise", metavar="PERCENT,...", help="Standard deviations between processes.")
    ] = "0.5,1,2,5",
    rounds: Annotated[int, typer.Option("--rounds", min=6, max=200, help="A side.")] = 10,
    cases: Annotated[int, typer.Option("--cases", min=1, max=20000, help="Of a sweep.")] = 450,
    metrics: Annotated[int, typer.Option("--metrics", min=1, max=20, help="Compared in each case.")] = 3,
    simulations: Annotated[int, typer.Option("--simulations", min=10, help="Sweeps, of each shape of noise.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="The noise between the rounds of these records, too.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="No tables of fewer rounds and of other rules.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write JSON there.")] = None,
    real: Annotated[
        str | None,
        typer.Option(metavar="PLAN", help="In place of the simulation: HEAD against HEAD.", rich_help_panel=OF_REAL),
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option("-f", "--filter", metavar="GLOB", help="Only the cases that match.", rich_help_panel=OF_REAL),
    ] = None,
    delay: Annotated[
        str, typer.Option(metavar="PERCENT,...", help="Put into HEAD's variants.", rich_help_panel=OF_REAL)
    ] = "3,10",
    repeat: Annotated[
        int, typer.Option(min=1, help="Comparisons without delay, and with each.", rich_help_panel=OF_REAL)
    ] = 1,
    budget: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="No comparison that would end later.", rich_help_panel=OF_REAL),
    ] = None,
    input: Annotated[
        str, typer.Option(metavar="photos|noise|DIR", help="What the model looks at.", rich_help_panel=OF_REAL)
    ] = "photos",
    as_json: Json = False,
) -> None:
    """False alarms on identical code, and what of a slowdown is found: bench compare's rule on simulated rounds.

    With --real PLAN by `bench ab` of HEAD with itself, as it is and with a delay of known size in its variants.
    Exit code 1 if there are more false alarms than 0.5 % per case or 5 % per sweep, or if a case failed.
    """
    from bench.verdicts.selftest import simulated

    _one_way(context, bool(real))
    if real:
        delays = [0.0, *dict.fromkeys(shares("--delay", delay))]
        plan = narrowed(real, filter)
        runs = _real_runs(plan, delays=delays, rounds=rounds, repeats=repeat, seed=seed, source=input_of(input))
        runs.budget_s = budget or float("inf")
        runs.run_all()
        results = {"machine": machine([runs.first] if runs.first else [])} | runs.as_json()
    else:
        setting = simulated.Setting(rounds, cases, metrics, simulations, seed)
        with err.status("simulating", spinner="dots"):
            levels = shares("--noise", noise)
            results = simulated.simulate_error_rates(setting, levels, source, quick)
    results = provenance_fields(sys.argv[1:]) | results
    print_json(results) if as_json else print_error_rates(out, results)
    if output:
        write_json(output, results)
        tell(f"{output}: written")
    raise typer.Exit(0 if error_rates.meets_targets(results) else FAILED)


def _one_way(context: typer.Context, real: bool) -> None:
    """Refuses an option of the other way of testing, which would be without effect."""
    names = {item.name: max(item.opts, key=len) for item in context.command.params}
    for name, option in names.items():
        source = context.get_parameter_source(str(name))
        if source and source.name == "COMMANDLINE" and name not in SHARED and (name in REAL_ONLY) != real:
            way = "the simulation: not with --real" if real else "real runs: it goes with --real PLAN"
            raise typer.BadParameter(f"{option} is for {way}")


def _real_runs(plan: Plan, **asked: Any) -> RealRuns:
    """HEAD against HEAD, with and without delays."""
    from bench.verdicts.selftest.real import RealRuns, Trial

    facts = environment()
    if reason := unable(plan, facts):
        stop(reason, UNABLE)

    def watched(trial: Trial) -> Progress:
        return Progress(err, f"{trial}, {plan.name} on {device_line(facts)}")

    return RealRuns(plan, facts, repository=ROOT, watched=watched, report=tell, **asked)
