"""`bench layers`: where a case's time goes, and against another case where it is won or lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status

from bench.cli.console import UNABLE, Input, Json, Seed, err, keep, out, print_json, stop
from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.choose import not_an_input
from bench.plans.eligible import why_not
from bench.roofline.layers import compare_layers, measure_layers
from bench.roofline.layers_text import print_layer_comparison, print_layers


def layers(
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case's name, as `bench list` prints it.")],
    against: Annotated[str | None, typer.Option("--against", metavar="CASE", help="Another, side by side.")] = None,
    executions: Annotated[int, typer.Option("-n", min=1, help="Executions, whole and in parts each.")] = 30,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="One execution of CASE, for Perfetto or chrome://tracing."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Keep it as JSON, for the report page.")
    ] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Where a case's time goes: each layer's time, kernels, share and floor.

    The answers are checked first. The layers' sum stands beside the case's own time, measured untouched in the same
    process.
    """
    cases = [Case.parse(name) for name in (case, against) if name is not None]
    facts = environment()
    for one in cases:
        reason = why_not(one, facts)
        if reason:
            stop(f"this machine cannot run {one.name}: {reason}", UNABLE)
    if reason := not_an_input(input):
        raise typer.BadParameter(reason)
    for path in (trace, output):
        if path is not None and not path.resolve().parent.is_dir():
            raise typer.BadParameter(f"{path}: there is no folder {path.resolve().parent}")
    found = []
    for number, one in enumerate(cases):
        with err.status(one.name) as status:
            stage = partial(_stage, status, one.name)
            found.append(measure_layers(one, facts, executions, input, seed, None if number else trace, stage))
            keep(found[0], output)  # whatever becomes of the other case
    mine = found[0] | ({"against": found[1], "compared": compare_layers(*found)} if against else {})
    keep(mine, output)
    if as_json:
        print_json(mine)
        return
    print_layer_comparison(out, mine) if against else print_layers(out, mine)
    for path, what in ((trace, "Trace"), (output, "Kept")):
        if path is not None:
            out.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _stage(status: Status, name: str, stage: str) -> None:
    status.update(f"{name}: {stage}")
