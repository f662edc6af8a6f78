"""`bench selftest`: how often the verdicts of `bench compare` and `bench ab` are wrong, simulated or by real runs."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.cli.console import FAILED, STOPPED, UNABLE, USAGE, Json, device_line, err, out, print_json, stop, tell
from bench.cli.measure.run import narrowed
from bench.cli.progress import Progress
from bench.files import write_json
from bench.machine.environment import ROOT, environment, no_cuda
from bench.machine.provenance import this_commit
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.frame import load
from bench.verdicts.selftest import tables as error_rates

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
    from bench.verdicts.selftest.simulated import Setting

    _one_way(context, bool(real))
    if real:
        asked = {"rounds": rounds, "repeats": repeat, "seed": seed, "budget_s": budget or float("inf")}
        delays = [0.0, *dict.fromkeys(_levels("--delay", delay))]
        found = _by_real_runs(narrowed(real, filter), dict(asked, source=input, delays=delays))
    else:
        setting = Setting(rounds, cases, metrics, simulations, seed)
        with err.status("simulating", spinner="dots"):
            found = _simulated(setting, _levels("--noise", noise), source, quick)
    print_json(found) if as_json else _show(found)
    if output:
        _write(found, output)
    raise typer.Exit(0 if error_rates.met(found) else FAILED)


def _one_way(context: typer.Context, real: bool) -> None:
    """Refuses an option of the other way of testing, which would be without effect."""
    names = {item.name: max(item.opts, key=len) for item in context.command.params}
    for name, option in names.items():
        source = context.get_parameter_source(str(name))
        if source and source.name == "COMMANDLINE" and name not in SHARED and (name in REAL_ONLY) != real:
            told = (
                "is for real runs: it goes with --real PLAN" if not real else "is for the simulation: not with --real"
            )
            raise typer.BadParameter(f"{option} {told}")


def _by_real_runs(plan: Plan, asked: dict[str, Any]) -> dict[str, Any]:
    """HEAD against HEAD, with and without delays."""
    from bench.report.markdown import machine
    from bench.verdicts.selftest.real import RealRuns, Trial

    facts = environment()
    if plan.device == "cuda" and no_cuda(facts):
        stop(f"the plan {plan.name} needs a CUDA device: {no_cuda(facts)}", UNABLE)
    if all(why_not(case, facts, plan.reserved) for case in plan.cases):
        stop(f"this machine can run no case of {plan.name}; `bench list` says why", UNABLE)
    if asked["source"] not in ("photos", "noise"):
        asked["source"] = str(Path(asked["source"]).resolve())

    def watched(trial: Trial) -> Progress:
        return Progress(err, f"{trial}, {plan.name} on {device_line(facts)}")

    runs = RealRuns(plan, facts, repository=ROOT, watched=watched, tell=tell, **asked)
    try:
        for _ in runs.run():
            pass
    except KeyboardInterrupt:
        if not runs.tests:
            stop("stopped before one comparison was over", STOPPED)
        runs.cut = True
    if not runs.tests and runs.cut:
        stop("the budget was spent before one comparison was over: fewer cases (-f), or a larger --budget", FAILED)
    if not runs.tests or not runs.first:
        stop(f"nothing of {plan.name} was compared: {runs.failed[0] if runs.failed else 'no case has a speed'}", FAILED)
    return _made() | {"machine": machine([runs.first])} | runs.plain()


def _write(found: dict[str, Any], output: Path) -> None:
    write_json(output, found)
    tell(f"{output}: written")


def _show(found: dict[str, Any]) -> None:
    """Within 80 columns; the answer first."""
    out.print(error_rates.verdict(found), markup=False, style="bold")
    out.print(error_rates.made(found), markup=False, style="dim")
    for block in error_rates.blocks(found):
        grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for place, title in enumerate(block.titles):
            grid.add_column(title, justify="left" if place < block.words else "right", no_wrap=True)
        for row in block.rows:
            grid.add_row(*row)
        out.print(f"\n{block.caption}:", markup=False)
        out.print(grid)
        for note in block.notes:
            out.print(f"  {note}", markup=False, style="dim")


def _levels(option: str, text: str) -> list[float]:
    """Percentages as shares."""
    try:
        found = [float(word) / 100 for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} wants percentages with commas, as in 0.5,1,2; not {text!r}") from None
    if any(not 0 < level < 1 for level in found):
        raise typer.BadParameter(f"{option} {text}: each is more than 0 and less than 100 %")
    return found


def _simulated(setting: Any, levels: list[float], source: Path | None, quick: bool) -> dict[str, Any]:
    from bench.verdicts.selftest import simulated as simulation

    rates = []
    spread: dict[str, float] = {}
    if source:
        pool = simulation.residuals(load(source))
        if not pool:
            stop(
                f"no case of {source} has {simulation.SERIES} rounds to tell its noise from: bench run --rounds", USAGE
            )
        spread = simulation.spread(pool)
        (row,) = simulation.rates(simulation.measured(pool), False, setting, [1.0])
        rates.append({"shape": "measured", "design": "apart"} | row)
    rates += simulation.table(setting, levels)
    return _made() | {
        "setting": asdict(setting),
        "noise": levels,
        "effects": list(simulation.EFFECTS),
        "shapes": {name: meaning for name, (meaning, _) in simulation.SHAPES.items()},
        "spread": spread,
        "rates": rates,
        "fewer_rounds": [] if quick else simulation.fewer_rounds(setting),
        "rules": [] if quick else simulation.rules(setting),
    }


def _made() -> dict[str, Any]:
    """Provenance."""
    commit = this_commit(12)
    command, date = shlex.join(["bench", *sys.argv[1:]]), datetime.now(UTC).date().isoformat()
    return {"schema": error_rates.SCHEMA, "made": {"command": command, "date": date, "commit": commit}}
