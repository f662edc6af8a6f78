"""Floors, and the ceilings they are computed from, as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from bench.text import WORDS, at_pixels, digits, grid
from resnet.cost import BYTES
from resnet.floors import FUSIONS, Ceilings, fusions_of


def print_floors(
    out: Console,
    model: str,
    image: int,
    rows: Sequence[Mapping[str, Any]],
    machines: Mapping[str, Ceilings],
    datasheets: bool,
) -> None:
    """Print the machines' ceilings, then the rows of `floor_rows` in milliseconds; `datasheets`: none was measured."""
    print_ceilings(out, machines)
    fusions = fusions_of(model)
    titles = ("machine", "prec", "batch", *fusions, "images/s", "mem %")
    table = grid(*titles, wrapped=titles)
    for row in rows:
        floor = row["floor_s"]
        times = [digits(1e3 * floor[fusion]) if floor else "-" for fusion in fusions]
        speed = digits(row["images_per_s"]["conv"]) if floor else "-"
        share = f"{100 * row['memory_share']:.0f}%" if floor else "-"
        table.add_row(row["machine"], row["precision"], str(row["batch"]), *times, speed, share)
    out.print(f"[bold]The least time of {model}{at_pixels(image)}, in ms, by what runs as one kernel[/]")
    out.print(table)
    out.print()
    fused = "; ".join(f"{fusion}: {meaning}" for fusion, meaning in FUSIONS.items() if fusion in fusions)
    cacheless = " No datasheet has the cache's rate: a card whose cache holds much can be faster than this."
    out.print(
        f"{fused}. images/s: of conv; mem %: the share of its time that memory traffic sets, not FLOPs. The sum "
        f"over kernels of the longest of FLOPs by the matmul rate, bytes by the memory's, and an empty kernel."
        f"{cacheless * datasheets} {WORDS}",
        style="dim",
    )


def print_ceilings(out: Console, machines: Mapping[str, Ceilings]) -> None:
    """Print a row for each machine, its rates by precision, memory, cache and launch; and where they come from."""
    rates = [precision for precision in BYTES if any(precision in c.flops for c in machines.values())]
    is_cpu = max(rate for ceilings in machines.values() for rate in ceilings.flops.values()) < 1e13
    unit, prefix = (1e9, "G") if is_cpu else (1e12, "T")
    titles = ("machine", *rates, "memory", "cache", "launch")
    table = grid(*titles, text=1, wrapped=titles)
    for name, ceilings in machines.items():
        values = [*map(ceilings.flops.get, rates), ceilings.bandwidth, ceilings.l2]
        launch = f"{1e6 * ceilings.launch_s:.1f} us" if ceilings.launch_s else "-"
        table.add_row(name, *(digits(rate / unit) if rate else "-" for rate in values), launch)
    out.print(f"[bold]Ceilings: {prefix}FLOP/s by precision, dense; {prefix}B/s of a copy in memory and cache[/]")
    out.print(table)
    for name, ceilings in machines.items():
        source = ceilings.provenance
        document = source.get("document")
        origin = f"as in {document}, not measured" if document else f"measured {source['date'][:10]}"
        out.print(f"{name}: {ceilings.machine}, {origin}", style="dim", markup=False)
    out.print()
