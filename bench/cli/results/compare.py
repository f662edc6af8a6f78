"""`bench compare`: the verdicts on two results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench.cli.chosen import chosen_sides
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
from bench.cli.complete import complete_results
from bench.cli.console import answer_code, damage_on_stderr, err_is_quiet
from bench.cli.options import Csv, Exclude, Filter, Json, Markdown
from bench.cli.tables import out, print_csv, print_json, print_text
from bench.records.comparable import parse_allowed
from bench.verdicts.folders import compare_sides, gate_code, plan_of, read_sides
from bench.verdicts.metrics import METRICS, metric_names


def compare(
    base: Annotated[
        Path | None,
        Argument(
            metavar="[BASE]",
            help="The baseline: a results folder, or a name kept with --save.  \\[default: the run before HEAD]",
            autocompletion=complete_results,
        ),
    ] = None,
    head: Annotated[
        Path | None,
        Argument(
            metavar="[HEAD]",
            help="What to judge.  \\[default: the latest run of that plan]",
            autocompletion=complete_results,
        ),
    ] = None,
    filter: Filter = None,
    exclude: Exclude = None,
    metric: Annotated[
        list[str] | None, Option(metavar="NAME", help=f"Only this metric of {', '.join(METRICS)}; repeat.")
    ] = None,
    minimum: Minimum = None,
    fail_on: Fails = None,
    allow: Annotated[
        list[str] | None, Option(metavar="FIELD", help="Compare although this differs, as torch; repeat.")
    ] = None,
    every: Every = False,
    picture: Picture = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Did it get slower? Each case and metric of HEAD against BASE: SLOWER, FASTER, SAME or AMBIGUOUS.

    Exit codes: 0; 1 if a case is SLOWER or fails that did not (see --fail-on); 2 if the two cannot be compared; 4 if
    the rounds are too few, or too disturbed, to judge any case, or if most cases got worse alike and none is SLOWER.
    """
    from bench.verdicts.advice import advice
    from bench.verdicts.shown import text

    check_picture(picture)
    metrics, minimums, fields = metric_names(metric or ()), parse_minimums(minimum), parse_allowed(allow or ())
    folders = chosen_sides(base, head)
    with damage_on_stderr():
        sides = read_sides(*folders, filter or [], exclude or [])
    comparison = compare_sides(folders, sides, metrics, minimums, fields)
    draw(picture, comparison, f"{folders[0]} against {folders[1]}")
    steps = [] if err_is_quiet() else advice(comparison, plan_of(sides[1]), *map(str, folders))
    if as_json:
        print_json(as_json_object(comparison, next=steps))
    elif as_csv:
        print_csv(text.comparison_rows(comparison))
    elif as_markdown:
        from bench.verdicts.shown.comment import comment

        print_text(comment(comparison, every, picture=str(picture or "")))
    else:
        text.print_comparison(out, comparison, every, steps)
    raise typer.Exit(answer_code(gate_code(comparison, fail_on or [FailOn.slower])))
