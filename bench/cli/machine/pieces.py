"""`bench pieces`: whether each kind of kernel and launch of a network works on this GPU, in seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.cli.machine.parts import Names, Seconds, default_file, run_parts
from bench.cli.options import Json, ToFile
from bench.cli.tables import out, print_json
from bench.errors import FAILED
from bench.experiments.kept import PiecesFile
from bench.experiments.lists import PIECES, select_named
from bench.machine.environment import environment
from bench.runs.job import PiecesJob
from bench.runs.process import HERE, Home

BUDGET_S = 120.0


def pieces(
    names: Names = None,
    output: Annotated[Path | None, ToFile(help="File for the result.  \\[default: results/<card>/pieces.json]")] = None,
    budget: Seconds = BUDGET_S,
    as_json: Json = False,
    dry: Annotated[
        bool, Option("--dry", help="On the CPU, interpreted, on small shapes; the same as with TRITON_INTERPRET=1.")
    ] = False,
) -> None:
    """Check the pieces of a network on this GPU, each alone: dependent launches, graphs, each kind of kernel.

    Results are compared with float64. Each piece prints a line, and the file is rewritten. A piece that hangs or
    crashes does not stop the others.
    """
    pieces = select_named(PIECES, names or ())
    dry = dry or os.environ.get("TRITON_INTERPRET") == "1"
    env = environment()
    default = default_file(env, "pieces", dry)
    kept = PiecesFile(output or default, env)
    home = Home(variables={"TRITON_INTERPRET": "1"}) if dry else HERE
    run_parts(PiecesJob("cpu" if dry else "cuda"), pieces, budget, kept.path, kept.add, as_json, home)
    if as_json:
        print_json(kept.data)
    else:
        out.print(f"Written: {kept.path}", markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if kept.failed() else 0)
