"""`bench layers`: the time of each layer of a case, alone or beside another case."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status
from typer import Argument, Option

from bench.cli.console import UNABLE, Input, Json, Seed, err, out, print_json, stop, write_output
from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.choose import input_refusal
from bench.plans.eligible import why_not
from bench.roofline.layers import compared
from bench.roofline.layers import layers as timed
from bench.roofline.layers_text import show, show_against


def layers(
    case: Annotated[str, Argument(metavar="CASE", help="A case's name, as `bench list` prints it.")],
    against: Annotated[str | None, Option(metavar="CASE", help="Another case, to compare layer by layer.")] = None,
    executions: Annotated[int, Option("-n", min=1, help="Executions of the whole, and as many of its parts.")] = 30,
    trace: Annotated[Path | None, Option(metavar="FILE", help="Write a trace of one execution, for Perfetto.")] = None,
    output: Annotated[
        Path | None, Option("-o", "--output", metavar="FILE", help="Write the times as JSON, for the report page.")
    ] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Where a case's time goes: each layer's time, kernels, share, and least time by the roofline model.

    The answers are checked first. The sum of the layers is printed beside the time of the whole, which is measured
    without instrumentation in the same process.
    """
    cases = [Case.parse(name) for name in (case, against) if name is not None]
    env = environment()
    for parsed in cases:
        if reason := why_not(parsed, env):
            stop(f"this machine cannot run {parsed.name}: {reason}", UNABLE)
    if reason := input_refusal(input):
        raise typer.BadParameter(reason)
    for path in (trace, output):
        if path is not None and not path.resolve().parent.is_dir():
            raise typer.BadParameter(f"{path}: there is no folder {path.resolve().parent}")
    profiles = []
    for number, parsed in enumerate(cases):
        with err.status(parsed.name) as status:
            stage = partial(_update, status, parsed.name)
            profiles.append(timed(parsed, env, executions, input, seed, None if number else trace, stage))
            write_output(profiles[0], output)  # now, as the other case may fail
    profile = profiles[0] | ({"against": profiles[1], "compared": compared(*profiles)} if against else {})
    write_output(profile, output)
    if as_json:
        print_json(profile)
        return
    show_against(out, profile) if against else show(out, profile)
    for path, what in ((trace, "Trace"), (output, "Written")):
        if path is not None:
            out.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _update(status: Status, name: str, stage: str) -> None:
    status.update(f"{name}: {stage}")
