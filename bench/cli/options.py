"""The options that commands share, and those that choose the form of what is printed.

A command that prints a table has `--json`, `--csv` and `--markdown`, at most one at a time:

    def command(..., as_csv: Csv = False, as_markdown: Markdown = False, as_json: Json = False) -> None:
        if as_json:
            print_json(...)
        elif as_csv:
            print_csv({"case": ..., "p50_ns": ...} for ... in ...)  # raw values, the unit in the column's name
        else:
            print_something(console_for(as_markdown), ...)  # what the terminal shows, as Markdown where it is asked for
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import BadParameter, Option


def _alone(context: typer.Context, parameter: typer.CallbackParam, value: bool) -> bool:
    """Refuse a second option of `--json`, `--csv` and `--markdown`."""
    if value:
        option = parameter.opts[0]
        other = context.meta.setdefault("bench.form", option)
        if other != option:
            raise typer.BadParameter(f"{other} and {option} are two forms of the same: choose one")
    return value


Json = Annotated[bool, Option("--json", help="Print JSON.", callback=_alone)]
Csv = Annotated[bool, Option("--csv", help="Print CSV: raw values, with units in the names.", callback=_alone)]
Markdown = Annotated[bool, Option("--markdown", help="Print Markdown.", callback=_alone)]


def folder_named(word: str) -> Path:
    """Return the folder of an option's word. Raises BadParameter for an empty one, which is no folder."""
    if not word:
        raise BadParameter("an empty name is no folder's")
    return Path(word)


FilterOption = partial(
    Option, "-f", "--filter", metavar="GLOB",
    help="Only cases that have these whole segments, as fused, b1 or '*fused*/fp16'; repeat for more.",
)  # fmt: skip
ExcludeOption = partial(Option, "--exclude", metavar="GLOB", help="Not the cases that have these; repeat.")
Filter = Annotated[list[str] | None, FilterOption()]
Exclude = Annotated[list[str] | None, ExcludeOption()]
Input = Annotated[str, Option("--input", metavar="photos|noise|DIR", help="Pictures that the model is run on.")]
Data = Annotated[
    str, Option("--data", metavar="DIR", help="Labelled pictures, a folder a class, to count right answers on.")
]
Seed = Annotated[int, Option("--seed", help="Seed of the weights, the pictures and the order of cases.")]
Budget = Annotated[float | None, Option(min=1, metavar="SECONDS", help="Start no case that would end later than this.")]
ToFile = partial(Option, "-o", "--output", metavar="FILE")  # of a command whose output is one file
Output = Annotated[
    Path | None, Option("-o", "--output", metavar="DIR", parser=folder_named, help="Folder for the records.")
]
