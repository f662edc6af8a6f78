"""`bench layers`: the time of each layer of a case, alone or beside another case."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status
from typer import Option

from bench.cli.asking import BUILDING, CASE_HELP, NAMING, asks
from bench.cli.console import spinner, write_output
from bench.cli.options import Csv, Input, Json, Markdown, Seed, ToFile
from bench.cli.tables import console_for, print_csv, print_json
from bench.files import OTHER, check_writable
from bench.kinds import LAYERS, TRACE
from bench.machine.environment import environment
from bench.plans.choose import Selection, case_beside, check_case, check_input, choose_case
from bench.plans.settings import of_preparation
from bench.roofline.layers import measure_layers
from bench.roofline.layers_text import print_layer_comparison, print_layers
from bench.roofline.pairs import compare_layers


@asks(NAMING, BUILDING, metavar="CASE", text=CASE_HELP)
def layers(
    selection: Selection,
    against: Annotated[
        str | None, Option(metavar="CASE", help="Another case, or what differs in it: library-fused, bf16.")
    ] = None,
    executions: Annotated[int, Option("-n", min=1, help="Executions of the whole, and as many of its parts.")] = 30,
    trace: Annotated[Path | None, Option(metavar="FILE", help="Write a trace of one execution, for Perfetto.")] = None,
    output: Annotated[Path | None, ToFile(help="Write the times as JSON, for the report page.")] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Where a case's time goes: each layer's time, kernels, share, and least time by the roofline model.

    The answers are checked first. The sum of the layers is printed beside the time of the whole, which is measured
    without instrumentation in the same process.
    """
    case, plan = choose_case(selection)
    cases = [case] if against is None else [case, case_beside(case, against)]
    env = environment()
    for parsed in cases:
        check_case(parsed, env)
    check_input(input)
    for path, kind, option in ((trace, TRACE, "--trace"), (output, LAYERS, "-o")):
        if path is None:
            continue
        check_writable(path, kind, f"{OTHER} with {option}")
        if not path.resolve().parent.is_dir():
            raise typer.BadParameter(f"{path}: there is no folder {path.resolve().parent}")
    profiles = []
    for number, parsed in enumerate(cases):
        with spinner(parsed.name) as status:
            stage = partial(_update, status, parsed.name)
            profiles.append(
                measure_layers(
                    parsed,
                    env,
                    executions,
                    input,
                    seed,
                    None if number else trace,
                    stage,
                    plan.build,
                    of_preparation(plan.settings),
                )
            )
            write_output(profiles[0], output)  # now, as the other case may fail
    profile = profiles[0] | ({"against": profiles[1], "compared": compare_layers(*profiles)} if against else {})
    write_output(profile, output)
    if as_json:
        print_json(profile)
        return
    if as_csv:
        print_csv(profile["compared"] if against else profile["rows"])
        return
    out = console_for(as_markdown)
    print_layer_comparison(out, profile) if against else print_layers(out, profile)
    for path, what in ((trace, "Trace"), (output, "Written")):
        if path is not None:
            out.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _update(status: Status, name: str, stage: str) -> None:
    status.update(f"{name}: {stage}")
