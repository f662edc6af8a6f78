"""`bench ceilings`: what this machine can do, measured once and kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import Json, err, out, print_json, tell
from bench.files import reserve
from bench.machine.environment import environment
from bench.roofline.ceilings import best, measure, noisy, outdated, path_of, read, save
from bench.runs.job import MeasurementRow
from bench.text import WORDS, grid
from resnet.floors import Ceilings

LEGEND = (
    "rate: what the fastest tenth of the samples (three at least) reached, of the best shape and library call; spread: "
    f"how far below it their median was; by: that call and shape; copies count bytes read and written. {WORDS}"
)


def ceilings(
    force: Annotated[bool, typer.Option("--force", help="Measure again, whatever is kept.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Kept there.  \\[default: results/ceilings/<machine>.json]"
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="In seconds, to see that it works; kept only where -o says.")
    ] = False,
    as_json: Json = False,
) -> None:
    """This machine's ceilings: matmul rate per precision, copy bandwidth; on a GPU what a launch costs.

    Measured in under two minutes, on a GPU 30 seconds, and kept; again where the machine or torch is another.
    """
    facts = environment()
    if quick and output is None:
        raise typer.BadParameter("--quick measures no ceiling worth keeping: name a file with -o")
    path = output or path_of(facts)
    found = None if force or not path.exists() else read(path)
    why = outdated(found, facts) if found else ""
    if why:
        tell(f"{path}: {why}: measuring again.")
    if found is None or why:
        reserve(path)
        with err.status("starting") as status:
            found = measure(facts, lambda stage: status.update(f"measuring: {stage}"), quick)
        save(found, path)
    if as_json:
        print_json({"file": str(path)} | asdict(found))
        return
    _show(found, path)


def _show(found: Ceilings, path: Path) -> None:
    told = found.provenance
    torch = told["environment"]["packages"].get("torch")
    out.print(f"{found.machine}: measured {told['date'][:10]} with torch {torch}, in {told['seconds']:.0f} s")
    table = grid("ceiling", "rate", "", "spread", "by", text=("ceiling", "", "by"), gap=2)
    for one in best(told["measurements"]):
        table.add_row(*_cells(one))
    out.print(table)
    for name, reason in told["absent"].items():
        rate = " (so as fp32)" if name in found.flops else ""
        out.print(f"{name}: {reason}{rate}", style="dim", markup=False)
    out.print(LEGEND, style="dim", markup=False)
    for line in noisy(found):
        out.print(f"[yellow]noisy:[/] {line}")
    if noisy(found):
        out.print("On a quiet machine the ceilings may be higher: stop other work, then bench ceilings --force.")
    out.print(f"Kept: {path}", markup=False, soft_wrap=True)


def _cells(one: MeasurementRow) -> tuple[str, ...]:
    spread = f"{one['spread']:.0%}"
    shape = "x".join(map(str, one["shape"]))
    if one["what"] == "launch":
        return f"launch, {one['how']}", f"{1e6 / one['rate']:.2f}", "us", spread, "empty kernels in a row"
    if one["what"] == "matmul":
        power, unit = (1e12, "TFLOP/s") if one["rate"] >= 1e12 else (1e9, "GFLOP/s")
        return one["precision"], f"{one['rate'] / power:.1f}", unit, spread, f"{one['how']}, {shape}"
    size = f"{one['shape'][0] / 2**20:.3g} MiB"
    return one["what"], f"{one['rate'] / 1e9:.1f}", "GB/s", spread, f"{one['how']}, {size}"
