"""`bench recommend`: the best case within limits, with the evidence."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from bench.cli.again import again
from bench.cli.chosen import Results, chosen_folders
from bench.cli.console import answer_code, hint, tell
from bench.cli.options import Csv, Exclude, Filter, Json, Markdown
from bench.cli.tables import console_for, print_csv, print_json
from bench.errors import FAILED, UNDECIDED
from bench.report.exported import group_as_json, group_as_rows
from bench.report.recommend import GIB, OBJECTIVES, Budget
from bench.report.recommend_groups import choose_by_group
from bench.report.recommend_runs import useful_runs
from bench.report.recommend_text import print_recommendation


def recommend(
    folders: Results = None,
    filter: Filter = None,
    exclude: Exclude = None,
    p99_ms: Annotated[float | None, Option(min=1e-6, metavar="MS", help="Limit of the p99 latency.")] = None,
    memory_gib: Annotated[
        float | None, Option(min=1e-6, metavar="GIB", help="Limit of the process's memory on the GPU, or on the host.")
    ] = None,
    min_agreement: Annotated[
        float | None,
        Option(min=0, max=1, metavar="SHARE", help="Least share of pictures with the top class of float32."),
    ] = None,
    max_accuracy_loss: Annotated[
        float | None,
        Option(min=0, max=100, metavar="POINTS", help="Most points of accuracy under fp32's (bench accuracy)."),
    ] = None,
    objective: Annotated[
        str | None, Option(metavar="|".join(OBJECTIVES), help="What is to be best.  \\[default: throughput]")
    ] = None,
    model: Annotated[str | None, Option(metavar="GLOB", help="Only these models.")] = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """The best case within limits, the runner-up, how sure that is; without a limit, the cases that none beats.

    8 bits, whose answers differ from float32's, are among them where --max-accuracy-loss or --min-agreement says what
    they may cost.

    Exit codes: 0 with a choice; 1 if nothing is within the limits; 4 if the records cannot tell.
    """
    if objective and objective not in OBJECTIVES:
        raise typer.BadParameter(f"unknown objective {objective!r}; allowed: {', '.join(OBJECTIVES)}")
    memory = None if memory_gib is None else memory_gib * GIB
    loss = None if max_accuracy_loss is None else max_accuracy_loss / 100
    budget = Budget(None if p99_ms is None else p99_ms * 1e6, memory, min_agreement, objective or "throughput", loss)
    listed = all(option is None for option in (p99_ms, memory_gib, min_agreement, max_accuracy_loss, objective))
    chosen = choose_by_group(chosen_folders(folders), model, budget, tell, filter or (), exclude or (), listed)
    if as_json:
        print_json([group_as_json(group, listed) for group in chosen])
    elif as_csv:
        print_csv(row for group in chosen for row in group_as_rows(group))
    else:
        print_recommendation(console_for(as_markdown), chosen, listed)
    answers = {group.choice.answer for group in chosen}
    code = answer_code(0 if "case" in answers else UNDECIDED if "cannot tell" in answers else FAILED)
    runs = [command for group in chosen for _, command in useful_runs(group.choice, group.folders)]
    if code == UNDECIDED and p99_ms is not None and runs and not as_json:
        goes_on = runs[0].endswith(("--resume", "--retry"))
        command = again() if goes_on else again(folders=None)
        hint(f"Once it was run, ask about it{'' if goes_on else ', as the latest run'}: {command}")
    raise typer.Exit(code)
