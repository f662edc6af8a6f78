"""`bench verify`: the accuracy gate alone, for every case of a plan."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from bench.cli.asking import BUILDING, NAMING, DryRun, asks
from bench.cli.measure.dry import print_dry_run
from bench.cli.measure.sweep import Jobs, exit_code, run_sweep, start_of
from bench.cli.options import Budget, Csv, Data, Input, Json, Markdown, Output, Seed
from bench.cli.tables import console_for, print_csv, print_json
from bench.plans import plan as plans
from bench.plans.choose import Selection
from bench.report.terminal import gate_rows, print_gate
from bench.runs.run import sweep_of


@asks(NAMING, BUILDING)
def verify(
    selection: Selection,
    output: Output = None,
    resume: Annotated[bool, Option("--resume", help="Check only what is missing in DIR.")] = False,
    budget: Budget = None,
    jobs: Jobs = None,
    input: Input = "photos",
    data: Data = "",
    seed: Seed = 0,
    dry_run: DryRun = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Check the answers only: the accuracy gate of `run`, by the same path, with one execution."""
    plan, folder, seed, input = start_of(selection, output, resume, seed, input, "verify-")
    chosen = plans.gate_only(plan)
    sweep = sweep_of(chosen, folder, resume=resume, budget_s=budget, jobs=jobs, source=input, seed=seed, data=data)
    if dry_run:
        print_dry_run(sweep, as_json, as_csv, as_markdown)
        return
    records = run_sweep(sweep)
    if as_json:
        names = ("status", "reason", "gate", "score")
        print_json([{"case": one.case.name} | {name: getattr(one, name) for name in names} for one in records])
    elif as_csv:
        print_csv(gate_rows(records))
    else:
        print_gate(console_for(as_markdown), records, None if as_markdown else folder)
    raise typer.Exit(exit_code(records))
