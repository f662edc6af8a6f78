"""`bench history`: cases over commits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench import paths
from bench.cli.complete import complete_results
from bench.cli.console import answer_code, damage_on_stderr, stop
from bench.cli.options import Csv, Exclude, Filter, Json, Markdown
from bench.cli.tables import out, print_csv, print_json, print_text
from bench.errors import FAILED, USAGE
from bench.plans.words import narrow
from bench.records.places import store_at
from bench.runs.worktree import commit_order, is_shallow
from bench.verdicts.metrics import METRICS, metric_named

USUAL = ("latency", "throughput")


def history(
    stores: Annotated[
        list[Path] | None,
        Argument(
            metavar="[DIR...]",
            help="Stores of results, or names kept with --save.  \\[default: results/local]",
            autocompletion=complete_results,
        ),
    ] = None,
    filter: Filter = None,
    exclude: Exclude = None,
    metric: Annotated[
        list[str] | None,
        Option(metavar="NAME", help=f"Any of {', '.join(METRICS)}; repeat.  \\[default: {', '.join(USUAL)}]"),
    ] = None,
    all_: Annotated[bool, Option("--all", help="List the cases without a change, too.")] = False,
    fail: Annotated[bool, Option("--fail-on-change", help="Exit 1 if something got worse.")] = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Every case over commits: where its level changed, between which commits, and the p-value of the change.

    A store is a folder of results folders, as a nightly `bench run PLAN -o STORE/$(date +%F)` leaves it.
    """
    from bench.verdicts import history_text as text  # numpy and pandas, for those who want them
    from bench.verdicts.history import read_history

    names = list(map(metric_named, metric or USUAL))
    with damage_on_stderr():
        places = [store_at(store) for store in stores or [paths.LOCAL]]
        series = read_history(places, names, commit_order(), is_shallow())
    kept = narrow(dict.fromkeys(one.case for one in series), filter or (), exclude or (), "these stores at a commit")
    series = [one for one in series if one.case in kept]
    if not series:
        stop("no case was measured at a commit", USAGE)
    if as_json:
        print_json([text.as_json(one) for one in series])
    elif as_csv:
        print_csv(row for one in series for row in text.as_rows(one))
    elif as_markdown:
        print_text(text.history_markdown(series) + "\n")
    else:
        text.print_history(out, series, all_)
    if fail:
        worse = any(change.worse for one in series for change in one.changes)
        raise typer.Exit(answer_code(FAILED if worse else 0))
