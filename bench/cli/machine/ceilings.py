"""`bench ceilings`: the highest rates that this machine reaches, measured once and kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Option

from bench.cli.again import again
from bench.cli.console import hint, spinner
from bench.cli.options import Csv, Json, Markdown, ToFile
from bench.cli.tables import console_for, print_csv, print_json
from bench.files import check_writable
from bench.kinds import CEILINGS
from bench.machine.environment import environment
from bench.roofline.ceilings import (
    fastest_measurements,
    measure_ceilings,
    noise_warnings,
    path_of,
    read_ceilings,
    reason_outdated,
    save_ceilings,
)
from bench.runs.job import MeasurementRow
from bench.text import WORDS, grid
from resnet.floors import Ceilings

LEGEND = (
    "rate: what the fastest tenth of the samples (three at least) reached, of the best shape and library call; spread: "
    f"how far below it their median was; by: that call and shape; copies count bytes read and written. {WORDS}"
)


def ceilings(
    force: Annotated[bool, Option("--force", help="Measure again, even if the file is up to date.")] = False,
    output: Annotated[
        Path | None, ToFile(help="File for the result.  \\[default: results/ceilings/<machine>.json]")
    ] = None,
    quick: Annotated[bool, Option("--quick", help="Try it in seconds, with rough results; needs -o.")] = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """This machine's roofline ceilings: matmul rate by precision, copy bandwidth; on a GPU the cost of a launch.

    It takes under two minutes, on a GPU 30 seconds. The result is kept until the machine or torch changes.
    """
    env = environment()
    if quick and output is None:
        raise typer.BadParameter("--quick gives no ceilings to rely on: name a file with -o")
    path = output or path_of(env)
    kept = None if force or not path.exists() else read_ceilings(path)
    reason = reason_outdated(kept, env) if kept else ""
    if reason:
        hint(f"{path}: {reason}: measuring again.")
    if kept is None or reason:
        check_writable(path, CEILINGS)
        with spinner("starting") as status:
            kept = measure_ceilings(env, lambda stage: status.update(f"measuring: {stage}"), quick)
        save_ceilings(kept, path)
    if as_json:
        print_json({"file": str(path)} | asdict(kept))
    elif as_csv:
        print_csv(map(_as_columns, fastest_measurements(kept.provenance["measurements"])))
    else:
        _print_ceilings(console_for(as_markdown), kept, path)


def _print_ceilings(out: Console, measured: Ceilings, path: Path) -> None:
    provenance = measured.provenance
    torch, date = provenance["environment"]["packages"].get("torch"), provenance["date"][:10]
    out.print(f"{measured.machine}: measured {date} with torch {torch}, in {provenance['seconds']:.0f} s")
    table = grid("ceiling", "rate", "", "spread", "by", text=("ceiling", "", "by"), gap=2)
    for row in fastest_measurements(provenance["measurements"]):
        table.add_row(*_cells(row))
    out.print(table)
    for name, reason in provenance["absent"].items():
        rate = " (so as fp32)" if name in measured.flops else ""
        out.print(f"{name}: {reason}{rate}", style="dim", markup=False)
    out.print(LEGEND, style="dim", markup=False)
    warnings = noise_warnings(measured)
    for line in warnings:
        out.print(f"[yellow]noisy:[/] {line}")
    if warnings:
        out.print("On a quiet machine the ceilings may be higher: stop other work, then")
        out.print(f"  {again(force=True)}", markup=False, soft_wrap=True)
    out.print(f"File: {path}", markup=False, soft_wrap=True)


def _as_columns(row: MeasurementRow) -> dict[str, Any]:
    unit = {"matmul": "FLOP/s", "launch": "launches/s"}.get(row["what"], "bytes/s")
    return {"ceiling": row["what"], "precision": row["precision"], "rate": row["rate"], "unit": unit} | dict(row)


def _cells(row: MeasurementRow) -> tuple[str, ...]:
    spread = f"{row['spread']:.0%}"
    shape = "x".join(map(str, row["shape"]))
    if row["what"] == "launch":
        return f"launch, {row['how']}", f"{1e6 / row['rate']:.2f}", "us", spread, "empty kernels in a row"
    if row["what"] == "matmul":
        power, unit = (1e12, "TFLOP/s") if row["rate"] >= 1e12 else (1e9, "GFLOP/s")
        return row["precision"], f"{row['rate'] / power:.1f}", unit, spread, f"{row['how']}, {shape}"
    size = f"{row['shape'][0] / 2**20:.3g} MiB"
    return row["what"], f"{row['rate'] / 1e9:.1f}", "GB/s", spread, f"{row['how']}, {size}"
