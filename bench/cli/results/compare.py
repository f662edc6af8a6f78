"""`bench compare`: the verdicts on two results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench.cli.comparing import Every, FailOn, Fails, Minimum, parse_minimums
from bench.cli.console import FAILED, Filter, Json, Markdown, damage_on_stderr, out, print_json
from bench.records.comparable import parse_allowed
from bench.verdicts.folders import compare_sides, failing, plan_of, read_sides
from bench.verdicts.metrics import METRICS, metric_names


def compare(
    base: Annotated[Path, Argument(metavar="BASE", help="Results folder of the baseline.")],
    head: Annotated[Path, Argument(metavar="HEAD", help="Results folder to judge.")],
    filter: Filter = None,
    metric: Annotated[
        list[str] | None, Option(metavar="NAME", help=f"Only this metric of {', '.join(METRICS)}; repeat.")
    ] = None,
    minimum: Minimum = None,
    fail_on: Fails = None,
    allow: Annotated[
        list[str] | None, Option(metavar="FIELD", help="Compare although this differs, as torch; repeat.")
    ] = None,
    every: Every = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Did it get slower? Each case and metric of HEAD against BASE: SLOWER, FASTER, SAME or AMBIGUOUS.

    Exit codes: 0, or 1 if a case is SLOWER or fails that did not (see --fail-on); 2 if the two cannot be compared.
    """
    from bench.verdicts import text

    metrics, minimums, fields = metric_names(metric or ()), parse_minimums(minimum), parse_allowed(allow or ())
    with damage_on_stderr():
        sides = read_sides(base, head, filter or [])
    comparison = compare_sides((base, head), sides, metrics, minimums, fields)
    steps = text.advice(comparison, plan_of(sides[1]), str(head))
    if as_json:
        print_json({"summary": text.summary(comparison), "next": steps} | comparison.as_json())
    elif as_markdown:
        print(text.comparison_markdown(comparison, every), end="")
    else:
        text.print_comparison(out, comparison, every)
        for step in steps:
            out.print(step, markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if failing(comparison, fail_on or [FailOn.slower]) else 0)
