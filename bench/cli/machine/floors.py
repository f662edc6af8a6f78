"""`bench floors`: the least time that a machine allows a network, on paper."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from bench.cli.console import UNABLE, USAGE, Json, out, print_json, stop
from bench.machine.environment import environment
from bench.roofline import floors as paper
from bench.roofline.ceilings import load_ceilings
from bench.text import digits
from resnet.archs import Spec
from resnet.cost import BYTES
from resnet.floors import FUSIONS, Ceilings

HERE = "here"


def floors(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As in resnet101v2.")] = "resnet50",
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", metavar="NAME,...", help=f"Datasheet figures of {', '.join(paper.DATASHEETS)}, or all."),
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
    rows = paper.table(name, image, machines, precisions, _batches(batch))
    if as_json:
        told = {key: asdict(ceilings) for key, ceilings in machines.items()}
        print_json({"model": name, "image": image, "fusions": FUSIONS, "ceilings": told, "rows": rows})
        return
    _show_ceilings(machines)
    grid = _grid()
    for title in ("on", "prec"):
        grid.add_column(title)
    for title in ("batch", *FUSIONS, "images/s", "bytes"):
        grid.add_column(title, justify="right")
    for row in rows:
        floor = row["floor_s"]
        times = [digits(1e3 * floor[fusion]) if floor else "-" for fusion in FUSIONS]
        speed = digits(row["images_per_s"]["conv"]) if floor else "-"
        share = f"{100 * row['memory_share']:.0f}%" if floor else "-"
        grid.add_row(row["machine"], row["precision"], str(row["batch"]), *times, speed, share)
    size = "" if image == 224 else f" at {image} pixels"
    out.print(f"[bold]The least time of {name}{size}, in ms, by what runs as one kernel[/]")
    out.print(grid)
    out.print()
    fused = "; ".join(f"{fusion}: {meaning}" for fusion, meaning in FUSIONS.items())
    cacheless = (
        " No datasheet has the cache's rate: a card whose cache holds much can be faster than this." if gpu else ""
    )
    out.print(
        f"{fused}. images/s: of conv; bytes: the share of its time that memory sets, not FLOPs. The sum over kernels "
        f"of the longest of FLOPs by the matmul rate, bytes by the memory's, and an empty kernel.{cacheless}",
        style="dim",
    )


def _show_ceilings(machines: dict[str, Ceilings]) -> None:
    rates = [precision for precision in BYTES if any(precision in c.flops for c in machines.values())]
    small = max(rate for ceilings in machines.values() for rate in ceilings.flops.values()) < 1e13  # a CPU
    unit, prefix = (1e9, "G") if small else (1e12, "T")
    grid = _grid()
    grid.add_column("on")
    for title in (*rates, "memory", "cache"):
        grid.add_column(title, justify="right")
    grid.add_column("launch", justify="right")
    for name, ceilings in machines.items():
        found = [*map(ceilings.flops.get, rates), ceilings.bandwidth, ceilings.l2]
        launch = f"{1e6 * ceilings.launch_s:.1f} us" if ceilings.launch_s else "-"
        grid.add_row(name, *(digits(each / unit) if each else "-" for each in found), launch)
    out.print(f"[bold]Ceilings: {prefix}FLOP/s by precision, dense; {prefix}B/s of a copy in memory and cache[/]")
    out.print(grid)
    for name, ceilings in machines.items():
        told = ceilings.provenance
        origin = f"as in {told['document']}, not measured" if "document" in told else f"measured {told['date'][:10]}"
        out.print(f"{name}: {ceilings.machine}, {origin}", style="dim", markup=False)
    out.print()


def _machines(gpu: str | None) -> dict[str, Ceilings]:
    if gpu is not None:
        chosen = list(paper.DATASHEETS) if gpu == "all" else _among("GPU", gpu.lower(), tuple(paper.DATASHEETS))
        return {name: paper.DATASHEETS[name] for name in chosen}
    found = load_ceilings(environment())
    if found is None:
        names = ",".join(paper.DATASHEETS)
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


def _grid() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
