"""`bench pieces`: do the pieces work that networks are made of? Before any network, in seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import FAILED, Json, out, print_json
from bench.cli.machine.walk import Names, Seconds, asked, place_of, walk
from bench.experiments.kept import PiecesFile
from bench.experiments.lists import PIECES
from bench.machine.environment import environment
from bench.runs.job import PiecesJob
from bench.runs.process import HERE, Home

BUDGET_S = 120.0


def pieces(
    names: Names = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Kept there.  \\[default: results/<card>/pieces.json]"),
    ] = None,
    budget: Seconds = BUDGET_S,
    as_json: Json = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="On the CPU, interpreted, on small shapes; so with TRITON_INTERPRET=1.")
    ] = False,
) -> None:
    """The pieces of a network, each alone: dependent launches, graphs, each kind of kernel, held against float64.

    A line each as it comes; a piece that hangs, or takes its process down, costs itself alone. The file is rewritten
    behind each.
    """
    wanted = asked(PIECES, names)
    dry = dry or os.environ.get("TRITON_INTERPRET") == "1"
    facts = environment()
    usual = place_of(facts, "pieces", dry)
    kept = PiecesFile(output or usual, facts)
    home = Home(variables={"TRITON_INTERPRET": "1"}) if dry else HERE
    walk(PiecesJob("cpu" if dry else "cuda"), wanted, budget, kept.path, kept.add, as_json, home)
    if as_json:
        print_json(kept.data)
    else:
        out.print(f"Kept: {kept.path}", markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if kept.failed() else 0)
