"""`bench accuracy`: right answers of every case, beside float32's on the same pictures."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from bench.cli.asking import BUILDING, NAMING, DryRun, asks
from bench.cli.chosen import Save, save_as
from bench.cli.measure.dry import print_dry_run
from bench.cli.measure.sweep import Jobs, exit_code, run_sweep, start_of
from bench.cli.options import Budget, Csv, Data, Input, Json, Markdown, Output, Seed
from bench.cli.tables import console_for, print_csv, print_json
from bench.errors import FAILED, UNDECIDED
from bench.plans.choose import Selection
from bench.plans.plan import scored_only
from bench.plans.scored import PICTURES
from bench.records.places import check_name
from bench.report.accuracy import KEEPS, NOT_MET, UNKNOWN, accuracy_rows, keeps
from bench.report.terminal import print_accuracy
from bench.runs.run import sweep_of


@asks(NAMING, BUILDING)
def accuracy(
    selection: Selection,
    data: Data = "",
    pictures: Annotated[
        int | None, Option(min=1, metavar="N", help=f"So many pictures.  \\[default: all of --data, else {PICTURES}]")
    ] = None,
    keep: Annotated[
        float | None,
        Option(
            min=0,
            max=1,
            metavar="SHARE",
            help=f"Exit 1 if a case has less than this share of float32's accuracy, 4 if that cannot be told.  "
            f"\\[shown for {KEEPS}]",
        ),
    ] = None,
    output: Output = None,
    resume: Annotated[bool, Option("--resume", help="Score only what is missing in DIR.")] = False,
    budget: Budget = None,
    jobs: Jobs = None,
    input: Input = "photos",
    seed: Seed = 0,
    save: Save = None,
    dry_run: DryRun = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Count right answers: each case beside float32 on the same pictures, with intervals; nothing is timed.

    The pictures are those of --data, a folder a class; a network of digits (resnet18-digits-hard) has its own. Others
    without labels are compared with float32's answers alone. ImageNet's folders are named after its 1000 synsets, whose
    order is torchvision's; where the model's is another, a list of the folders says so: classes.txt beside them.
    """
    if save is not None:
        check_name(save)
    plan, folder, seed, input = start_of(selection, output, resume, seed, input, "accuracy-")
    count = pictures or plan.settings.score_pictures or (0 if data else PICTURES)
    chosen = scored_only(plan, count)
    sweep = sweep_of(chosen, folder, resume=resume, budget_s=budget, jobs=jobs, source=input, seed=seed, data=data)
    if dry_run:
        print_dry_run(sweep, as_json, as_csv, as_markdown)
        return
    records = run_sweep(sweep)
    share = KEEPS if keep is None else keep
    if as_json:
        print_json(accuracy_rows(records, share))
    elif as_csv:
        print_csv(accuracy_rows(records, share))
    else:
        print_accuracy(console_for(as_markdown), records, share, None if as_markdown else folder)
    save_as(save, [folder])
    kept = set() if keep is None else {keeps(record, keep) for record in records if record.status == "ok"}
    undecided = UNDECIDED if kept & {UNKNOWN, None} else 0
    raise typer.Exit(exit_code(records) or (FAILED if NOT_MET in kept else undecided))
