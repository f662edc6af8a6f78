"""`bench floors`: the least time that a machine allows a network, on paper."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bench.cli.console import UNABLE, USAGE, Json, out, print_json, stop
from bench.machine.environment import environment
from bench.roofline.ceilings import load_ceilings
from bench.roofline.floors import DATASHEETS, floor_rows
from bench.roofline.floors_text import print_floors
from resnet.archs import Spec
from resnet.cost import BYTES
from resnet.floors import FUSIONS, Ceilings

HERE = "here"


def floors(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As in resnet101v2.")] = "resnet50",
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", metavar="NAME,...", help=f"Datasheet figures of {', '.join(DATASHEETS)}, or all."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision", metavar="NAME,...", help="With --gpu fp16 unless told, else all that were measured."
        ),
    ] = None,
    batch: Annotated[str, typer.Option("--batch", metavar="N,...", help="Images.")] = "1,8,32,128",
    image: Annotated[int, typer.Option("--image", min=32, help="Pixels a side.")] = 224,
    as_json: Json = False,
) -> None:
    """The least time that this machine's measured ceilings, or other cards' datasheets, allow a network."""
    try:
        name = Spec.parse(model).name
    except ValueError as error:
        stop(str(error), USAGE)
    machines = _machines(gpu)
    precisions = _among("precision", precision, tuple(BYTES)) if precision else ["fp16"] if gpu else []
    rows = floor_rows(name, image, machines, precisions, _batches(batch))
    if as_json:
        told = {key: asdict(ceilings) for key, ceilings in machines.items()}
        print_json({"model": name, "image": image, "fusions": FUSIONS, "ceilings": told, "rows": rows})
        return
    print_floors(out, name, image, rows, machines, datasheets=gpu is not None)


def _machines(gpu: str | None) -> dict[str, Ceilings]:
    if gpu is not None:
        chosen = list(DATASHEETS) if gpu == "all" else _among("GPU", gpu.lower(), tuple(DATASHEETS))
        return {name: DATASHEETS[name] for name in chosen}
    found = load_ceilings(environment())
    if found is None:
        names = ",".join(DATASHEETS)
        stop(f"this machine's ceilings are not measured: run `bench ceilings`, or name cards: --gpu {names}", UNABLE)
    return {HERE: found}


def _among(axis: str, words: str, allowed: tuple[str, ...]) -> list[str]:
    found = list(dict.fromkeys(word.strip() for word in words.split(",")))
    for word in found:
        if word not in allowed:
            stop(f"unknown {axis} {word!r}; allowed: {', '.join(allowed)}", USAGE)
    return found


def _batches(words: str) -> list[int]:
    found = [word.strip() for word in words.split(",")]
    for word in found:
        if not (word.isascii() and word.isdigit() and int(word)):
            stop(f"batch {word!r} is not a positive number of images", USAGE)
    return list(dict.fromkeys(map(int, found)))
