"""The table of some records, in the form that a command is told: for the terminal, JSON, CSV or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Option

from bench.cli.tables import out, print_csv, print_json, print_text
from bench.commands import command_line
from bench.errors import FAILED, UNABLE
from bench.plans.case import Case
from bench.records.again import command_again
from bench.records.record import Record
from bench.records.same import Traits, are_alike, by_way
from bench.report.answer import Settle
from bench.report.exported import report_as_json, report_as_rows
from bench.report.markdown import render_markdown
from bench.report.terminal import print_report
from bench.report.views import VIEWS

View = StrEnum("View", {name: name for name in VIEWS})  # type: ignore[misc]
ViewName = Annotated[
    View | None,
    Option("--view", metavar="|".join(VIEWS), help="Columns of the table.  \\[default: speed; of 8 bits precisions]"),
]


def print_records(
    records: list[Record],
    folder: Path | None,
    view: str,
    as_json: bool,
    as_csv: bool,
    as_markdown: bool,
    settle: Settle | None = None,
    every: str = "",
) -> None:
    """Print the table of `records`; `folder` is where they have just been written, for the terminal.

    `settle` makes the command that would settle what the records cannot tell; without it, they name it. `every` is the
    command that prints a table of all cases, where a long one is left out on a terminal; else `folder`'s.
    """
    settle = settle or run_again(records)
    if as_json:
        print_json(report_as_json(records, settle))
    elif as_csv:
        print_csv(report_as_rows(records))
    elif as_markdown:
        print_text(render_markdown(records, view, settle))
    else:
        every = every or (command_line("report", folder, "--all") if folder else "")
        print_report(out, records, folder, settle, view, every if out.is_terminal else "")


def nothing_measured(records: list[Record]) -> int:
    """Return the exit code of records of which none is good: whether the machine cannot, or all failed; else 0."""
    statuses = {record.status for record in records}
    if "ok" in statuses:
        return 0
    return UNABLE if statuses == {"skipped"} else FAILED


def run_again(records: list[Record], *more: object) -> Settle:
    """Return a maker of the command that runs cases of records, or all of them, in the records' conditions."""

    def settle(cases: Sequence[Case], rounds: int | None, like: Traits) -> str:
        alike = [(way[1], one) for way, ones in by_way(records).items() if are_alike(like, way[1]) for one in ones]
        able = dict.fromkeys(one.case for _, one in alike if one.status != "skipped")
        choices = [cases] if cases else [list(dict.fromkeys(one.case for _, one in alike)), list(able)]
        good = (one for traits, one in alike if one.status == "ok" and set(like) <= set(traits))
        first, more_rounds = next(one for one in good if one.case in choices[0]), ("--rounds", rounds) if rounds else ()
        return min((command_again(["run"], first, few, *more_rounds, *more) for few in choices), key=len)

    return settle
