"""`bench ab`: two commits, interleaved, to verdicts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.comparing import Every, FailOn, Fails, Markdown, Minimum, minimums, names
from bench.cli.console import (
    FAILED,
    STOPPED,
    UNABLE,
    Filter,
    Input,
    Json,
    Output,
    PlanName,
    Seed,
    device_line,
    err,
    out,
    print_json,
    stop,
    tell,
)
from bench.cli.measure.run import Budget, narrowed
from bench.cli.progress import Progress
from bench.machine.environment import ROOT, environment, no_cuda
from bench.paths import fresh
from bench.plans.eligible import why_not
from bench.records.frame import Damage, load
from bench.runs.ab import LOOKS, SIDES, Duel, looks
from bench.runs.worktree import Checkout, changed, checkouts
from bench.verdicts.folders import failing
from bench.verdicts.metrics import METRICS

if TYPE_CHECKING:
    from bench.verdicts.compare import Comparison

# What a commit's author is asked about: speed, and the memory that no noise is in. Cold starts would never be settled.
USUAL = ("latency", "gpu", "throughput", "weights", "allocated", "reserved", "device")
MEASURING = ("worker", "clock", "measure", "warmup", "gate", "memory", "energy", "watch", "job", "runtime")


def ab(
    base: Annotated[str, typer.Argument(metavar="BASE_REV", help="A commit, branch or tag: what is known.")],
    head: Annotated[str, typer.Argument(metavar="HEAD_REV", help="What is in question; the same for an A/A test.")],
    plan: PlanName,
    filter: Filter = None,
    output: Output = None,
    rounds: Annotated[int, typer.Option(min=1, help="At most; it stops when every case is settled.")] = LOOKS[-1],
    budget: Budget = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in the folder of -o.")] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=f"Of {', '.join(METRICS)}; repeat.  \\[default: speed, memory]"),
    ] = None,
    minimum: Minimum = None,
    fail_on: Fails = None,
    every: Every = False,
    input: Input = "photos",
    seed: Seed = 0,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Did this commit make anything slower? Both commits' code on this machine, round by round, in turns.

    A worktree each, removed at the end. It stops when every case is settled, or at --rounds or --budget; looking
    several times is paid for, so that the error rates are those of `bench compare`.
    """
    asked = Asked(
        names(metric) if metric else list(USUAL), minimums(minimum), rounds, seed, budget or float("inf"), resume
    )
    chosen, facts = narrowed(plan, filter), environment()
    if chosen.device == "cuda" and no_cuda(facts):
        stop(f"the plan {chosen.name} needs a CUDA device: {no_cuda(facts)}", UNABLE)
    if all(why_not(case, facts, chosen.reserved) for case in chosen.cases):
        stop(f"this machine can run no case of {chosen.name}; `bench list` says why", UNABLE)
    if resume and output is None:
        raise typer.BadParameter("--resume needs the folder to go on in: -o DIR")
    folder = output or fresh(f"ab-{chosen.name}")
    source = input if input in ("photos", "noise") else str(Path(input).resolve())
    with checkouts([base, head], tell, ROOT) as (one, other):
        try:
            duel = _run(Duel(chosen, (one, other), folder, facts, source=source), asked)
        except KeyboardInterrupt:
            judged = f"bench compare {folder}/base {folder}/head"
            tell(f"\nStopped. What was measured is in {folder}, and `{judged}` judges it.")
            tell(f"To go on: bench ab {base} {head} {plan} -o {folder} --resume")
            raise typer.Exit(STOPPED) from None
        found = asked.verdicts(folder)
        found.told += _harness(one, other)
    ended = f"{duel.done} rounds of each, in turns; stopped because {duel.stopped}."
    pair = f"`{_name(one)}` against `{_name(other)}`, plan `{chosen.name}`: {ended}"
    _show(found, pair if as_markdown else ended, folder, every, as_markdown, as_json)
    raise typer.Exit(FAILED if failing(found, fail_on or [FailOn.slower]) else 0)


@dataclass(frozen=True)
class Asked:
    """What is compared, and for how long."""

    metrics: list[str]
    minimums: dict[str, float]
    rounds: int
    seed: int
    budget_s: float
    resume: bool

    def verdicts(self, folder: Path) -> Comparison:
        """What the records so far say, each look paid for."""
        from bench.verdicts.compare import compare
        from bench.verdicts.rule import RULE

        at = [look for look in looks(self.rounds) if look >= RULE.least]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Damage)
            base, head = (load(folder / side) for side in SIDES)
        return compare(base, head, self.metrics, self.minimums, RULE.over(len(at) or 1))


def _run(duel: Duel, asked: Asked) -> Duel:
    duel.rounds, duel.seed, duel.budget_s, duel.resume = asked.rounds, asked.seed, asked.budget_s, asked.resume
    duel.enough = lambda: not asked.verdicts(duel.folder).counts["AMBIGUOUS"]
    one, other = duel.sides
    title = f"{_name(one)} against {_name(other)}, {duel.plan.name} on {device_line(duel.env)}"
    with Progress(err, title) as duel.events:
        for _ in duel.run():
            pass
    return duel


def _show(found: Comparison, ended: str, folder: Path, every: bool, as_markdown: bool, as_json: bool) -> None:
    from bench.verdicts import text as compared

    if as_json:
        print_json({"summary": compared.sentences(found), "ended": ended} | found.plain())
    elif as_markdown:
        print(f"{ended}\n\n{compared.markdown(found, every)}", end="")
    else:
        compared.show(out, found, every)
        out.print(ended, markup=False)
        out.print(f"Records: {folder}", markup=False, soft_wrap=True)


def _name(checkout: Checkout) -> str:
    short = checkout.sha[:10]
    return short if checkout.rev.startswith(short[:7]) else f"{checkout.rev} ({short})"


def _harness(base: Checkout, head: Checkout) -> list[str]:
    """What is to be told where the two commits do not measure by the same code."""
    files = changed(base.sha, head.sha, [f"bench/{name}.py" for name in MEASURING], ROOT)
    if not files:
        return []
    return [f"the measuring itself differs between the two ({', '.join(files)}): a difference may be its own"]
