"""`bench compare`: two results folders to verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.comparing import Every, FailOn, Fails, Markdown, Minimum, minimums, names
from bench.cli.console import FAILED, Filter, Json, damage_told, out, print_json
from bench.records import comparable
from bench.verdicts.folders import compare_sides, failing, plan_of, read_sides
from bench.verdicts.metrics import METRICS


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Results folder: what is known.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="Results folder: what is in question.")],
    filter: Filter = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=f"Only this one; repeat for more: {', '.join(METRICS)}."),
    ] = None,
    minimum: Minimum = None,
    fail_on: Fails = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="FIELD", help="Compare although this differs, as in --allow torch."),
    ] = None,
    every: Every = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Did it get slower? Each case and metric of HEAD against BASE: SLOWER, FASTER, SAME or AMBIGUOUS.

    Exit codes: 0, or 1 if a case is SLOWER or fails that did not (see --fail-on); 2 if the two cannot be compared.
    """
    from bench.verdicts import text

    metrics, least, allowed = names(metric), minimums(minimum), _allowed(allow)
    with damage_told():
        sides = read_sides(base, head, filter or [])
    comparison = compare_sides((base, head), sides, metrics, least, allowed)
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


def _allowed(words: list[str] | None) -> set[str]:
    try:
        return comparable.allowed(words or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
