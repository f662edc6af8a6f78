"""`bench history`: cases over commits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import FAILED, UNABLE, USAGE, Filter, Json, damage_told, out, print_json, stop
from bench.paths import LOCAL
from bench.plans.words import matches
from bench.runs.worktree import order
from bench.verdicts.metrics import METRICS, metric_named

USUAL = ("latency", "throughput")


def history(
    stores: Annotated[list[Path] | None, typer.Argument(metavar="[DIR...]", help="[default: results/local]")] = None,
    filter: Filter = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=f"Of {', '.join(METRICS)}.  \\[default: {', '.join(USUAL)}]"),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Series without a change, too.")] = False,
    fail: Annotated[bool, typer.Option("--fail-on-change", help="Exit 1 where something got worse.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Every case over commits: where its level changed, between which commits, how sure that is.

    A store is a folder of results folders, as a nightly `bench run PLAN -o STORE/$(date +%F)` leaves it.
    """
    from bench.verdicts import history_text as text  # numpy and pandas, for those who want them
    from bench.verdicts.history import read_history

    names = list(map(metric_named, metric or USUAL))
    try:
        with damage_told():
            history = read_history(stores or [LOCAL], names, order())
    except ModuleNotFoundError as error:
        stop(f"change points need {error.name}: pip install ruptures", UNABLE)
    history = [series for series in history if matches(series.case, filter or ())]
    if not history:
        stop("no case that matches was measured at a commit", USAGE)
    if as_json:
        print_json([text.as_json(series) for series in history])
    elif markdown:
        print(text.history_markdown(history))
    else:
        text.print_history(out, history, all_)
    if fail and any(change.worse for series in history for change in series.changes):
        raise typer.Exit(FAILED)
