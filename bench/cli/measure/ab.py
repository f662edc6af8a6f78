"""`bench ab`: two commits, interleaved, to verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.comparing import Every, FailOn, Fails, Markdown, Minimum, minimums, names
from bench.cli.console import (
    FAILED,
    STOPPED,
    UNABLE,
    Budget,
    Filter,
    Input,
    Json,
    Output,
    PlanName,
    Seed,
    device_line,
    err,
    input_of,
    out,
    print_json,
    stop,
    tell,
)
from bench.cli.progress import Progress
from bench.machine.environment import ROOT, environment
from bench.paths import fresh
from bench.plans.choose import narrowed, unable
from bench.runs.ab import LOOKS, Duel
from bench.runs.measuring import harness_changes
from bench.runs.worktree import checkouts
from bench.verdicts.folders import failing
from bench.verdicts.metrics import METRICS

if TYPE_CHECKING:
    from bench.verdicts.compare import Comparison


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
    from bench.verdicts.duel import USUAL, Question

    question = Question(names(metric) if metric else USUAL, minimums(minimum))
    chosen, facts = narrowed(plan, filter), environment()
    if reason := unable(chosen, facts):
        stop(reason, UNABLE)
    if resume and output is None:
        raise typer.BadParameter("--resume needs the folder to go on in: -o DIR")
    folder = output or fresh(f"ab-{chosen.name}")
    with checkouts([base, head], tell, ROOT) as (one, other):
        duel = Duel(chosen, (one, other), folder, facts, rounds=rounds, seed=seed, source=input_of(input))
        duel.resume, duel.budget_s = resume, budget or float("inf")
        duel.enough = lambda: question.settled(duel)
        try:
            _run(duel)
        except KeyboardInterrupt:
            judged = f"bench compare {folder}/base {folder}/head"
            tell(f"\nStopped. What was measured is in {folder}, and `{judged}` judges it.")
            tell(f"To go on: bench ab {base} {head} {plan} -o {folder} --resume")
            raise typer.Exit(STOPPED) from None
        verdicts = question.verdicts(duel)
        verdicts.harmless += harness_changes(one, other, ROOT)
    _show(verdicts, duel, every, as_markdown, as_json)
    raise typer.Exit(FAILED if failing(verdicts, fail_on or [FailOn.slower]) else 0)


def _run(duel: Duel) -> None:
    one, other = duel.sides
    with Progress(err, f"{one} against {other}, {duel.plan.name} on {device_line(duel.env)}") as duel.events:
        for _ in duel.run():
            pass


def _show(verdicts: Comparison, duel: Duel, every: bool, as_markdown: bool, as_json: bool) -> None:
    from bench.verdicts import text

    ended = f"{duel.done} rounds of each, in turns; stopped because {duel.stopped}."
    if as_json:
        print_json({"summary": text.summary(verdicts), "ended": ended} | verdicts.as_json())
    elif as_markdown:
        one, other = duel.sides
        pair = f"`{one}` against `{other}`, plan `{duel.plan.name}`: {ended}"
        print(f"{pair}\n\n{text.comparison_markdown(verdicts, every)}", end="")
    else:
        text.print_comparison(out, verdicts, every)
        out.print(ended, markup=False)
        out.print(f"Records: {duel.folder}", markup=False, soft_wrap=True)
