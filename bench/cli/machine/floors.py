"""`bench floors`: the least time that a machine allows a network, by the roofline model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from typer import Argument, Option

from bench.cli.console import UNABLE, USAGE, Json, out, print_json, stop
from bench.machine.environment import environment
from bench.roofline import floors as paper
from bench.roofline.ceilings import load_ceilings
from bench.roofline.floors_text import show
from resnet.archs import Spec
from resnet.cost import BYTES
from resnet.floors import FUSIONS, Ceilings

HERE = "here"


def floors(
    model: Annotated[str, Argument(metavar="MODEL", help="A network, as resnet101v2.")] = "resnet50",
    gpu: Annotated[
        str | None, Option(metavar="NAME,...", help=f"By the datasheets of {', '.join(paper.DATASHEETS)}, or all.")
    ] = None,
    precision: Annotated[
        str | None, Option(metavar="NAME,...", help="Precisions.  \\[default: all that were measured; with --gpu fp16]")
    ] = None,
    batch: Annotated[str, Option(metavar="N,...", help="Batch sizes.")] = "1,8,32,128",
    image: Annotated[int, Option(min=32, help="Side of the images in pixels.")] = 224,
    as_json: Json = False,
) -> None:
    """The least time of a network by the roofline model: with this machine's measured ceilings, or by datasheets."""
    try:
        name = Spec.parse(model).name
    except ValueError as error:
        stop(str(error), USAGE)
    machines = _machines(gpu)
    precisions = _split("precision", precision, tuple(BYTES)) if precision else ["fp16"] if gpu else []
    rows = paper.table(name, image, machines, precisions, _parse_batches(batch))
    if as_json:
        as_dicts = {key: asdict(ceilings) for key, ceilings in machines.items()}
        print_json({"model": name, "image": image, "fusions": FUSIONS, "ceilings": as_dicts, "rows": rows})
        return
    show(out, name, image, rows, machines, datasheets=gpu is not None)


def _machines(gpu: str | None) -> dict[str, Ceilings]:
    if gpu is not None:
        chosen = list(paper.DATASHEETS) if gpu == "all" else _split("GPU", gpu.lower(), tuple(paper.DATASHEETS))
        return {name: paper.DATASHEETS[name] for name in chosen}
    measured = load_ceilings(environment())
    if measured is None:
        names = ",".join(paper.DATASHEETS)
        stop(f"this machine's ceilings are not measured: run `bench ceilings`, or name cards: --gpu {names}", UNABLE)
    return {HERE: measured}


def _split(axis: str, words: str, allowed: tuple[str, ...]) -> list[str]:
    """Return the words between the commas, each once; end the command for one that is not allowed."""
    chosen = list(dict.fromkeys(word.strip() for word in words.split(",")))
    for word in chosen:
        if word not in allowed:
            stop(f"unknown {axis} {word!r}; allowed: {', '.join(allowed)}", USAGE)
    return chosen


def _parse_batches(words: str) -> list[int]:
    sizes = [word.strip() for word in words.split(",")]
    for word in sizes:
        if not (word.isascii() and word.isdigit() and int(word)):
            stop(f"batch {word!r} is not a positive number of images", USAGE)
    return list(dict.fromkeys(map(int, sizes)))
