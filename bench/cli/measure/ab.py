"""`bench ab`: two commits, or a commit and the working tree, measured in turns, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from bench.cli.again import again
from bench.cli.asking import BUILDING, NAMING, SETTINGS_OPTIONS, DryRun, asks
from bench.cli.comparing import (
    Every,
    FailOn,
    Fails,
    Minimum,
    Picture,
    as_json_object,
    check_picture,
    draw,
    parse_minimums,
)
from bench.cli.console import tell
from bench.cli.measure.dry import estimate_duel, print_dry_duel
from bench.cli.options import Budget, Csv, Input, Json, Markdown, Output, Seed
from bench.cli.progress import Progress
from bench.cli.tables import out, print_csv, print_json, print_text
from bench.cli.words import absolute_input
from bench.commands import command_line
from bench.errors import STOPPED
from bench.machine.environment import ROOT, environment
from bench.machine.facts import Environment
from bench.machine.snapshot import WORKING_TREE
from bench.paths import new_run_folder
from bench.plans.choose import Selection, check_plan, choose
from bench.plans.plan import Plan
from bench.runs.ab import LOOKS, Duel, harness_changes
from bench.runs.estimate import in_words
from bench.runs.worktree import checkouts, resolve_commit, unchanged
from bench.text import plural
from bench.verdicts.folders import gate_code
from bench.verdicts.metrics import METRICS, metric_names

if TYPE_CHECKING:
    from bench.verdicts.compare import Comparison

FEW_ROUNDS = 3  # bench.verdicts.rule's, without its scipy


@asks(NAMING, BUILDING, SETTINGS_OPTIONS)
def ab(
    base: Annotated[str, Argument(metavar="BASE_REV", help="The baseline: a commit, branch or tag.")],
    head: Annotated[
        str,
        Argument(
            metavar="HEAD_REV",
            help="What to judge: a commit, or . for the working tree with all changes; BASE_REV again for an A/A test.",
        ),
    ],
    selection: Selection,
    output: Output = None,
    rounds: Annotated[int, Option(min=1, help="At most; it stops earlier once no case is AMBIGUOUS.")] = LOOKS[-1],
    budget: Budget = None,
    resume: Annotated[bool, Option("--resume", help="Go on with the records in the folder of -o.")] = False,
    metric: Annotated[
        list[str] | None,
        Option(metavar="NAME", help=f"Any of {', '.join(METRICS)}; repeat.  \\[default: those of speed and memory]"),
    ] = None,
    minimum: Minimum = None,
    fail_on: Fails = None,
    every: Every = False,
    picture: Picture = None,
    input: Input = "photos",
    seed: Seed = 0,
    dry_run: DryRun = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Did this commit make anything slower? Runs both commits' code on this machine, round by round, in turns.

    `bench ab HEAD .` judges uncommitted changes: the files as they are when it starts, so that you can go on editing.

    Each commit has a worktree, removed at the end. It stops once no case is AMBIGUOUS, or at --rounds or --budget. The
    significance level is corrected for looking several times, so that the error rates are those of `bench compare`.
    """
    from bench.verdicts.duel import USUAL, Question
    from bench.verdicts.shown.text import comparison_rows

    question = Question(metric_names(metric) if metric else USUAL, parse_minimums(minimum))
    check_picture(picture)
    chosen, env = choose(selection), environment()
    check_plan(chosen, env)
    if doubt := "" if resume else _too_short(chosen, env, rounds, budget):
        tell(doubt)
    if dry_run:
        _check_commits(base, head)
        print_dry_duel(chosen, env, rounds, as_json, as_csv, as_markdown)
        return
    if resume and output is None:
        raise typer.BadParameter("--resume needs the folder to go on in: -o DIR")
    folder = output or new_run_folder(f"ab-{chosen.name}")
    with checkouts([base, head], tell, ROOT) as (one, other):
        if sentence := unchanged(one, other, ROOT):
            tell(sentence)
        duel = Duel(chosen, (one, other), folder, env, rounds=rounds, seed=seed, source=absolute_input(input))
        duel.resume, duel.budget_s, duel.is_decided = resume, budget or float("inf"), lambda: question.settled(duel)
        try:
            _run(duel)
        except KeyboardInterrupt:
            _tell_stopped(folder, {"--metric": question.metrics, "--minimum": minimum, "--fail-on": fail_on})
            raise typer.Exit(STOPPED) from None
        verdicts = question.verdicts(duel)
        verdicts.harmless += harness_changes(one, other, ROOT)
    draw(picture, verdicts, " against ".join(map(str, duel.sides)))
    if as_csv:
        print_csv(comparison_rows(verdicts))
    else:
        _print(verdicts, duel, every, picture, as_markdown, as_json)
    raise typer.Exit(gate_code(verdicts, fail_on or [FailOn.slower]))


def _tell_stopped(folder: Path, given: Mapping[str, Iterable[str] | None]) -> None:
    """Say where the records are, and the commands that judge them as they were to be judged, and that go on."""
    options = [word for name, values in given.items() for value in values or () for word in (name, value)]
    judge = command_line("compare", folder / "base", folder / "head", *options)
    tell(f"\nStopped. The records so far are in {folder}, and `{judge}` judges them.")
    tell(f"To go on: {again(output=folder, resume=True)}")


def _check_commits(*revisions: str) -> None:
    for name in revisions:
        resolve_commit("HEAD" if name == WORKING_TREE else name, ROOT)


def _too_short(plan: Plan, env: Environment, rounds: int, budget: float | None) -> str:
    """Return a sentence where a duel ends before any time can have a verdict, with what would do; else nothing."""
    least = LOOKS[0]
    if rounds < least:
        but = " but what keeps every round of both apart by over 10 %" if rounds >= FEW_ROUNDS else ""
        return f"{rounds} {plural(rounds, 'round')} cannot tell{but}: a verdict takes {least}, as --rounds {least}."
    time = estimate_duel(plan, env, least)
    if budget is None or time.seconds <= budget:
        return ""
    minutes = ceil(time.seconds / 60)
    return (
        f"{in_words(time.seconds)} for the {least} rounds of each side that a verdict takes: --budget {budget:g} may "
        f"be over before, and cannot tell then. --budget {60 * minutes} may do, or fewer cases."
    )


def _run(duel: Duel) -> None:
    base, head = duel.sides
    with Progress(f"{base} against {head}, {duel.plan.name}", duel.env, duel.budget_s) as duel.events:
        for _ in duel.run():
            pass


def _print(
    verdicts: Comparison, duel: Duel, every: bool, picture: Path | None, as_markdown: bool, as_json: bool
) -> None:
    from bench.verdicts.shown import text
    from bench.verdicts.shown.comment import code, comment

    ended = f"{duel.done} {plural(duel.done, 'round')} of each, in turns; it stopped as {duel.stopped}."
    if as_json:
        print_json(as_json_object(verdicts, ended=ended))
    elif as_markdown:
        base, head, plan = (code(str(word)) for word in (*duel.sides, duel.plan.name))
        about = f"{base} against {head}, plan {plan}: {ended}"
        print_text(comment(verdicts, every, about, str(picture or "")))
    else:
        text.print_comparison(out, verdicts, every, (ended, f"Records: {duel.folder}"))
