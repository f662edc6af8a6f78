"""`bench constants`: what decides the next design, measured on this card in a few seconds each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import FAILED, Json, out, print_json
from bench.cli.machine.walk import Names, Seconds, asked, place_of, walk
from bench.experiments.kept import ConstantsFile
from bench.experiments.lists import EXPERIMENTS
from bench.machine.environment import environment
from bench.runs.job import ConstantsJob

BUDGET_S = 240.0


def constants(
    names: Names = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Kept there.  \\[default: results/<card>/constants.json]"),
    ] = None,
    budget: Seconds = BUDGET_S,
    as_json: Json = False,
    missing: Annotated[bool, typer.Option("--missing", help="Only what the file has no good outcome of.")] = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="Walk the code on the CPU; compile the kernels for sm_90; measure nothing.")
    ] = False,
) -> None:
    """Constants of this card: L2's bandwidth, the tensor cores' share, what a launch costs; and experiments on designs.

    A line each as it comes, a prediction beside each outcome in the file, which is rewritten behind each. What other
    runs found on cards of this name, and this one does not ask again, stays in it.
    """
    wanted = asked(EXPERIMENTS, names)
    facts = environment()
    usual = place_of(facts, "constants", dry)
    kept = ConstantsFile(output or usual, facts, dry)
    if missing:
        wanted = [one for one in wanted if one.name not in kept.answered()]
    kept.expect(wanted)
    walk(ConstantsJob("cpu" if dry else "cuda"), wanted, budget, kept.path, kept.add, as_json)
    if as_json:
        print_json(kept.data)
    else:
        for name, one in kept.data["constants"].items():
            out.print(f"{name} = {one['value']:.4g} {one['unit']}: {one['how']}", markup=False, soft_wrap=True)
        out.print(f"Kept: {kept.path}", markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if kept.failed({one.name for one in wanted}) else 0)
