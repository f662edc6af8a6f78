"""`bench floors`: the least time that a machine allows a network, by the roofline model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from typer import Argument, Option

from bench.cli.console import stop
from bench.cli.options import Csv, Json, Markdown
from bench.cli.tables import console_for, print_csv, print_json
from bench.cli.words import parse_batches, parse_words
from bench.commands import command_line
from bench.errors import UNABLE, USAGE
from bench.machine.environment import environment
from bench.roofline.ceilings import load_ceilings
from bench.roofline.floors import DATASHEETS, count_network, floor_rows
from bench.roofline.floors_text import print_floors
from resnet.cost import BYTES
from resnet.floors import FUSIONS, Ceilings, fusions_of
from resnet.names import Build, canonical_model, is_outside

HERE = "here"


def floors(
    model: Annotated[
        str, Argument(metavar="MODEL", help="A network: resnet101v2, timm:convnext_tiny, module:function.")
    ] = "resnet50",
    gpu: Annotated[
        str | None, Option(metavar="NAME,...", help=f"By the datasheets of {', '.join(DATASHEETS)}, or all.")
    ] = None,
    precision: Annotated[
        str | None, Option(metavar="NAME,...", help="Precisions.  \\[default: all that were measured; with --gpu fp16]")
    ] = None,
    batch: Annotated[str, Option(metavar="N,...", help="Batch sizes.")] = "1,8,32,128",
    image: Annotated[int, Option(min=32, help="Side of the images in pixels.")] = 224,
    num_classes: Annotated[int | None, Option(min=1, metavar="N", help="Its classes.  \\[default: its own]")] = None,
    in_channels: Annotated[int | None, Option(min=1, metavar="C", help="Its channels.  \\[default: its own]")] = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """The least time of a network by the roofline model: with this machine's measured ceilings, or by datasheets."""
    try:
        name = canonical_model(model)
    except ValueError as error:
        stop(str(error), USAGE)
    machines = _machines(gpu)
    precisions = parse_words("precision", precision, BYTES) if precision else ["fp16"] if gpu else []
    batches = parse_batches(batch)
    build = Build(num_classes=num_classes or 0, in_channels=in_channels or 0)
    network = count_network(name, image, build) if is_outside(name) else asdict(build)
    rows = floor_rows(name, image, machines, precisions, batches, network)
    if as_json:
        fusions = {fusion: FUSIONS[fusion] for fusion in fusions_of(name)}
        as_dicts = {key: asdict(ceilings) for key, ceilings in machines.items()}
        print_json({"model": name, "image": image, "fusions": fusions, "ceilings": as_dicts, "rows": rows})
        return
    if as_csv:
        print_csv({"model": name, "image": image} | row for row in rows)
        return
    print_floors(console_for(as_markdown), name, image, rows, machines, datasheets=gpu is not None)


def _machines(gpu: str | None) -> dict[str, Ceilings]:
    if gpu is not None:
        chosen = list(DATASHEETS) if gpu == "all" else parse_words("GPU", gpu.lower(), DATASHEETS)
        return {name: DATASHEETS[name] for name in chosen}
    measured = load_ceilings(environment())
    if measured is None:
        names = ",".join(DATASHEETS)
        measure = command_line("ceilings")
        stop(f"this machine's ceilings are not measured: run `{measure}`, or name cards: --gpu {names}", UNABLE)
    return {HERE: measured}
