"""`bench constants`: measurements of this card that the kernels' time model needs, and that decide the next design."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.cli.machine.parts import Names, Seconds, default_file, run_parts
from bench.cli.options import Json, ToFile
from bench.cli.tables import out, print_json
from bench.errors import FAILED
from bench.experiments.kept import ConstantsFile
from bench.experiments.lists import EXPERIMENTS, select_named
from bench.machine.environment import environment
from bench.runs.job import ConstantsJob

BUDGET_S = 240.0


def constants(
    names: Names = None,
    output: Annotated[
        Path | None, ToFile(help="File for the result.  \\[default: results/<card>/constants.json]")
    ] = None,
    budget: Seconds = BUDGET_S,
    as_json: Json = False,
    missing: Annotated[
        bool, Option("--missing", help="Only the experiments that have no good outcome in the file.")
    ] = False,
    dry: Annotated[bool, Option("--dry", help="Try each step on the CPU: compile for sm_90, measure nothing.")] = False,
) -> None:
    """This card's constants for the kernels' time model: L2 bandwidth, share of peak FLOPs, launch cost; experiments.

    An experiment is a short measurement that decides which kernel is worth making next. Each prints a line, and the
    file, with a prediction beside each outcome, is rewritten. Outcomes of earlier runs on this card stay in it.
    """
    experiments = select_named(EXPERIMENTS, names or ())
    env = environment()
    default = default_file(env, "constants", dry)
    kept = ConstantsFile(output or default, env, dry)
    if missing:
        experiments = [experiment for experiment in experiments if experiment.name not in kept.answered()]
    kept.expect(experiments)
    run_parts(ConstantsJob("cpu" if dry else "cuda"), experiments, budget, kept.path, kept.add, as_json)
    if as_json:
        print_json(kept.data)
    else:
        for name, constant in kept.data["constants"].items():
            text = f"{name} = {constant['value']:.4g} {constant['unit']}: {constant['how']}"
            out.print(text, markup=False, soft_wrap=True)
        out.print(f"Written: {kept.path}", markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if kept.failed({experiment.name for experiment in experiments}) else 0)
