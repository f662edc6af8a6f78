"""`bench counts`: what a plan's cases launch, read and write, counted without a GPU, against an earlier count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from bench.cli.asking import BUILD_OPTIONS, NAMING, asks
from bench.cli.console import hint, print_lines, spinner
from bench.cli.options import Csv, Json, Markdown, ToFile
from bench.cli.tables import print_csv, print_json, print_text
from bench.errors import FAILED
from bench.files import check_writable
from bench.kinds import COUNTS
from bench.plans.choose import Selection, choose
from bench.static.cases import Change, Facts, compare_facts, failures
from bench.static.cases_text import facts_lines, facts_markdown, facts_rows
from bench.static.count import count_cases


@asks(NAMING | BUILD_OPTIONS, default="static")
def counts(
    selection: Selection,
    output: Annotated[Path | None, ToFile(help="Write the counts.")] = None,
    against: Annotated[Path | None, Option(metavar="FILE", help="Exit 1 if a count is worse than in FILE.")] = None,
    strict: Annotated[
        bool, Option("--strict", help="Exit 1 also if a count is missing, or differs for another torch version.")
    ] = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Kernel launches, graph breaks, bytes, FLOPs of each case: exact, counted on a CPU, no GPU needed.

    Against an earlier file, one kernel launch or one graph break more is SLOWER: exit code 1.
    """
    start = time.monotonic()
    if strict and not against:
        raise typer.BadParameter("--strict is for --against FILE")
    plan = choose(selection, device="cpu")
    cases = plan.cases
    before = Facts.read(against) if against else None
    if output:
        check_writable(output, COUNTS)
    with spinner("counting") as status:
        show = "counting {} of {}: {}".format
        now = count_cases(cases, lambda *progress: status.update(show(*progress)), build=plan.build)
    changes: Sequence[Change] = ()
    if before:
        changes = compare_facts(before.only(case.name for case in cases) if selection.narrows else before, now)
    if as_json:
        differing: dict[str, Any] = {"changes": [asdict(change) for change in changes]} if before else {}
        print_json(now.as_json() | differing)
    elif as_csv:
        print_csv(facts_rows(now))
    elif as_markdown:
        print_text("\n".join(facts_markdown(now, changes, before)) + "\n")
    else:
        print_lines(facts_lines(now, changes, before, time.monotonic() - start))
    if output:
        now.save(output)
        hint(f"Written: the counts of {len(now.cases)} cases at {now.commit}, in {output}")
    failed = failures(changes, strict) if before else [case for case in now.cases.values() if case.failed]
    raise typer.Exit(FAILED if failed else 0)
