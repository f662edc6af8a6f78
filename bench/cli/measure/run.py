"""`bench run`: a plan's cases as one sweep, with a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.cli.again import again
from bench.cli.asking import BUILDING, NAMING, SETTINGS_OPTIONS, DryRun, asks
from bench.cli.chosen import Save, save_as
from bench.cli.console import err
from bench.cli.measure.baseline import Compare, check_baseline, print_verdicts, rounds_for_verdict
from bench.cli.measure.dry import print_dry_run
from bench.cli.measure.sweep import exit_code, run_sweep, start_of
from bench.cli.options import Budget, Csv, Data, Input, Json, Markdown, Output, Seed
from bench.cli.reported import ViewName, nothing_measured, print_records, run_again
from bench.cli.tables import out
from bench.commands import command_line
from bench.plans.case import Case
from bench.plans.choose import Selection
from bench.plans.settings import P99_SAMPLES
from bench.records.places import check_name, results_at
from bench.records.record import Record
from bench.records.same import Traits
from bench.runs.run import sweep_of, with_rounds


@asks(NAMING, BUILDING, SETTINGS_OPTIONS)
def run(
    selection: Selection,
    output: Output = None,
    rounds: Annotated[
        int | None, Option(min=1, help="Passes over the cases; each starts a fresh process for each case.")
    ] = None,
    until: Annotated[
        float | None,
        Option(
            min=0.1,
            metavar="PERCENT",
            help="More rounds, until the confidence interval of each ratio to eager is this narrow.",
        ),
    ] = None,
    rounds_limit: Annotated[int | None, Option(min=1, help="At most, with --until.  \\[default: 20]")] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Run only what is missing in DIR or in this plan's latest folder; without PLAN, of DIR's cases.",
        ),
    ] = False,
    retry: Annotated[bool, Option("--retry", help="As --resume, and run again what failed.")] = False,
    cold: Annotated[bool, Option("--cold", help="Cold starts: every process finds its compile caches empty.")] = False,
    strict: Annotated[
        bool | None,
        Option(
            "--strict/--lenient",
            show_default=False,
            help="Exit 1 also if a case was throttled; --lenient: not even if one failed, where any was measured.",
        ),
    ] = None,
    budget: Budget = None,
    view: ViewName = None,
    input: Input = "photos",
    data: Data = "",
    seed: Seed = 0,
    save: Save = None,
    compare: Compare = None,
    dry_run: DryRun = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Measure every case of a plan, with live progress, and print the table."""
    if save is not None:
        check_name(save)
    if compare and (as_json or as_csv):
        judge = command_line("compare", compare, "--json" if as_json else "--csv")
        raise typer.BadParameter(f"--compare prints a second table: `{judge}`, after it, has the verdicts")
    base = results_at(compare) if compare else None
    plan, folder, seed, input = start_of(selection, output, resume or retry, seed, input)
    if until is None and (save or base):
        rounds = rounds_for_verdict(plan, rounds)
    chosen = with_rounds(plan, rounds, until, rounds_limit)
    shown = view or ("cold" if cold else "tail" if chosen.settings.samples >= P99_SAMPLES else "")
    sweep = sweep_of(
        chosen, folder, resume=resume, retry=retry, cold=cold, budget_s=budget, source=input, seed=seed, data=data
    )
    if base:
        check_baseline(base, sweep)
    if dry_run:
        print_dry_run(sweep, as_json, as_csv, as_markdown)
        return
    records = run_sweep(sweep, err if as_json or as_csv or as_markdown else out)  # a document is whole, or none
    named = bool(selection.plan or selection.axes)
    print_records(records, folder, shown, as_json, as_csv, as_markdown, partial(_settle, folder, records, named))
    save_as(save, [folder])
    verdict = print_verdicts(base, sweep, as_markdown) if base and not nothing_measured(records) else 0
    raise typer.Exit(exit_code(records, strict) or verdict)


def _settle(
    folder: Path, records: list[Record], named: bool, cases: Sequence[Case], rounds: int | None, like: Traits
) -> str:
    """Return this command again: with more rounds of cases (none: all) in its folder; or, for None, in a new one.

    Where it did not name its cases, as it went on with those of the folder, the new one names them.
    """
    if rounds is None:
        return again(output=None, resume=False, retry=False) if named else run_again(records)(cases, None, like)
    narrowed = {"filter": [case.name for case in cases], "exclude": None} if cases else {}
    return again(**narrowed, rounds=rounds, output=folder, resume=True)
